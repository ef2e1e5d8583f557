"""make bench-export: what the flags ask for, the lengths it draws, and one small run from end to end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import bench_export, console
from pipeline.bench_export import Settings
from pipeline.models import checkpoint
from pipeline.recipe import Record
from pipeline.types import PipelineError, UsageError


def settings(*flags: str) -> Settings:
    return bench_export.settings_of(bench_export._flags().parse_args(flags))


def test_the_flags_say_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    usual = settings()
    assert (usual.models, usual.lengths, usual.threads) == (("distilbert", "pocket"), (384, 128), (1, 2))
    assert usual.targets == ["tflite", "executorch"]
    assert usual.runtimes[-1] == "onnxruntime"
    assert usual.windows == 3 * usual.rounds
    few = settings("--lengths", "64,128", "--threads", "2", "--targets", "executorch", "--models", "pocket")
    assert (few.lengths, few.threads, few.runtimes, few.models) == (
        (128, 64),
        (2,),
        ("executorch",),
        ("pocket",),
    )
    assert settings("--quick").models == ("tiny",)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--models", "bert"), "--models must be of distilbert, pocket"),
        (("--targets", "coreml"), "--targets must be of tflite"),
        (("--targets", "onnxruntime"), "must name one of tflite, executorch"),
        (("--lengths", "384,8"), "--lengths must be from 17 to 512 tokens, got 8"),
        (("--threads", "999"), "--threads must be from 1 to this machine's"),
        (("--rounds", "0"), "--rounds must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(flags: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        settings(*flags)


def test_our_lengths_hold_those_of_the_equal_cases_and_none_beyond() -> None:
    assert bench_export.buckets_of((384, 128))[-1] == 384
    assert 128 in bench_export.buckets_of((384, 128))
    assert bench_export.buckets_of((150, 64)) == tuple(
        sorted({64, 150} | {length for length in bench_export.buckets_of((384,)) if length < 150})
    )


def test_windows_are_as_long_as_squads() -> None:
    windows, drawn = bench_export.real_windows(settings("--rounds", "40"))
    assert len(windows) == drawn.count == 120
    assert drawn.mean == pytest.approx(171, abs=4)
    assert max(map(len, windows)) <= 384
    assert "SQuAD" in drawn.source
    cut, _ = bench_export.real_windows(settings("--rounds", "10", "--lengths", "128,64"))
    assert max(map(len, cut)) == 128


def test_windows_of_a_file_are_its_own(question_file: Path) -> None:
    windows, drawn = bench_export.real_windows(settings("--rounds", "2", "--data", str(question_file)))
    tokenizer = checkpoint.load_tokenizer(checkpoint.SHIPPED / "pocket-teacher")
    texts = [tokenizer.decode(list(ids)) for ids in windows]
    assert len(windows) == 6
    assert all("[SEP]" in text for text in texts)
    assert any("mill" in text for text in texts)
    assert drawn.source == question_file.name
    assert drawn.mean == pytest.approx(np.mean([len(ids) for ids in windows]))


def test_a_small_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench" / "found.json"
    flags = ("--quick", "--targets", "tflite", "--store", str(tmp_path / "store"), "--out", str(out))
    monkeypatch.setattr(sys, "argv", ["bench_export", *flags])
    assert console.run(bench_export.main) == 0
    said = capsys.readouterr().out
    assert "tflite ours" in said
    assert "met" not in said.replace("median", ""), "goals are not about tiny models"
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {line["case"] for line in found["speed"]} == {"256", "64", "real"}
    assert all(line["verdict"] is None and line["ours_ms"] > 0 for line in found["speed"])
    (timing,) = found["timings"]
    assert all(
        len(samples) == len(case["lengths"])
        for case in timing["cases"]
        for samples in case["samples_ns"].values()
    )
    assert len(timing["cases"][-1]["lengths"]) == found["settings"]["windows"] == found["lengths"]["count"]
    assert found["int8_ops_per_second"]["1"] >= timing["rates"]["linear"] > 0
    costs = {f"{one['runtime']} {one['maker']}": one["runs"] for one in found["costs"]}
    assert list(costs) == ["tflite default", "tflite ours"]
    assert all(run["load_ms"] > 0 and run["peak_bytes"] > 0 for runs in costs.values() for run in runs)
    assert found["versions"]["litert-torch"] != "absent"
    assert found["machine"]["cpus"] >= 1
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_what_stops_a_child_stops_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(Record):
        pass

    with pytest.raises(SystemExit, match="1"):
        bench_export.asked("load", Nothing(), Nothing, tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(PipelineError, match="load: its process was killed by signal 9"):
        bench_export.asked("load", Nothing(), Nothing, tmp_path)
