"""Distributions of latency: every sample counted in narrow columns, on one axis for all programs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from device_bench.stats import Distribution, describe
from pipeline.report import figures
from pipeline.report.bars import LABELS, LINE, wrapped
from pipeline.report.plots import NARROW, WIDE, decades
from pipeline.report.svg import CHARACTER, Drawing

COLUMN, TALL, BELOW = 2.0, 20.0, 8.0
"""Width of a column, height of the fullest one, and what marks take below, in CSS pixels."""


CLIP = 0.5
"""How far from the median the axis of the spread reaches; samples further out are drawn at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One program's samples in nanoseconds; `style` is its bars' class."""

    label: str
    style: str
    samples_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Programs that were timed together."""

    heading: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Where a sample lies, from `low` to `high`, and what is written about it."""

    title: str
    unit: str
    low: float
    high: float
    place: Callable[[float, Distribution], float]
    """Nanoseconds of a program's sample → place on the axis."""
    ticks: tuple[tuple[float, str], ...]
    """Place and words of each."""
    words: Callable[[Distribution], str]


def latency(name: str, panels: Sequence[Panel]) -> Markup | None:
    """All programs on one logarithmic axis of milliseconds, wide and narrow; None where nothing was timed."""
    return _both(name, panels, _milliseconds)


def spread(name: str, panels: Sequence[Panel]) -> Markup | None:
    """The same samples around the median of their program, so that shapes compare."""
    return _both(name, panels, _around_median)


def _both(
    name: str, panels: Sequence[Panel], axis_of: Callable[[Sequence[Distribution], int], Axis]
) -> Markup | None:
    panels = [panel for panel in panels if panel.strips]
    if not panels:
        return None
    found = [[describe(strip.samples_ns) for strip in panel.strips] for panel in panels]
    every = [one for panel in found for one in panel]
    return Markup("").join(
        _draw(name, panels, found, axis_of(every, most), width).markup(variant)
        for width, variant, most in ((WIDE, "wide", 9), (NARROW, "narrow", 5))
    )


def percentiles(found: Distribution) -> str:
    """p50 12.3, p90 12.9, p99 14.1 ms"""
    shown = (figures.milliseconds(ns / 1e6) for ns in (found.median_ns, found.p90_ns, found.p99_ns))
    p50, p90, p99 = (text.removesuffix(" ms") for text in shown)
    return f"p50 {p50}, p90 {p90}, p99 {p99} ms"


def above_median(found: Distribution) -> str:
    """p90 +3 %, p99 +8 %, slowest +52 %"""
    ends = (("p90", found.p90_ns), ("p99", found.p99_ns), ("slowest", found.maximum_ns))
    return ", ".join(f"{name} +{(ns / found.median_ns - 1) * 100:.0f} %" for name, ns in ends)


def _milliseconds(every: Sequence[Distribution], most: int) -> Axis:
    low = min(one.minimum_ns for one in every) * 0.94
    high = max(one.maximum_ns for one in every) * 1.06
    ticks = decades(low / 1e6, high / 1e6, most)
    return Axis(
        title="Distribution of latency",
        unit="ms, logarithmic",
        low=math.log(low),
        high=math.log(high),
        place=lambda ns, _: math.log(ns),
        ticks=tuple((math.log(tick * 1e6), f"{tick:g}") for tick in ticks),
        words=percentiles,
    )


def _around_median(every: Sequence[Distribution], most: int) -> Axis:
    """From the fastest to the slowest, but no further than CLIP from the median: what lies beyond is there."""
    low = max(min(one.minimum_ns / one.median_ns for one in every) - 1, -CLIP)
    high = min(max(one.maximum_ns / one.median_ns for one in every) - 1, CLIP)
    low, high = math.floor(low * 50 - 0.5) / 50, math.ceil(high * 50 + 0.5) / 50
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / step <= most)
    ticks = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(
        title="Spread of latency around each program’s median",
        unit="of the program’s p50",
        low=low,
        high=high,
        place=lambda ns, one: min(max(ns / one.median_ns - 1, low), high),
        ticks=tuple((tick, f"{tick * 100:+.0f} %".replace("-", "−").replace("+0 %", "p50")) for tick in ticks),
        words=above_median,
    )


def _draw(
    name: str, panels: Sequence[Panel], found: Sequence[Sequence[Distribution]], axis: Axis, width: int
) -> Drawing:
    above = width == NARROW
    every = [one for panel in found for one in panel]
    left = 4.0 if above else LABELS
    right = width - 4.0 if above else width - max(len(axis.words(one)) for one in every) * CHARACTER - 14

    def across(place: float) -> float:
        return left + (place - axis.low) / (axis.high - axis.low) * (right - left)

    def at(ns: float, of: Distribution) -> float:
        return across(axis.place(ns, of))

    pitch = TALL + BELOW + (2 * LINE + 6 if above else 6)
    heads = [wrapped(panel.heading, width) for panel in panels]
    height = sum(len(head) * LINE + 14 for head in heads) + pitch * len(every) + 40
    described = "; ".join(
        f"{panel.heading}: "
        + ", ".join(f"{s.label} {axis.words(d)}" for s, d in zip(panel.strips, of, strict=True))
        for panel, of in zip(panels, found, strict=True)
    )
    drawing = Drawing(name, axis.title, described, width, height)
    y = 0.0
    for panel, of, head in zip(panels, found, heads, strict=True):
        for line in head:
            drawing.text(0, y + 13, line, "label")
            y += LINE
        y += 4
        for place, _ in axis.ticks:
            drawing.line(across(place), y, across(place), y + pitch * len(of), "grid")
        for strip, one in zip(panel.strips, of, strict=True):
            foot = y + TALL + (LINE if above else 0)
            if above:
                drawing.text(0, y + 13, strip.label, "tick")
                drawing.text(0, foot + BELOW + 12, axis.words(one), "tick")
            else:
                drawing.text(left - 12, foot, strip.label, "tick", "end")
                drawing.text(right + 12, foot, axis.words(one), "tick")
            _strip(drawing, strip, one, foot, at)
            y += pitch
        y += 10
    drawing.line(left, y, right, y, "axis")
    for place, words in axis.ticks:
        x, margin = across(place), len(words) * CHARACTER / 2
        drawing.line(x, y, x, y + 5, "axis")
        drawing.text(min(max(x, margin), width - margin), y + 18, words, "tick", "middle")
    drawing.text(right, y + 34, axis.unit, "tick", "end")
    return drawing


def _strip(
    drawing: Drawing,
    strip: Strip,
    found: Distribution,
    foot: float,
    at: Callable[[float, Distribution], float],
) -> None:
    """One program: columns of samples on a line over their whole range, marks at the percentiles below it."""
    columns = Counter(math.floor(at(sample, found) / COLUMN) for sample in strip.samples_ns)
    fullest = max(columns.values())
    for column, count in sorted(columns.items()):
        height = max(count / fullest * TALL, 1.0)
        drawing.bar(column * COLUMN, foot - height, COLUMN, round(height, 1), f"bar {strip.style}")
    drawing.line(at(found.minimum_ns, found), foot, at(found.maximum_ns, found), foot, "range")
    for ns, length in ((found.p99_ns, 3.0), (found.p90_ns, 5.0), (found.median_ns, 8.0)):
        drawing.line(at(ns, found), foot, at(ns, found), foot + length, "whisker")
