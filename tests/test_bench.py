"""make bench: judgements and tables, the student it takes, and one real export in a process of its own."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from pipeline import bench, recipe, run
from pipeline.bench import Cost
from pipeline.recipe import Bench
from pipeline.report.summary import Latency
from pipeline.runs import Run
from pipeline.shipped import Pretrained
from pipeline.store import Stage, Store
from pipeline.types import Artifact, PipelineError


def cost(target: str, seconds: float, peak: float) -> Cost:
    return Cost(
        target=target,
        wall_seconds=seconds,
        lowering_seconds=seconds / 2,
        peak_resident_bytes=int(peak),
        size_bytes=18_400_000,
        sha256="0" * 64,
        tools={},
    )


def latency(times: float) -> Latency:
    return Latency(
        runtime="tflite",
        length=384,
        threads=1,
        median_ms=35.25,
        times_faster_fp32=(times, times - 0.5, times + 0.5),
        times_faster_same=None,
    )


def printed(table: Table) -> str:
    screen = Console(width=100, file=io.StringIO(), force_terminal=False)
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_costs_are_totalled_and_held_against_the_goals() -> None:
    text = printed(bench.cost_table([cost("coreml", 100, 3.5e9), cost("tflite", 80, 1.2e9)]))
    assert "3,500 MB" in text
    assert "18.4 MB" in text
    assert "all exports: 180 s, goal ≤ 180 s: met" in text
    assert "highest peak: 3.50 GB, goal ≤ 4 GB: met" in text
    text = printed(bench.cost_table([cost("coreml", 181, 4.1e9)]))
    assert "all exports: 181 s, goal ≤ 180 s: missed" in text
    assert "highest peak: 4.10 GB, goal ≤ 4 GB: missed" in text


def test_latencies_are_judged_where_the_goal_applies() -> None:
    assert bench.judged(latency(15.0), Bench()) == "met"
    assert bench.judged(latency(14.99), Bench()) == "missed"
    assert bench.judged(latency(99.0), Bench(baseline="bert-tiny")) == "–"
    assert bench.judged(dataclasses.replace(latency(99.0), threads=2), Bench()) == "–"
    text = printed(bench.latency_table({"coreml": None, "tflite": latency(16.0)}, Bench()))
    assert max(map(len, text.splitlines())) <= 80
    assert "coreml" in text
    assert "16.0× (15.5–16.5)" in text
    assert "batch 1, 384 tokens, 1 thread" in " ".join(text.split())


class Noted(Run):
    """A dry run that notes the key of every stage it is asked for."""

    def __init__(self, root: Path) -> None:
        whole = recipe.load("pocket")
        super().__init__(whole, Store(root, seed=0, shipped=Pretrained(root)), Console(quiet=True), dry=True)
        self.keys: dict[str, str] = {}

    def __call__(self, stage: Stage, about: str = "") -> Artifact:
        found = super().__call__(stage, about)
        self.keys[f"{stage.name} {about}".strip()] = found.key
        return found


def test_the_student_is_the_one_that_a_run_makes(tmp_path: Path) -> None:
    ours, theirs = Noted(tmp_path), Noted(tmp_path)
    bench.make_student(ours)
    run.make_all(theirs, [], tmp_path)
    assert list(ours.keys) == ["teach", "pretrain", "distil", "prune", "quantize", "evaluate student"]
    assert ours.keys.items() <= theirs.keys.items()


def test_an_export_is_measured_in_its_own_process(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch")
    bench.in_own_process("tiny", tmp_path, bench.STUDENT)
    tiny = recipe.load("tiny")
    wall, peak = bench.in_own_process("tiny", tmp_path, "tflite")
    made = bench.cost_of(tiny, tmp_path, "tflite", wall, peak)
    assert 0 < made.lowering_seconds < made.wall_seconds < 120
    assert 100e6 < made.peak_resident_bytes < 4e9
    assert 100_000 < made.size_bytes < 20_000_000
    assert made.tools.keys() >= {"torch", "litert-torch"}


def test_what_stops_the_child_stops_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.in_own_process("no-such-recipe", tmp_path, "tflite")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(PipelineError, match="tflite: its process was killed by signal 9"):
        bench.in_own_process("tiny", tmp_path, "tflite")
