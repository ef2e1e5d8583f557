"""verify: its figures by an independent statement, its verdicts check by check, and broken programs."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipeline.models import checkpoint, student
from pipeline.models.answerer import TorchStudent
from pipeline.models.student import Layer
from pipeline.recipe import Recipe, Task
from pipeline.recipe import Verify as Tolerance
from pipeline.run import make_all
from pipeline.runs import Run
from pipeline.shipped import Pretrained
from pipeline.stages.cause import cause_of, first_bad_layer, probes
from pipeline.stages.export import Export, program_of
from pipeline.stages.verify import RESULT, Verify, judge
from pipeline.store import Store
from pipeline.tasks import question_answering, squad
from pipeline.tasks.question_answering import Window
from pipeline.types import Artifact, Silent, VerificationFailed
from tests.stages.conftest import (
    NOT_A_NUMBER,
    SILENCED,
    SWAPPED,
    Break,
    Chain,
    FakeExporter,
    FakeRunner,
    small_recipe,
)


def verification(
    chain: Chain, broken: Break, folder: Path, runner: type[FakeRunner] = FakeRunner
) -> tuple[Verify, Artifact]:
    """Stage verify on a program that this exporter made of the chain's student, and its result."""
    export, verify = chain.stages["export"], chain.stages["verify"]
    assert isinstance(export, Export)
    assert isinstance(verify, Verify)
    exporter, program, out = FakeExporter(broken, runner), folder / "program", folder / "out"
    program.mkdir()
    out.mkdir()
    dataclasses.replace(export, exporter=exporter).run(program, folder, Silent())
    made = dataclasses.replace(
        verify, exporter=exporter, exported=dataclasses.replace(chain.made["export"], path=program)
    )
    metrics = made.run(out, folder, Silent())
    return made, Artifact(kind="verify", path=out, key="v", sha256="v", parents=(), metrics=metrics)


def best_span(passage: str, parts: list[Window], logits: list[Any], longest: int) -> tuple[str, int, int]:
    """The span of the highest score, by trying all."""
    scored = [
        (float(start[i]) + float(end[j]), int(part.offsets[i][0]), int(part.offsets[j][1]))
        for part, (start, end) in zip(parts, logits, strict=True)
        for i in range(len(start))
        for j in range(i, min(i + longest, len(start)))
        if part.offsets[i][1] and part.offsets[j][1]
    ]
    top = max(score for score, _, _ in scored)
    first, last = next((a, b) for score, a, b in scored if score == top)
    return passage[first:last], first, last


def test_figures_are_those_of_an_independent_statement(chain: Chain, tmp_path: Path) -> None:
    """With swapped outputs, so that no figure is near a value that a mistake could give as well."""
    made, verified = verification(chain, SWAPPED, tmp_path)
    task, folder = chain.recipe.task, chain.made["quantize"].path
    assert isinstance(task, Task)
    reference = TorchStudent(student.load(folder))
    program = made.exporter.runner(program_of(made.exported))
    tokenizer = checkpoint.load_tokenizer(folder)
    questions = squad.read(chain.recipe.data.eval.source)[:5]
    same, theirs, ours = 0, {}, {}
    wanted: list[float] = []
    got: list[float] = []
    for question in questions:
        parts = question_answering.windows(question, tokenizer, task)
        spans = []
        for model, values in ((reference, wanted), (program, got)):
            logits = [tuple(x[0] for x in model(p.ids[None], np.ones_like(p.ids[None]))) for p in parts]
            values.extend(float(x) for pair in logits for array in pair for x in array)
            spans.append(best_span(question.passage, parts, logits, task.max_answer_length))
        same += spans[0][1:] == spans[1][1:]
        theirs[question.id], ours[question.id] = spans[0][0], spans[1][0]
    errors = [abs(a - b) for a, b in zip(wanted, got, strict=True)]
    noise, signal = sum(e * e for e in errors), sum(a * a for a in wanted)
    metrics = verified.metrics
    assert metrics["questions"] == 5
    assert metrics["sqnr_db"] == pytest.approx(10 * math.log10(signal / noise), rel=1e-9)
    assert metrics["max_error"] == pytest.approx(max(errors), rel=1e-9)
    assert metrics["mean_error"] == pytest.approx(sum(errors) / len(errors), rel=1e-9)
    assert metrics["span_agreement"] == same / 5
    score, expected = squad.score(questions, ours), squad.score(questions, theirs)
    assert (metrics["em"], metrics["f1"]) == (score["em"], score["f1"])
    assert (metrics["student_em"], metrics["student_f1"]) == (expected["em"], expected["f1"])
    assert metrics["f1_drop"] == pytest.approx(expected["f1"] - score["f1"])
    record = json.loads((verified.path / RESULT).read_text())
    assert record["predictions"] == ours
    assert record["metrics"] == dict(metrics)
    assert (record["target"], record["emulated"], record["note"]) == ("fake", False, "A fake runtime.")


