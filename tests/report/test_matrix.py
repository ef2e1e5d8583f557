"""The agreement matrix: each with each once, and what was not run."""

from __future__ import annotations

from pipeline.report.matrix import matrix
from pipeline.report.summary import Agreement


def test_each_pair_is_shown_once_below_the_diagonal(agreement: Agreement) -> None:
    shown = matrix(agreement)
    assert shown.metrics == ("EM", "F1")
    assert shown.columns == ("torch float32", "torch int8")
    assert [line.name for line in shown.lines] == ["torch float32", "torch int8", "tflite", "phone"]
    filled = [[bool(cell[0]) for cell in line.cells] for line in shown.lines]
    assert filled == [[False, False], [True, False], [True, True], [True, True]]
    assert shown.lines[2].cells[1] == ("98.4 %", "46.9 dB", "max 0.25", "mean 0.012", "cos 0.99998", "n 500")
    assert shown.lines[2].scores == ("68.8", "79.9")


def test_what_was_not_run_says_so_and_why(agreement: Agreement) -> None:
    shown = matrix(agreement)
    assert shown.lines[3].scores == ("–", "–")
    assert set(shown.lines[3].cells) == {("not run",)}
    assert shown.about[3] == ("phone", "not run: needs <a phone>")
