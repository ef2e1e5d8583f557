"""verify: its figures by an independent statement, its verdicts check by check, and broken programs."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipeline.models import checkpoint, student
from pipeline.models.answerer import TorchStudent
from pipeline.recipe import Recipe, Task
from pipeline.recipe import Verify as Tolerance
from pipeline.run import make_all
from pipeline.runs import Run
from pipeline.shipped import Pretrained
from pipeline.stages.export import Export, program_of
from pipeline.stages.verify import RESULT, Verify, first_bad_layer, judge
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
    small_recipe,
)


def verification(chain: Chain, broken: Break, folder: Path) -> tuple[Verify, Artifact]:
    """Stage verify on a program that this exporter made of the chain's student, and its result."""
    export, verify = chain.stages["export"], chain.stages["verify"]
    assert isinstance(export, Export)
    assert isinstance(verify, Verify)
    exporter, program, out = FakeExporter(broken), folder / "program", folder / "out"
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
    verdict = judge(verified, Tolerance())
    assert verdict.passed
    assert (verdict.target, verdict.questions, verdict.note) == ("fake", 5, "A fake runtime.")
    assert [check.name for check in verdict.checks] == ["sqnr_db", "span_agreement", "f1_drop"]
    assert verified.metrics["sqnr_db"] > 50, "float16 keeps eleven bits"
    assert verified.metrics["span_agreement"] == 1.0
    assert verified.metrics["f1_drop"] == 0.0


def judged(folder: Path, **changed: float) -> list[str]:
    """Names of the checks that fail with these metrics, at tolerances of 20 dB, 90 % and 2 points."""
    metrics = {"questions": 9.0, "sqnr_db": 20.0, "span_agreement": 0.9, "f1_drop": 2.0, **changed}
    record = {
        "target": "fake",
        "note": "",
        "primary": "f1",
        "agreement": "span_agreement",
        "metrics": metrics,
    }
    (folder / RESULT).write_text(json.dumps(record))
    found = Artifact(kind="verify", path=folder, key="v", sha256="v", parents=(), metrics=metrics)
    verdict = judge(found, Tolerance(min_sqnr_db=20.0, min_span_agreement=0.9, max_f1_drop=2.0))
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
    failed = [c.name for c in judge(verified, chain.recipe.verify).checks if not c.passed]
    assert "sqnr_db" in failed
    assert first_bad_layer(made, Silent()).startswith("embeddings or qa_outputs (SQNR -inf dB after it")


def test_the_layer_that_breaks_is_named(chain: Chain, tmp_path: Path) -> None:
    made, verified = verification(chain, SILENCED, tmp_path)
    strict = Tolerance(min_sqnr_db=40.0)
    assert verified.metrics["sqnr_db"] < 40 < 50
    found = first_bad_layer(dataclasses.replace(made, tolerance=strict), Silent())
    assert found.startswith("layers.1 (SQNR ")
    assert found.endswith(" dB after it, 40 wanted)")


def test_where_no_layer_breaks_it_says_so(chain: Chain, tmp_path: Path) -> None:
    made, _ = verification(chain, lambda model: None, tmp_path)
    assert first_bad_layer(made, Silent()) == "no single layer: the error builds up over all of them"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            NOT_A_NUMBER,
            "fake: sqnr_db is -inf, wanted ≥ 40 on 5 questions; no bundle was made; first to go wrong",
        ),
        (SILENCED, "no bundle was made; first to go wrong: layers.1 (SQNR "),
    ],
)
def test_a_failed_verdict_makes_no_bundle(
    broken: Break, said: str, encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    recipe: Recipe = small_recipe(
        encoder_folder, question_file, verify={"questions": 5, "golden_cases": 3, "min_sqnr_db": 40.0}
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