def test_a_faithful_program_passes_all_checks(chain: Chain, tmp_path: Path) -> None:
    _, verified = verification(chain, lambda model: None, tmp_path)
    verdict = judge(verified, Tolerance(min_float_agreement=0.2))
    assert verdict.passed
    assert verdict.outcome == "passed"
    assert (verdict.target, verdict.questions, verdict.note) == ("fake", 5, "A fake runtime.")
    assert [check.name for check in verdict.checks] == [
        "sqnr_db",
        "span_agreement",
        "quantized_agreement",
        "float_agreement",
        "f1_drop",
        "adversarial_sqnr_db",
        "padding_sqnr_db",
    ]
    assert verified.metrics["sqnr_db"] > 50, "float16 keeps eleven bits"
    assert verified.metrics["span_agreement"] == 1.0
    assert verified.metrics["f1_drop"] == 0.0


def judged(folder: Path, **changed: float) -> list[str]:
    """Names of the checks that fail with these metrics, at tolerances of 20 dB, 90 % and 2 points."""
    metrics = {
        "questions": 9.0,
        "sqnr_db": 20.0,
        "span_agreement": 0.9,
        "quantized_agreement": 0.97,
        "float_agreement": 0.9,
        "f1_drop": 2.0,
        "adversarial_sqnr_db": 20.0,
        "padding_sqnr_db": 20.0,
        **changed,
    }
    record = {
        "target": "fake",
        "note": "",
        "primary": "f1",
        "agreement": "span_agreement",
        "metrics": metrics,
        "adversarial": {"worst": {"adversarial_sqnr_db": "lowest ids"}},
    }
    (folder / RESULT).write_text(json.dumps(record))
    found = Artifact(kind="verify", path=folder, key="v", sha256="v", parents=(), metrics=metrics)
    tolerance = Tolerance(
        min_sqnr_db=20.0,
        min_span_agreement=0.9,
        min_quantized_agreement=0.97,
        min_float_agreement=0.9,
        max_f1_drop=2.0,
    )
    verdict = judge(found, tolerance)
    assert [check.name for check in verdict.checks if check.on == "lowest ids"] == ["adversarial_sqnr_db"]
    failed = [check.name for check in verdict.checks if not check.passed]
    assert verdict.passed == (not failed)
    return failed


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"sqnr_db": float("inf"), "span_agreement": 1.0, "f1_drop": -3.0}, []),
        ({"sqnr_db": 19.99}, ["sqnr_db"]),
        ({"sqnr_db": float("-inf")}, ["sqnr_db"]),
        ({"sqnr_db": float("nan")}, ["sqnr_db"]),
        ({"span_agreement": 0.89}, ["span_agreement"]),
        ({"f1_drop": 2.01}, ["f1_drop"]),
        ({"quantized_agreement": 0.96}, ["quantized_agreement"]),
        ({"float_agreement": 0.89}, ["float_agreement"]),
        ({"adversarial_sqnr_db": 19.9}, ["adversarial_sqnr_db"]),
        ({"adversarial_sqnr_db": float("-inf")}, ["adversarial_sqnr_db"]),
        ({"padding_sqnr_db": 19.9}, ["padding_sqnr_db"]),
        ({"f1_drop": float("nan")}, ["f1_drop"]),
        ({"sqnr_db": 0.0, "span_agreement": 0.0, "f1_drop": 90.0}, ["sqnr_db", "span_agreement", "f1_drop"]),
    ],
)
def test_each_check_passes_at_its_limit_and_fails_beyond(
    changed: dict[str, float], failed: list[str], tmp_path: Path
) -> None:
    assert judged(tmp_path, **changed) == failed


