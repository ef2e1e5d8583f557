"""Distributions of latency: every sample counted in columns of equal ratio, on one axis for all programs."""

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

COLUMN, HALF = 3.0, 11.0
"""Width of a column and half the height of the fullest one, in CSS pixels."""


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


def both(name: str, panels: Sequence[Panel]) -> Markup | None:
    """The figure for a wide and for a narrow screen; None where nothing was timed."""
    panels = [panel for panel in panels if panel.strips]
    if not panels:
        return None
    return Markup("").join(
        draw(name, panels, width).markup(variant) for width, variant in ((WIDE, "wide"), (NARROW, "narrow"))
    )


def percentiles(found: Distribution) -> str:
    """p50 12.3, p90 12.9, p99 14.1 ms"""
    shown = (figures.milliseconds(ns / 1e6) for ns in (found.median_ns, found.p90_ns, found.p99_ns))
    p50, p90, p99 = (text.removesuffix(" ms") for text in shown)
    return f"p50 {p50}, p90 {p90}, p99 {p99} ms"


def draw(name: str, panels: Sequence[Panel], width: int) -> Drawing:
    """All panels on one logarithmic axis of milliseconds, so that a program's place and spread compare."""
    above = width == NARROW
    found = [[describe(strip.samples_ns) for strip in panel.strips] for panel in panels]
    every = [one for panel in found for one in panel]
    left = 4.0 if above else LABELS
    right = width - 4.0 if above else width - max(len(percentiles(one)) for one in every) * CHARACTER - 14
    low = math.log(min(one.minimum_ns for one in every) * 0.94)
    high = math.log(max(one.maximum_ns for one in every) * 1.06)

    def across(ns: float) -> float:
        return left + (math.log(ns) - low) / (high - low) * (right - left)

    pitch = 2 * LINE + 2 * HALF + 4 if above else 2 * HALF + 10
    heads = [wrapped(panel.heading, width) for panel in panels]
    height = sum(len(head) * LINE + 14 for head in heads) + pitch * len(every) + 36
    described = "; ".join(
        f"{panel.heading}: "
        + ", ".join(f"{s.label} {percentiles(d)}" for s, d in zip(panel.strips, of, strict=True))
        for panel, of in zip(panels, found, strict=True)
    )
    drawing = Drawing(name, "Distribution of latency", described, width, height)
    ticks = decades(math.exp(low) / 1e6, math.exp(high) / 1e6, 5 if above else 9)
    y = 0.0
    for panel, of, head in zip(panels, found, heads, strict=True):
        for line in head:
            drawing.text(0, y + 13, line, "label")
            y += LINE
        y += 4
        for tick in ticks:
            drawing.line(across(tick * 1e6), y, across(tick * 1e6), y + pitch * len(of), "grid")
        for strip, one in zip(panel.strips, of, strict=True):
            middle = y + (LINE + HALF if above else HALF + 5)
            if above:
                drawing.text(0, y + 13, strip.label, "tick")
                drawing.text(0, middle + HALF + 14, percentiles(one), "tick")
            else:
                drawing.text(left - 12, middle + 4, strip.label, "tick", "end")
                drawing.text(right + 12, middle + 4, percentiles(one), "tick")
            _strip(drawing, strip, one, middle, across)
            y += pitch
        y += 10
    drawing.line(left, y, right, y, "axis")
    for tick in ticks:
        x = across(tick * 1e6)
        drawing.line(x, y, x, y + 5, "axis")
        drawing.text(min(max(x, 14.0), width - 14.0), y + 18, f"{tick:g}", "tick", "middle")
    drawing.text(right, y + 34, "ms, logarithmic", "tick", "end")
    return drawing


def _strip(
    drawing: Drawing, strip: Strip, found: Distribution, middle: float, across: Callable[[float], float]
) -> None:
    """One program: columns of samples, a line over their whole range, marks at the percentiles."""
    drawing.line(across(found.minimum_ns), middle, across(found.maximum_ns), middle, "leader")
    columns = Counter(math.floor(across(sample) / COLUMN) for sample in strip.samples_ns)
    fullest = max(columns.values())
    for column, count in sorted(columns.items()):
        half = max(count / fullest * HALF, 1.0)
        drawing.bar(column * COLUMN, middle - half, COLUMN, round(2 * half, 1), strip.style)
    for ns, half in ((found.p99_ns, HALF / 3), (found.p90_ns, HALF / 1.6), (found.median_ns, HALF + 2)):
        drawing.line(across(ns), middle - half, across(ns), middle + half, "whisker")
