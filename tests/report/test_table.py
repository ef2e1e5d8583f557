"""The terminal's table: the record's figures, in 80 columns, names shown as they are."""

from __future__ import annotations

import dataclasses
import io

from rich.console import Console

from pipeline.report import table
from pipeline.report.summary import RunSummary


def printed(summary: RunSummary, width: int = 80) -> str:
    screen = Console(width=width, file=io.StringIO(), force_terminal=False)
    screen.print(table.result_table(summary))
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def cells(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if label in line.split("│")[1:2] or f"│{label} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_each_model_has_its_line(summary: RunSummary) -> None:
    text = printed(summary)
    assert cells(text, "teacher") == ["teacher", "71.8", "81.0", "90.3 MB", "39.6 ms", "6.31×", "–"]
    assert cells(text, "coreml") == ["coreml", "67.6", "76.8", "18.5 MB", "–", "–", "–"]
    assert cells(text, "tflite") == ["tflite", "68.0", "77.2", "18.4 MB", "39.6 ms", "27.4×", "0.80×"]


def test_it_fits_and_explains_itself(summary: RunSummary) -> None:
    text = printed(summary)
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert "EM and F1 on dev-v1.1.json.gz (500/184 questions)." in flat
    assert "batch 1, 384 tokens, 2 threads" in flat
    assert "random weights" in flat
    assert "Not a phone's figures." in flat
    assert "coreml: Evaluated op by op; not latency." in flat


def test_it_names_what_was_compared_with(summary: RunSummary) -> None:
    assert "× BERT-base" in printed(summary)
    text = printed(dataclasses.replace(summary, baseline="BERT-tiny (2 layers)"))
    assert "BERT-base" not in text
    assert "× BERT-tiny" in text
    assert "BERT-tiny (2 layers) with random weights" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_without_latency_nothing_is_said_about_it(summary: RunSummary) -> None:
    rows = tuple(dataclasses.replace(row, latency=None) for row in summary.rows)
    assert "random weights" not in printed(dataclasses.replace(summary, rows=rows))


def test_markup_in_a_name_is_shown_not_read(summary: RunSummary) -> None:
    rows = tuple(dataclasses.replace(row, label="[red]x[/]", note="[bold]n") for row in summary.rows)
    text = printed(dataclasses.replace(summary, rows=rows))
    assert "[red]x[/]" in text
    assert "[bold]n" in text
