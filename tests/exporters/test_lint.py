"""The verb: what it reads, what it prints, and the exit code that says whether a program may ship."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import lint
from exporters.linting.checks import RULES
from tests.exporters.linting.given import windows
from tests.exporters.linting.test_onnx import CLEAN, SEEDS, Runtime

ROOT = Path(lint.__file__).parents[1]


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lint", *map(str, arguments)])
    return lint.main()


def test_a_clean_program_is_0(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, CLEAN.saved(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "seed.onnx: 0 errors, 0 warnings, 0 notes" in said
    assert "not checked: activation-range, no windows to run" in said


def test_an_error_is_4_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, SEEDS["int64-interface"][1].saved(tmp_path)) == 4
    said = " ".join(capsys.readouterr().out.split())
    assert "error int64-interface input input_ids of seed it is int64; export with int32 ids" in said


def test_a_warning_is_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert asked(monkeypatch, SEEDS["duplicated-constant"][1].saved(tmp_path)) == 0


def test_an_ignored_rule_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = SEEDS["int64-interface"][1].saved(tmp_path)
    assert asked(monkeypatch, program, "--ignore", "int64-interface") == 0
    assert "not checked: int64-interface, ignored, as asked" in capsys.readouterr().out


def test_json_holds_the_whole_findings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, SEEDS["left-float"][1].saved(tmp_path), "--json") == 4
    written = json.loads(capsys.readouterr().out)
    (finding,) = written["findings"]
    assert finding["severity"] == "error"
    assert finding["rule"] == "left-float"
    assert finding["where"] == "words 0"
    assert finding["sentence"].startswith(
        "Gather takes a matrix of 200 × 16 in float32 (12,800 bytes); see why"
    )


@pytest.mark.parametrize(
    ("name", "flags", "code"),
    [("m_qa_seq64_float32_onnx", (), 0), ("m_qa_seq64_int8_onnx", (), 4), ("m", ("--precision", "float32"), 0)],
)
def test_the_precision_is_what_the_name_or_the_flag_says(
    name: str, flags: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = SEEDS["left-float"][1].saved(tmp_path).rename(tmp_path / f"{name}.onnx")
    assert asked(monkeypatch, program, *flags) == code


def test_every_rule_can_be_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(monkeypatch, "--rules") == 0
    said = capsys.readouterr().out
    assert all(rule.name in said and rule.advice in said for rule in RULES.values())


def bundle(folder: Path, **changed: Any) -> Path:
    """A bundle as lint reads it: a manifest, a program and recorded windows."""
    CLEAN.saved(folder)
    runtime = Runtime(CLEAN)
    recorded = []
    for ids, mask in windows():
        start, end = runtime(ids, np.ones_like(mask))
        recorded.append(
            {"input_ids": ids[0].tolist(), "start_logits": start[0].tolist(), "end_logits": end[0].tolist()}
        )
    golden = {"cases": [{"windows": recorded}]}
    (folder / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    manifest = {"program": "seed.onnx", "target": "onnx", **changed}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_bundle_brings_its_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(monkeypatch, bundle(tmp_path)) == 0
    assert "not checked: activation-range" not in capsys.readouterr().out
    subject = lint.opened(tmp_path)
    assert subject.program == tmp_path / "seed.onnx"
    assert subject.target == "onnx"
    assert [ids.shape for ids, _ in subject.windows] == [ids.shape for ids, _ in windows()]
    assert len(subject.reference) == len(subject.windows)


@pytest.mark.parametrize("damage", ["{", "[]", '{"target": "onnx"}', '{"program": 3, "target": "onnx"}'])
def test_a_damaged_bundle_is_2(
    damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle(tmp_path) / "manifest.json").write_text(damage, encoding="utf-8")
    assert asked(monkeypatch, tmp_path) == 2
    said = capsys.readouterr().err
    assert said == f"error: bundle {tmp_path} is damaged: its manifest or golden cases cannot be read\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.tflite", "does not exist; give a program or a bundle folder"),
        ("model.bin", "is no program that lint reads; it reads .mlpackage, .pte, .tflite, .onnx and bundles"),
        ("model.mlpackage", "is not a folder, as a .mlpackage is; export it again"),
        ("model.onnx", "export it again"),
    ],
)
def test_what_cannot_be_read_is_2(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"not a program")
    assert asked(monkeypatch, tmp_path / name) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    program = SEEDS["float64"][1].saved(tmp_path)
    command = [sys.executable, "-m", "exporters.lint", str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "float64" in done.stdout
    assert "Traceback" not in done.stderr
