"""Which programs of a run agree, and how far: one row and one column for each, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report import figures
from pipeline.report.summary import Agreement, Compared, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One program: its metrics, and a cell for each of those above it, most important figure first."""

    name: str
    scores: tuple[str, ...]
    questions: str
    cells: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The lower half; `columns` are the programs that others are held against."""

    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    about: tuple[tuple[str, str], ...]
    """Name and sentence of each; of one that was not run, why."""


def matrix(agreement: Agreement) -> Matrix:
    """The record as a table."""
    compared = agreement.compared
    ran = [one for one in compared if not one.not_run]
    names = tuple(ran[0].scores) if ran else ()
    columns = [one.name for one in ran[:-1]]
    return Matrix(
        metrics=tuple(figures.metrics(names)),
        columns=tuple(columns),
        lines=tuple(_line(one, agreement, columns, names) for one in compared),
        about=tuple((one.name, f"{'not run: ' * one.not_run}{one.about}") for one in compared),
    )


def _line(one: Compared, agreement: Agreement, columns: Sequence[str], names: Sequence[str]) -> Line:
    above = columns[: columns.index(one.name)] if one.name in columns else columns
    pairs = [agreement.pair(one.name, other) for other in above]
    return Line(
        name=one.name,
        scores=tuple(figures.percent_points(one.scores.get(name)) for name in names),
        questions=f"{one.questions:,}" if not one.not_run else figures.MISSING,
        cells=(
            *(_cell(pair) if pair else ("not run",) for pair in pairs),
            *(("",) for _ in columns[len(above) :]),
        ),
    )


def _cell(pair: Pair) -> tuple[str, ...]:
    return (
        f"{pair.agreement * 100:.1f} %",
        f"{pair.sqnr_db:.1f} dB",
        f"max {_short(pair.max_error)}",
        f"mean {_short(pair.mean_error)}",
        f"cos {pair.cosine:.5f}",
        f"n {pair.questions:,}",
    )


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
