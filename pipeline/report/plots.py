"""The report's figures, hand-drawn SVG: size against accuracy, times faster with intervals, time in stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.console import seconds
from pipeline.report import figures
from pipeline.report.summary import Row, RunSummary, StageRecord
from pipeline.report.svg import CHARACTER, Drawing

WIDE, NARROW = 944, 343
"""Widths in CSS pixels: every figure is drawn twice, and the style sheet shows the one that fits."""


@dataclass(frozen=True, slots=True)
class _Label:
    x: float
    y: float
    words: str
    style: str


def size_against_score(summary: RunSummary) -> Markup:
    """Every model of the run and published ones; size on a logarithmic axis."""
    return _both(_size_against_score, summary)


def times_faster(summary: RunSummary) -> Markup | None:
    """How many times faster than the baseline, with 95 % intervals; None where nothing was measured."""
    return _both(_times_faster, summary) if any(row.latency for row in summary.rows) else None


def stage_times(summary: RunSummary) -> Markup | None:
    """What making each stage took, and what this run spent on it; None for a run without stages."""
    return _both(_stage_times, summary) if summary.stages else None


def _both(draw: Callable[[RunSummary, int], Drawing], summary: RunSummary) -> Markup:
    return Markup("").join(
        draw(summary, width).markup(name) for width, name in ((WIDE, "wide"), (NARROW, "narrow"))
    )


def _size_against_score(summary: RunSummary, width: int) -> Drawing:
    height = 400 if width == WIDE else 370
    left, right, top, bottom = 40.0, width - 12.0, 26.0, height - 44.0
    published = figures.comparable(summary)
    rows = [row for row in summary.rows if summary.primary in row.scores]
    sizes = [row.size_bytes / figures.MB for row in rows] + [p.megabytes for p in published]
    sizes.append(figures.PAPER_MEGABYTES)
    title = figures.metrics([summary.primary])[0]
    scores = [row.scores[summary.primary] for row in rows] + [p.f1 for p in published]
    small, large = math.log10(max(min(sizes), 1e-3) * 0.75), math.log10(max(sizes) * 1.35)
    low, high = math.floor((min(scores) - 3) / 5) * 5.0, math.ceil((max(scores) + 1) / 5) * 5.0

    def across(megabytes: float) -> float:
        return left + (math.log10(max(megabytes, 1e-3)) - small) / (large - small) * (right - left)

    def up(score: float) -> float:
        return bottom - (score - low) / (high - low) * (bottom - top)

    described = "; ".join(
        f"{row.label} {figures.megabytes(row.size_bytes)}, {title} {row.scores[summary.primary]:.1f}"
        for row in rows
    )
    drawing = Drawing("size", f"Size on disk against {title}", described, width, height)
    step = 5 if high - low <= 40 else 20
    for score in range(int(math.ceil(low / step) * step), int(high) + 1, step):
        drawing.line(left, up(score), right, up(score), "grid")
        drawing.text(left - 8, up(score) + 4, str(score), "tick", "end")
    for megabytes in decades(10**small, 10**large, 8 if width == WIDE else 5):
        drawing.line(across(megabytes), bottom, across(megabytes), bottom + 5, "axis")
        drawing.text(across(megabytes), bottom + 19, f"{megabytes:g}", "tick", "middle")
    drawing.line(left, bottom, right, bottom, "axis")
    drawing.text(right, bottom + 38, "size in MB, logarithmic", "tick", "end")
    drawing.text(0, top - 12, title, "tick")
    paper = across(figures.PAPER_MEGABYTES)
    said = f"{figures.PAPER_MEGABYTES:.0f} MB: " + (
        "the paper’s phone app, published" if width == WIDE else "the paper’s app"
    )
    drawing.line(paper, top, paper, bottom, "reference")
    drawing.text(paper - 5, bottom - 8, said, "tick", "end")
    labels = []
    for known in published:
        drawing.mark(across(known.megabytes), up(known.f1), "published", f"{known.label}, published")
        labels.append(_Label(across(known.megabytes), up(known.f1), known.label, "tick"))
    for row in rows:
        x, y = across(row.size_bytes / figures.MB), up(row.scores[summary.primary])
        tip = f"{row.label}: {figures.megabytes(row.size_bytes)}, {title} {row.scores[summary.primary]:.1f}"
        drawing.mark(x, y, f"point {row.kind}", tip, square=row.kind != "artifact")
        labels.append(_Label(x, y, row.label, "label"))
    _place(drawing, labels, right)
    return drawing


def _place(drawing: Drawing, labels: Sequence[_Label], right: float) -> None:
    """Writes each label beside its point, pushed down where it would cover one above, then with a leader."""
    taken: list[tuple[float, float, float]] = []
    for label in sorted(labels, key=lambda one: one.y):
        length, y = len(label.words) * CHARACTER, label.y
        crowd = [one.x for one in labels if abs(one.x - label.x) < 16 and abs(one.y - label.y) < 16]
        before = max(crowd) + 12 + length > right
        edge = min(crowd) - 12 if before else max(crowd) + 12
        start = edge - length if before else edge
        for x0, x1, above in sorted(taken, key=lambda one: one[2]):
            if start < x1 and x0 < start + length and abs(y - above) < 16:
                y = above + 16
        taken.append((start, start + length, y))
        if y - label.y > 4:
            drawing.line(label.x, label.y, edge + (3 if before else -3), y, "leader")
        drawing.text(edge, y + 4, label.words, label.style, "end" if before else "start")


def _times_faster(summary: RunSummary, width: int) -> Drawing:
    bars = [
        (row.label if first else "", peer, ratio, style)
        for row in summary.rows
        if row.latency
        for first, peer, ratio, style in _ratios(row)
    ]
    above = width == NARROW
    left, right = (0.0 if above else 250.0), width - (150.0 if above else 170.0)
    pitch = 44 if above else 30
    top, height = 30.0, 30.0 + len(bars) * pitch + 12
    longest = max(max(ratio[2] for _, _, ratio, _ in bars), 1.2)
    described = "; ".join(
        f"{row.label}: {figures.times(ratio[0])} ({figures.interval(ratio)}) {peer}"
        for row in summary.rows
        if row.latency
        for _, peer, ratio, _ in _ratios(row)
    )
    drawing = Drawing("speed", f"Times faster than {summary.baseline}", described, width, height)
    scale = (right - left) / longest
    drawing.text(left + scale, top - 12, f"1× = {summary.baseline}", "tick", "start" if above else "middle")
    y = top
    for label, peer, ratio, style in bars:
        if above:
            drawing.text(0, y + 12, f"{label}, {peer}" if label else peer, "label" if label else "tick")
        else:
            drawing.text(0, y + 15, label, "label")
            drawing.text(left - 12, y + 15, peer, "tick", "end")
        bar = y + (18 if above else 4)
        drawing.bar(left, bar, ratio[0] * scale, 16, style)
        drawing.line(left + scale, bar - 3, left + scale, bar + 19, "reference")
        for end in ratio[1:]:
            drawing.line(left + end * scale, bar + 4, left + end * scale, bar + 12, "whisker")
        drawing.line(left + ratio[1] * scale, bar + 8, left + ratio[2] * scale, bar + 8, "whisker")
        beyond = left + max(ratio[0], ratio[2]) * scale + 8
        drawing.text(beyond, bar + 13, figures.times(ratio[0]), "label")
        beyond += (len(figures.times(ratio[0])) + 1.5) * CHARACTER
        drawing.text(beyond, bar + 13, figures.interval(ratio), "tick")
        y += pitch
    return drawing


def _ratios(row: Row) -> list[tuple[bool, str, tuple[float, float, float], str]]:
    """Whether it is the row's first, against what, ratio with interval, class of the bar."""
    assert row.latency is not None
    found = [(True, "against float32", row.latency.times_faster_fp32, f"bar {row.kind}")]
    if row.latency.times_faster_same:
        found.append((False, "same precision", row.latency.times_faster_same, f"bar {row.kind} pale"))
    return found