def test_not_a_number_is_a_failed_verdict_and_no_crash(chain: Chain, tmp_path: Path) -> None:
    made, verified = verification(chain, NOT_A_NUMBER, tmp_path)
    assert verified.metrics["sqnr_db"] == float("-inf")
    failed = [c for c in judge(verified, chain.recipe.verify).checks if not c.passed]
    assert {"sqnr_db", "adversarial_sqnr_db"} <= {check.name for check in failed}
    found = cause_of(exported(chain, made), made, failed[0], Silent())
    assert found.startswith("aten.linear at qa_outputs: torch ")
    assert "program nan at [first token, 0] (SQNR -inf dB after it, 15 wanted)" in found


def exported(chain: Chain, check: Verify) -> Export:
    """The stage that made the program under verification."""
    export = chain.stages["export"]
    assert isinstance(export, Export)
    return dataclasses.replace(export, exporter=check.exporter)


def strict(check: Verify) -> Verify:
    return dataclasses.replace(check, tolerance=Tolerance(min_sqnr_db=40.0))


def test_the_operation_that_breaks_is_named_with_both_values(chain: Chain, tmp_path: Path) -> None:
    made, verified = verification(chain, SILENCED, tmp_path)
    assert verified.metrics["sqnr_db"] < 40
    found = cause_of(exported(chain, made), strict(made), judge(verified, Tolerance()).checks[0], Silent())
    said = re.fullmatch(
        r"aten\.linear at layers\.1\.feed_forward\.outer: torch (\S+), program (\S+) at \[(.*), (\d+)\] "
        r"\(SQNR \S+ dB after it, 40 wanted\)",
        found,
    )
    assert said, found
    quantized = student.load(chain.made["quantize"].path)
    layer = quantized.layers[1]
    assert isinstance(layer, Layer)
    bias = layer.feed_forward.outer.bias[int(said[4])].item()
    assert float(said[2]) == pytest.approx(bias, abs=1e-4), "the weight was lost, the bias was not"
    assert float(said[1]) != pytest.approx(bias, abs=1e-3)


