"""What an ablation found, as a table on the terminal and in Markdown, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from pipeline.report.figures import MISSING

HEADINGS = ("variant", "to full", "95 %", "paper")
NOTE = (
    "To full: points of {metric} on {questions:,} questions of {source}, the distilled student in torch, one "
    "seed. 95 %: its interval when the questions are drawn again (paired bootstrap); it says nothing of other "
    "seeds. The paper's are GLUE points of DistilBERT after pre-training (Sanh et al. 2019, table 4): another "
    "student, other data, another metric."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant: its metrics, its headline metric less the full recipe's, and the paper's delta."""

    variant: str
    metrics: Mapping[str, float]
    delta: float | None
    interval: tuple[float, float] | None
    published: float | None
    key: str
    """Of the distilled student."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """All variants of one recipe."""

    recipe_name: str
    metric: str
    """The headline metric, in points."""
    questions: int
    source: str
    budget: tuple[str, ...]
    """What was overridden for all variants alike."""
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    """Variant → why it says nothing here."""


def table(found: Ablation) -> Table:
    """A line for each variant; below, what the figures mean and what was left out."""
    shown = Table(caption=Text("\n".join(_notes(found)), style="dim"), caption_justify="left", pad_edge=False)
    for number, heading in enumerate(_headings(found)):
        shown.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in found.rows:
        shown.add_row(
            *(Text(cell) for cell in _cells(found, row)), style="" if row.delta is not None else "bold"
        )
    return shown


def markdown(found: Ablation) -> str:
    """The same as a Markdown document."""
    headings = _headings(found)
    lines = [
        f"# Ablation of {found.recipe_name}",
        "",
        "| " + " | ".join(headings) + " |",
        "|---" + "|---:" * (len(headings) - 1) + "|",
        *("| " + " | ".join(_cells(found, row)) + " |" for row in found.rows),
        "",
        *(f"{note}\n" for note in _notes(found)),
    ]
    return "\n".join(lines)


def _headings(found: Ablation) -> tuple[str, ...]:
    names = found.rows[0].metrics if found.rows else {}
    return (HEADINGS[0], *(name.upper() if len(name) < 3 else name for name in names), *HEADINGS[1:])


def _cells(found: Ablation, row: Row) -> tuple[str, ...]:
    interval = MISSING
    if row.interval:
        interval = " to ".join(signed(end) for end in row.interval)
    return (
        row.variant,
        *(f"{value:.2f}" for value in row.metrics.values()),
        MISSING if row.delta is None else signed(row.delta),
        interval,
        MISSING if row.published is None else signed(row.published),
    )


def _notes(found: Ablation) -> list[str]:
    notes = [NOTE.format(metric=found.metric, questions=found.questions, source=found.source)]
    if found.budget:
        notes.append(f"For all variants alike: {', '.join(found.budget)}.")
    return [*notes, *(f"Skipped: {name}: {reason}." for name, reason in found.skipped.items())]


def signed(value: float) -> str:
    """−2.96, +0.31"""
    return f"{value:+.2f}".replace("-", "−")
