"""The tables of bench_export: speed by case and runtime, and what a program costs to ship and to keep."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from pipeline.report import figures
from pipeline.speed.comparison import MIN_TIMES_EQUAL, MIN_TIMES_REAL, Line, Weighed, Weight
from pipeline.speed.inference import REAL


def speed_table(title: str, lines: Sequence[Line]) -> Table:
    """A line for each case and runtime of one model; fits 80 columns."""
    notes = [
        "Milliseconds at batch 1, paired and interleaved in one process: medians; over SQuAD's lengths means, "
        "and the ratio of total times, the default padding to its own length. Share: FLOPs of the matrix "
        "products over real tokens, of the int8 matmul peak, ours/default. × ORT: against ONNX Runtime's "
        "dynamic int8, which pads nothing."
    ]
    unequal = [line for line in lines if line.case != REAL and not line.equal]
    if unequal:
        where = ", ".join(f"{line.runtime} at {line.case}" for line in unequal)
        notes.append(f"Not of equal length, so not judged: {where}.")
    if any(line.goal for line in lines):
        notes.append(
            f"Goals: × default ≥ {MIN_TIMES_EQUAL:g} at equal length, "
            f"≥ {MIN_TIMES_REAL:g} over SQuAD's lengths."
        )
    table = Table(
        title=title,
        title_justify="left",
        caption=" ".join(notes),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("tokens", "runtime"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ours", "default", "× default (95 %)", "share %", "× ORT", "goal"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in sorted(lines, key=lambda one: (one.case == REAL, -int(one.case) if one.case != REAL else 0)):
        table.add_row(
            "SQuAD's" if line.case == REAL else line.case,
            line.runtime,
            *(figures.milliseconds(ms).removesuffix(" ms") for ms in (line.ours_ms, line.default_ms)),
            f"{figures.times(line.times[0])} ({figures.interval(line.times)})",
            f"{line.ours_share * 100:.0f}/{line.default_share * 100:.0f}",
            figures.times(line.times_peer[0]) if line.times_peer else figures.MISSING,
            line.verdict or figures.MISSING,
        )
    return table


def weight_table(title: str, weighed: Sequence[Weighed], weights: Sequence[Weight]) -> Table:
    """A line for each program of one model, and below them what is judged."""
    said = [
        f"{w.runtime}, {w.what}: {w.times:.3f} × the default's, goal ≤ {w.goal:g}: {w.verdict}"
        for w in weights
        if w.verdict
    ]
    notes = [
        f"Medians over {len(weighed[0].costs)} fresh processes a program, the file in the page cache. Memory "
        "above that of interpreter and imported runtime: after windows of the longest length, then SQuAD's.",
        *said,
    ]
    table = Table(
        title=title,
        title_justify="left",
        caption="\n".join(notes),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("program", no_wrap=True)
    for heading in ("file", "load", "first run", "resident", "then", "peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in weighed:
        bytes_ = [one.middle(name) for name in ("fixed_bytes", "real_bytes", "peak_bytes")]
        table.add_row(
            one.program.label,
            figures.megabytes(one.program.size_bytes),
            *(figures.milliseconds(one.middle(name) or 0.0) for name in ("load_ms", "first_ms")),
            *(figures.MISSING if value is None else figures.megabytes(value) for value in bytes_),
        )
    return table
