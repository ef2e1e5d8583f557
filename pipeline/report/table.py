"""The table a run ends with on the terminal: teacher, student and artifacts, one line each."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from pipeline.report import figures
from pipeline.report.summary import Row, RunSummary


def result_table(summary: RunSummary) -> Table:
    """The task's metrics in percent, size, median latency, and times faster than the baseline; fits 80 columns.

    Names and notes are shown as they are: nothing in them is read as markup.
    """
    table = Table(title=None, caption=_caption(summary), caption_justify="left", pad_edge=False)
    table.add_column("model", no_wrap=True, overflow="ellipsis")
    against = summary.baseline.partition(" ")[0]
    for heading in (
        *figures.metrics(_metrics(summary)),
        "size",
        "latency",
        f"× {against}\nfloat32",
        f"× {against}\nsame prec.",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summary.rows:
        style = "bold" if row.kind == "artifact" else ""
        table.add_row(*(Text(cell) for cell in _cells(row, _metrics(summary))), style=style)
    return table


def _cells(row: Row, names: tuple[str, ...]) -> tuple[str, ...]:
    latency = row.latency
    timed = (figures.MISSING,) * 3
    if latency:
        same = latency.times_faster_same
        timed = (
            figures.milliseconds(latency.median_ms),
            figures.times(latency.times_faster_fp32[0]),
            figures.times(same[0]) if same else figures.MISSING,
        )
    accuracy = (figures.percent_points(row.scores.get(name)) for name in names)
    return (row.label, *accuracy, figures.megabytes(row.size_bytes), *timed)


def _metrics(summary: RunSummary) -> tuple[str, ...]:
    return tuple(summary.rows[0].scores) if summary.rows else ()


def _caption(summary: RunSummary) -> Text:
    counts = "/".join(dict.fromkeys(f"{row.questions:,}" for row in summary.rows if row.scores))
    measured = figures.joined(figures.metrics(_metrics(summary)))
    lines = [f"{measured} on {summary.eval_source} ({counts} {summary.asked})."]
    timed = list(dict.fromkeys(figures.conditions(row.latency) for row in summary.rows if row.latency))
    if timed:
        lines.append(
            f"Latency: median here, {' or '.join(timed)}. {summary.baseline} with random weights, same runtime "
            "and length: size and latency only. Not a phone's figures."
        )
    lines += [f"{row.label}: {row.note}" for row in summary.rows if row.note]
    return Text("\n".join(lines), style="dim")
