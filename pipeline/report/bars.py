"""Grouped horizontal bars: segments, an interval, what they say beside them; wide, or narrow for a phone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.report.plots import NARROW, WIDE
from pipeline.report.svg import CHARACTER, Drawing

LINE = 18
"""From one line of text to the next, in CSS pixels."""
LABELS = 212.0
"""What labels take to the left of the bars of a wide drawing."""
BAR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar. `segments` are lengths in the chart's unit with their style class, drawn end to end."""

    label: str
    segments: tuple[tuple[float, str], ...]
    figure: str
    remark: str = ""
    interval: tuple[float, float] | None = None

    @property
    def length(self) -> float:
        """All segments, or the interval's end where that is further out."""
        return max(sum(length for length, _ in self.segments), self.interval[1] if self.interval else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bars that belong together, under a heading."""

    heading: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A whole figure. `reference` is a dashed line with its words; `legend` names segment styles."""

    name: str
    title: str
    groups: tuple[Group, ...]
    reference: tuple[float, str] | None = None
    legend: tuple[tuple[str, str], ...] = ()

    @property
    def described(self) -> str:
        """All of it in words."""
        return "; ".join(
            f"{group.heading}: "
            + ", ".join(" ".join(part for part in (b.label, b.figure, b.remark) if part) for b in group.bars)
            for group in self.groups
        )


def both(chart: Chart) -> Markup | None:
    """The chart for a wide and for a narrow screen; None where it has no bars."""
    if not chart.groups:
        return None
    return Markup("").join(
        draw(chart, width).markup(name) for width, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )


def wrapped(words: str, width: float) -> list[str]:
    """Lines that fit into `width` CSS pixels."""
    return textwrap.wrap(words, max(int(width / CHARACTER), 8), break_long_words=True)


def draw(chart: Chart, width: int) -> Drawing:
    """The chart, `width` CSS pixels wide; below NARROW's, words go above and below their bar."""
    above = width == NARROW
    beside = max(_length(bar) for group in chart.groups for bar in group.bars)
    left = 0.0 if above else LABELS
    right = width - 2.0 if above else width - beside - 10
    reach = max([bar.length for group in chart.groups for bar in group.bars] + _values(chart)) or 1.0
    scale = (right - left) / reach
    placed, bottom = _placed(chart, width)
    drawing = Drawing(chart.name, chart.title, chart.described, width, bottom)
    _legend(drawing, chart.legend, width)
    for words, y in _headings(chart, width, placed):
        drawing.text(0, y, words, "label")
    if chart.reference:
        value, said = chart.reference
        at = left + value * scale
        top = _legend_height(chart, width)
        beyond = at + len(said) * CHARACTER > width
        drawing.text(at, top + 12, said, "tick", "end" if beyond else "start")
        for _, _, y in placed:
            drawing.line(at, y - 3, at, y + BAR + 3, "reference")
    for bar, label_y, y in placed:
        drawing.text(0 if above else left - 12, label_y, bar.label, "tick", "start" if above else "end")
        _one(drawing, bar, left, y, scale)
        x, text_y = (0.0, y + BAR + 15.0) if above else (left + bar.length * scale + 8, y + 12.5)
        drawing.text(x, text_y, bar.figure, "label")
        drawing.text(x + (len(bar.figure) + 1.2) * CHARACTER, text_y, bar.remark, "tick")
    return drawing


def _one(drawing: Drawing, bar: Bar, left: float, y: float, scale: float) -> None:
    x = left
    for length, style in bar.segments:
        drawing.bar(x, y, length * scale, BAR, f"bar {style}")
        x += length * scale
    if bar.interval:
        low, high = (left + end * scale for end in bar.interval)
        drawing.line(low, y + BAR / 2, high, y + BAR / 2, "whisker")
        for end in (low, high):
            drawing.line(end, y + 4, end, y + 12, "whisker")


def _length(bar: Bar) -> float:
    """What a bar's words take beside it."""
    return (len(bar.figure) + len(bar.remark) + 2.4) * CHARACTER


def _values(chart: Chart) -> list[float]:
    return [chart.reference[0]] if chart.reference else []


def _placed(chart: Chart, width: int) -> tuple[list[tuple[Bar, float, float]], float]:
    """Each bar with the baseline of its label and its top; then the drawing's height."""
    above = width == NARROW
    y = _legend_height(chart, width) + (LINE if chart.reference else 0)
    placed: list[tuple[Bar, float, float]] = []
    for group in chart.groups:
        y += len(wrapped(group.heading, width)) * LINE + 4
        for bar in group.bars:
            placed.append((bar, y + (13 if above else 16), y + (LINE if above else 4)))
            y += 3 * LINE + 6 if above else 26
        y += 12
    return placed, y


def _headings(
    chart: Chart, width: int, placed: Sequence[tuple[Bar, float, float]]
) -> Iterator[tuple[str, float]]:
    """Every heading's lines with their baselines."""
    above, first = width == NARROW, 0
    for group in chart.groups:
        lines = wrapped(group.heading, width)
        top = placed[first][2] - (LINE if above else 4) - len(lines) * LINE - 4
        yield from ((line, top + 13 + number * LINE) for number, line in enumerate(lines))
        first += len(group.bars)


def _legend_places(legend: Sequence[tuple[str, str]], width: int) -> Iterator[tuple[str, str, float, float]]:
    x, y = 0.0, 0.0
    for style, words in legend:
        takes = 18 + (len(words) + 2) * CHARACTER
        if x and x + takes > width:
            x, y = 0.0, y + LINE
        yield style, words, x, y
        x += takes


def _legend_height(chart: Chart, width: int) -> float:
    return max((y + LINE + 8 for *_, y in _legend_places(chart.legend, width)), default=0.0)


def _legend(drawing: Drawing, legend: Sequence[tuple[str, str]], width: int) -> None:
    for style, words, x, y in _legend_places(legend, width):
        drawing.bar(x, y + 3, 11, 11, f"bar {style}")
        drawing.text(x + 17, y + 13, words, "tick")