def test_where_the_student_cannot_be_observed_the_layer_is_named(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, verified = verification(chain, SILENCED, tmp_path)
    exporter = made.exporter

    def refuse(*given: object) -> None:
        raise RuntimeError("no such graph\nand more")

    monkeypatch.setattr(exporter, "_trace", refuse)
    found = cause_of(exported(chain, made), strict(made), judge(verified, Tolerance()).checks[0], Silent())
    assert found.startswith("layers.1 (SQNR ")
    assert found.endswith("since the student cannot be observed: no such graph")


def test_where_nothing_breaks_it_says_so(chain: Chain, tmp_path: Path) -> None:
    made, verified = verification(chain, lambda model: None, tmp_path)
    first = judge(verified, Tolerance()).checks[0]
    export = exported(chain, made)
    assert (
        cause_of(export, made, first, Silent()) == "no single operation: the error builds up over all of them"
    )
    windows = probes(made, first)
    assert first_bad_layer(export, made, windows, Silent()).startswith("no single layer")


class Short(FakeRunner):
    """A runtime that is right wherever real text goes, and gives NaN on windows of one token."""

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = super().__call__(input_ids, attention_mask)
        return tuple(output * np.nan for output in outputs) if input_ids.shape[1] == 1 else outputs


class Leaking(FakeRunner):
    """A runtime that attends to padding."""

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> tuple[np.ndarray, ...]:
        return super().__call__(input_ids, np.ones_like(attention_mask))


@pytest.mark.parametrize(
    ("runner", "failed"),
    [
        (Short, {"adversarial_sqnr_db": "1 token", "padding_sqnr_db": "1 token"}),
        (
            Leaking,
            {
                "adversarial_sqnr_db": "all padding but two tokens",
                "padding_sqnr_db": None,
            },
        ),
    ],
)
def test_what_real_text_does_not_show_hostile_windows_do(
    runner: type[FakeRunner], failed: dict[str, str | None], chain: Chain, tmp_path: Path
) -> None:
    made, verified = verification(chain, lambda model: None, tmp_path, runner)
    checks = judge(verified, Tolerance(min_float_agreement=0.2)).checks
    found = {check.name: check.on for check in checks if not check.passed}
    assert found.keys() == failed.keys()
    assert all(name is None or found[check] == name for check, name in failed.items())
    table = json.loads((verified.path / RESULT).read_text())["adversarial"]["feeds"]
    assert len({row["feed"] for row in table}) == len(table) > 8
    one = next(check for check in checks if check.name == "adversarial_sqnr_db")
    assert len(probes(made, one)) == len(probes(made, checks[0])) + 1


def test_a_program_that_cannot_run_here_has_neither_verdict(chain: Chain, tmp_path: Path) -> None:
    made = chain.stages["verify"]
    assert isinstance(made, Verify)
    exporter = FakeExporter()
    exporter.not_run = "needs a phone"
    metrics = dataclasses.replace(made, exporter=exporter).run(tmp_path, tmp_path, Silent())
    assert metrics == {"questions": 0.0}
    found = Artifact(kind="verify", path=tmp_path, key="v", sha256="v", parents=(), metrics=metrics)
    verdict = judge(found, Tolerance())
    assert (verdict.outcome, verdict.passed, verdict.not_run) == ("not run", False, "needs a phone")
    assert verdict.checks == ()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            NOT_A_NUMBER,
            "fake: sqnr_db is -inf, wanted ≥ 40 on 5 questions; no bundle was made; first to go wrong",
        ),
        (SILENCED, "no bundle was made; first to go wrong: aten.linear at layers.1."),
    ],
)
def test_a_failed_verdict_makes_no_bundle(
    broken: Break, said: str, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    recipe: Recipe = small_recipe(
        encoder_folder,
        question_file,
        verify={"questions": 5, "golden_cases": 3, "min_sqnr_db": 40.0, "min_float_agreement": 0.2},
    )
    store = Store(tmp_path / "store", seed=0, shipped=Pretrained(tmp_path / "nothing"))
    run = Run(recipe, store, Console(file=io.StringIO()), dry=False)
    with pytest.raises(VerificationFailed) as caught:
        make_all(run, [FakeExporter(broken)], tmp_path / "out")
    assert caught.value.exit_code == 4
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    kinds = {
        json.loads(path.read_text())["kind"]
        for path in (tmp_path / "store" / "results").glob("*/manifest.json")
    }
    assert "verify" in kinds
    assert "bundle" not in kinds


def test_one_scale_a_tensor_is_held_to_its_own_share(chain: Chain) -> None:
    verified, tolerance = chain.made["verify"], Tolerance(min_float_agreement=0.2, min_tensor_agreement=0.3)
    shares = ("span_agreement", "quantized_agreement", "float_agreement")
    by_row, by_tensor = (
        {check.name: check.limit for check in judge(verified, tolerance, kind).checks}
        for kind in ("int8-row", "int8-tensor")
    )
    limits = [tolerance.min_span_agreement, tolerance.min_quantized_agreement, tolerance.min_float_agreement]
    assert [by_row[name] for name in shares] == limits
    assert [by_tensor[name] for name in shares] == [0.3, 0.3, 0.3]
    assert by_row.keys() - by_tensor.keys() == {"padding_sqnr_db"}
    assert all(by_row[name] == limit for name, limit in by_tensor.items() if name not in shares)