def _stage_times(summary: RunSummary, width: int) -> Drawing:
    above = width == NARROW
    left, right, pitch = (0.0, float(width), 40) if above else (190.0, width - 210.0, 26)
    longest = max(max(stage.made_in_seconds, stage.seconds) for stage in summary.stages) or 1.0
    described = "; ".join(f"{stage.name}: {_spent(stage)}" for stage in summary.stages)
    height = 6 + len(summary.stages) * pitch
    drawing = Drawing("stages", "Time spent in each stage", described, width, height)
    for place, stage in enumerate(summary.stages):
        y = place * pitch + 4.0
        drawing.text(0, y + 13, stage.name, "label")
        bar = y + (18 if above else 2)
        whole = stage.seconds if stage.origin == "made" else stage.made_in_seconds
        scale = (right - left) / longest
        drawing.bar(left, bar, whole * scale, 14, "bar now" if stage.origin == "made" else "bar then")
        if above:
            drawing.text(right, y + 13, _spent(stage), "tick", "end")
        else:
            drawing.text(left + max(whole * scale, 1.5) + 8, bar + 11.5, _spent(stage), "tick")
    return drawing


def _spent(stage: StageRecord) -> str:
    if stage.origin == "made":
        return seconds(stage.seconds)
    return f"{seconds(stage.made_in_seconds)} then, {stage.origin}"


def decades(low: float, high: float, most: int) -> list[float]:
    """Round values between two positive ends, at most so many: 1-2-5, else powers of ten."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in found if low <= value <= high]
        if len(inside) <= most:
            break
    return inside
