"""claims: the paper's claims beside what was measured, each figure with the kind of device that it is from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from device_bench import claims, paper
from device_bench.claims import Compared, Invalid, Ours
from device_bench.screen import console_for_tables

NOTHING = "–"


def add(parser: argparse.ArgumentParser) -> None:
    """The flags of the verb."""
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="a run's folder, a bundle, a measurement.json, or a folder of such files",
    )
    parser.add_argument("--json", action="store_true", help="the same figures for machines, on stdout")


def main(given: argparse.Namespace) -> None:
    """Reads what is there and prints it beside the paper."""
    found = claims.gather(given.paths)
    mine, compared = list(claims.ours(found)), list(claims.compared(found))
    bad, notes = list(claims.invalid(found)), [*found.notes, *claims.untimed(found)]
    if given.json:
        print(json.dumps(_machine(mine, compared, bad, notes), indent=1, ensure_ascii=False))
        return
    screen = console_for_tables()
    screen.print(speed([one for one in compared if one.metric == "latency"]))
    counted = [one for one in compared if one.metric == "instructions"]
    if counted:
        screen.print(instructions(counted))
    screen.print(models(mine))
    for one in bad:
        text = f"invalid: {one.program} on {one.device} ({one.kind}): {'; '.join(one.reasons)}"
        screen.print(text, style="yellow", markup=False)
    if any(one.random_weights for one in compared):
        screen.print("Baselines have random weights: size, time and instructions count, answers do not.")
    for note in notes:
        screen.print(note, markup=False)
    screen.print("About the paper's figures:")
    for sentence in paper.known():
        screen.print(f"- {sentence}", markup=False)


def speed(timed: Sequence[Compared]) -> Table:
    """Both conventions, the paper's first."""
    drawn = _table("Speed, one inference without tokenization", "against", "× faster", "less time", "p50", "on")
    less = f"{paper.less_time(paper.TIMES_FASTER):.1f} %"
    percent = f"“{100 * (paper.TIMES_FASTER - 1):.0f} % faster”"
    where = f"phone: {paper.PHONE}"
    drawn.add_row(
        f"the paper: {paper.MODEL}", paper.AGAINST, f"{paper.TIMES_FASTER:.2f}, {percent}", less, NOTHING, where
    )
    for one in timed:
        low, high = one.interval or (None, None)
        drawn.add_row(
            one.program,
            one.against or "nothing paired",
            _span(one.ratio, low, high),
            _less(one.ratio, low, high),
            f"{one.value:,.2f} ms",
            _on(one),
        )
    if not timed:
        drawn.add_row("ours", *(NOTHING,) * 4, "no valid measurement of latency on a device of its own")
    return drawn


def instructions(counted: Sequence[Compared]) -> Table:
    """How many times fewer; the paper counted none."""
    drawn = _table("Instructions of one inference", "against", "× fewer", "less", "millions", "on")
    for one in counted:
        drawn.add_row(
            one.program,
            one.against or "nothing",
            _span(one.ratio, None, None),
            _less(one.ratio, None, None),
            f"{one.value / 1e6:,.1f}",
            _on(one),
        )
    return drawn


def models(mine: Sequence[Ours]) -> Table:
    """Size, parameters and accuracy."""
    goal = paper.GOAL_MEGABYTES
    drawn = _table(
        "Size and accuracy",
        "MB",
        f"to {paper.MEGABYTES:.0f} MB",
        f"under {goal:.0f} MB",
        "parameters",
        f"to {paper.AGAINST}'s {paper.BERT_PARAMETERS / 1e6:.0f} M",
        "score",
        "kept of the teacher's",
    )
    drawn.add_row(
        f"the paper: {paper.MODEL}",
        f"{paper.MEGABYTES:.0f}",
        "",
        "no",
        f"{paper.PARAMETERS / 1e6:.0f} M",
        _change(1 - paper.PARAMETERS / paper.BERT_PARAMETERS),
        f"F1 {paper.F1}",
        f"{paper.SHARE_KEPT * 100:.0f} % of GLUE, {paper.F1 / paper.BERT_F1 * 100:.1f} % of F1",
    )
    for one in mine:
        score = NOTHING if one.score is None else f"{_metric(one)} {one.score:.1f}{_asked(one.questions)}"
        kept = NOTHING
        if one.share_kept is not None:
            kept = f"{one.share_kept * 100:.1f} % of {one.teacher_score:.1f}{_asked(one.teacher_questions)}"
        drawn.add_row(
            f"{one.name} {one.precision or ''}".strip() + f", {one.target}",
            f"{one.program_bytes / 1e6:.1f}",
            f"{one.times_smaller:.1f} × smaller",
            "yes" if one.is_under_goal else "no",
            NOTHING if one.parameters is None else f"{one.parameters / 1e6:.1f} M",
            NOTHING if one.fewer_parameters is None else _change(one.fewer_parameters),
            score,
            kept,
        )
    return drawn


def _table(title: str, *headings: str) -> Table:
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    drawn.add_column("")
    for heading in headings:
        drawn.add_column(heading, justify="left" if heading in ("on", "against") else "right")
    return drawn


def _span(ratio: float | None, low: float | None, high: float | None) -> str:
    """26.1 (25.6–26.4)"""
    if ratio is None:
        return NOTHING
    return f"{ratio:.2f}" + ("" if low is None else f" ({low:.2f}–{high:.2f})")


def _less(ratio: float | None, low: float | None, high: float | None) -> str:
    """The other convention, with its interval."""
    if ratio is None:
        return NOTHING
    ends = [] if low is None or high is None else [f"{paper.less_time(end):.1f}" for end in (low, high)]
    return f"{paper.less_time(ratio):.1f} %" + (f" ({'–'.join(ends)})" if ends else "")


def _on(one: Compared) -> str:
    return f"{one.kind}: {one.device}; {one.conditions}"


def _change(fewer: float) -> str:
    return f"{-fewer * 100:+.0f} %".replace("-", "−")


def _metric(one: Ours) -> str:
    return (one.metric or "").upper() if one.metric in ("f1", "em") else one.metric or ""


def _asked(questions: int | None) -> str:
    return "" if questions is None else f" on {questions:,}"


def _machine(
    mine: Sequence[Ours], compared: Sequence[Compared], bad: Sequence[Invalid], notes: Sequence[str]
) -> dict[str, object]:
    """Everything that is printed, and no more."""
    return {
        "paper": {
            "times_faster": paper.TIMES_FASTER,
            "less_time_percent": paper.less_time(paper.TIMES_FASTER),
            "megabytes": paper.MEGABYTES,
            "parameters": paper.PARAMETERS,
            "bert_parameters": paper.BERT_PARAMETERS,
            "share_kept": paper.SHARE_KEPT,
            "known": list(paper.known()),
        },
        "goal_megabytes": paper.GOAL_MEGABYTES,
        "bundles": [asdict(one) for one in mine],
        "compared": [asdict(one) for one in compared],
        "invalid": [asdict(one) for one in bad],
        "notes": list(notes),
    }
