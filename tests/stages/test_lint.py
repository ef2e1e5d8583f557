"""The lint stage: what it gives the rules, what it writes, and that an error stops a run before the bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import stages
from pipeline.models import compressed
from pipeline.models.answerer import TorchStudent
from pipeline.stages.lint import RESULT, WINDOWS, Lint
from pipeline.types import Artifact, Finding, Silent, VerificationFailed
from tests.stages.conftest import Chain, FakeExporter, Rules

NOTE = Finding(severity="note", rule="wide-constant", where="table", sentence="it is wide; make it narrow")
ERROR = Finding(severity="error", rule="float64", where="x", sentence="it is float64; cast it")


def linted(chain: Chain, out: Path, rules: Rules) -> Artifact:
    """The chain's lint stage with other rules, and its result."""
    stage = chain.stages["lint"]
    assert isinstance(stage, Lint)
    metrics = dataclasses.replace(stage, linter=rules).run(out, out, Silent())
    return dataclasses.replace(chain.made["lint"], path=out, metrics=metrics)


def test_rules_are_given_the_program_its_windows_and_the_students_answers(chain: Chain, tmp_path: Path) -> None:
    rules = Rules()
    linted(chain, tmp_path, rules)
    assert rules.given["program"].name == "small_qa_seq96_int8_fake.fake"
    windows, reference = rules.given["windows"], rules.given["reference"]
    assert 0 < len(windows) <= WINDOWS
    assert len(reference) == len(windows)
    student = TorchStudent(compressed.load(chain.made["quantize"].path, "student", 96, {}).module)
    for window, wanted in zip(windows, reference, strict=True):
        assert {array.dtype for array in window} == {np.dtype(np.int32)}
        assert window[0].shape == window[1].shape
        for given, expected in zip(student(*window), wanted, strict=True):
            np.testing.assert_array_equal(given, expected)
    assert rules.given["kept"] == []


def test_matrices_that_the_record_keeps_in_float_are_allowed(chain: Chain, tmp_path: Path) -> None:
    quantize = chain.stages["quantize"]
    assert isinstance(quantize, stages.Quantize)
    kept = dataclasses.replace(
        quantize, options=quantize.options.model_copy(update={"keep_float": ("qa_outputs",)})
    )
    quantized = tmp_path / "quantized"
    quantized.mkdir()
    kept.run(quantized, tmp_path, Silent())
    rules, stage = Rules(), chain.stages["lint"]
    assert isinstance(stage, Lint)
    artifact = dataclasses.replace(chain.made["quantize"], path=quantized)
    dataclasses.replace(stage, linter=rules, quantized=artifact).run(tmp_path, tmp_path, Silent())
    (matrix,) = rules.given["kept"]
    assert matrix.shape[0] == 2


def test_findings_are_written_and_counted(chain: Chain, tmp_path: Path) -> None:
    artifact = linted(chain, tmp_path, Rules(NOTE, ERROR))
    assert artifact.metrics == {"errors": 1.0, "warnings": 0.0, "notes": 1.0, "rules_not_checked": 1.0}
    written = json.loads((tmp_path / RESULT).read_text(encoding="utf-8"))
    assert [each["rule"] for each in written["findings"]] == ["wide-constant", "float64"]
    assert written["skipped"] == {"outside-delegate": "a fake has none"}


def test_an_error_refuses_the_program(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(
        VerificationFailed, match="fake: float64 at x: it is float64; cast it; no bundle was made"
    ):
        stages.refuse_errors(linted(chain, tmp_path, Rules(NOTE, ERROR)))


def test_a_note_or_a_plan_does_not(chain: Chain, tmp_path: Path) -> None:
    stages.refuse_errors(linted(chain, tmp_path, Rules(NOTE)))
    planned = dataclasses.replace(chain.made["lint"], path=Path(), metrics={})
    stages.refuse_errors(planned)


def test_a_format_that_lint_does_not_read_is_said(chain: Chain, tmp_path: Path) -> None:
    class Other(FakeExporter):
        suffix = ".other"

    stage = chain.stages["lint"]
    assert isinstance(stage, Lint)
    metrics = dataclasses.replace(stage, exporter=Other()).run(tmp_path, tmp_path, Silent())
    assert metrics["rules_not_checked"] == 1.0
    written = json.loads((tmp_path / RESULT).read_text(encoding="utf-8"))
    assert written["skipped"] == {"all": "lint does not read .other programs"}
