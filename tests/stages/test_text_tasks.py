"""Classification and regression through every stage: learned, lowered, verified, bundled and read again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline import bundles, golden
from pipeline import recipe as recipes
from pipeline.answerers import for_questions
from pipeline.models import checkpoint, student
from pipeline.models.student import ClassifyingStudent, StudentModel
from pipeline.run import make_all
from pipeline.runs import Run
from pipeline.shipped import Pretrained
from pipeline.store import Store
from pipeline.tasks.methods import methods_of
from pipeline.types import UsageError, VerificationFailed
from tests.stages.conftest import FakeExporter, install

LABELS = {
    "kind": "text-classification",
    "max_length": 32,
    "labels": ["mill", "river"],
    "metrics": ["f1", "accuracy"],
}
VALUES = {"kind": "regression", "max_length": 32, "agree_within": 0.5}
WORDS = ("the old", "a light in the", "built by the", "where is the", "it was the", "of the year the")


def write_texts(folder: Path, task: dict[str, Any]) -> Path:
    """Texts that one word decides: which label, or 4 against 1."""
    folder.mkdir()
    for name, words in (("train", WORDS), ("dev", WORDS[::-1])):
        rows = []
        for start in words:
            for label, word in enumerate(("mill", "river")):
                if task["kind"] == "regression":
                    rows.append(f"{start}\t{word} {name}\t{1 + 3 * label}")
                else:
                    rows.append(f"{start} {word} {name}\t{label}")
        header = "sentence1\tsentence2\tscore" if task["kind"] == "regression" else "sentence\tlabel"
        (folder / f"{name}.tsv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def text_recipe(encoder: Path, texts: Path, task: dict[str, Any]) -> recipes.Recipe:
    source = {"source": str(texts)}
    table: dict[str, Any] = {
        "name": "texts",
        "description": "for tests",
        "task": task,
        "data": {
            "train": source,
            "eval": {**source, "split": "validation"},
            "calibration": {**source, "limit": 4},
        },
        "teacher": {"source": str(encoder)},
        "teach": {"epochs": 12, "learning_rate": 2e-3, "tokens_per_batch": 64, "dropout": 0.0},
        "distil": {"epochs": 40, "learning_rate": 2e-3, "tokens_per_batch": 64, "dropout": 0.0},
        "prune": {"keep_neurons": 0.75, "importance": "taylor"},
        "verify": {"questions": 12, "golden_cases": 3, "max_f1_drop": 10.0},
        "bench": {"length": 32, "runs": 2, "warmup": 1, "baseline": "bert-tiny"},
    }
    return recipes.build(table, "the test")


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    recipe: recipes.Recipe
    run: Run
    out: Path
    printed: str

    @property
    def bundle(self) -> Path:
        return self.out / "fake"


def go(folder: Path, encoder: Path, task: dict[str, Any], exporter: FakeExporter) -> Ran:
    recipe = text_recipe(encoder, write_texts(folder / "texts", task), task)
    screen = Console(file=io.StringIO(), width=100)
    run = Run(
        recipe, Store(folder / "store", seed=0, shipped=Pretrained(folder / "nothing")), screen, dry=False
    )
    make_all(run, [exporter], folder / "out")
    assert isinstance(screen.file, io.StringIO)
    return Ran(recipe, run, folder / "out", screen.file.getvalue())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Callable[[str], Ran]:
    made: dict[str, Ran] = {}

    def once(kind: str) -> Ran:
        if kind not in made:
            task = LABELS if kind == "labels" else VALUES
            made[kind] = go(tmp_path_factory.mktemp(kind), encoder_folder, task, FakeExporter())
        return made[kind]

    return once


@pytest.fixture(params=["labels", "values"])
def either(request: pytest.FixtureRequest, ran: Callable[[str], Ran], monkeypatch: pytest.MonkeyPatch) -> Ran:
    install(monkeypatch, FakeExporter())
    return ran(str(request.param))


def test_teacher_student_and_program_learn_it(either: Ran) -> None:
    primary = methods_of(either.recipe.task).primary
    rows = {row.label: row for row in either.run.rows}
    assert set(rows) == {"teacher", "distilled", "student", "fake"}
    for row in rows.values():
        assert row.scores[primary] > 85, row.label  # by chance 67, and about 0
        assert row.questions == 12
    assert list(rows["fake"].scores) == list(methods_of(either.recipe.task).metrics)


def test_the_verdict_is_about_the_tasks_own_measures(ran: Callable[[str], Ran]) -> None:
    for kind, names in (
        ("labels", ["sqnr_db", "label_agreement", "f1_drop"]),
        ("values", ["sqnr_db", "value_agreement", "pearson_drop"]),
    ):
        (verdict,) = ran(kind).run.verdicts
        every = {"quantized_agreement", "float_agreement", "adversarial_sqnr_db", "padding_sqnr_db"}
        assert [check.name for check in verdict.checks if check.name not in every] == names
        assert verdict.passed


def test_the_student_has_the_tasks_head(ran: Callable[[str], Ran]) -> None:
    for kind, labels in (("labels", 2), ("values", 1)):
        (program,) = ran(kind).bundle.glob("*.fake")
        model = student.load(program)
        assert isinstance(model, ClassifyingStudent)
        assert model.config.labels == labels
    assert program.name == "texts_regress_seq32_int8_fake.fake"


def test_the_bundle_says_which_task_it_is_for(ran: Callable[[str], Ran]) -> None:
    manifest = json.loads((ran("labels").bundle / "manifest.json").read_text())
    assert manifest["task"] == "text-classification"
    assert manifest["windows"]["labels"] == ["mill", "river"]
    assert manifest["outputs"] == [{"name": "logits", "dtype": "float32", "shape": [1, 2]}]
    card = (ran("labels").bundle / "README.md").read_text()
    assert 'pipeline_tag: "text-classification"' in card
    assert "a score for each of mill, river" in card
    manifest = json.loads((ran("values").bundle / "manifest.json").read_text())
    assert (manifest["task"], manifest["outputs"][0]["shape"]) == ("regression", [1, 1])
    card = (ran("values").bundle / "README.md").read_text()
    assert 'type: "pearsonr"' in card
    assert "None" not in card


def test_it_is_read_again_and_its_golden_cases_replay(either: Ran) -> None:
    bundle = bundles.read(either.bundle)
    assert bundle.task == either.recipe.task
    tokenizer = checkpoint.load_tokenizer(bundle.path)
    file, methods = bundle.path / bundles.GOLDEN, methods_of(bundle.task)
    assert golden.replay(file, bundle.runner(), tokenizer, methods) == 3
    record = json.loads(file.read_text())
    assert all(len(case["windows"]) == 1 for case in record["cases"])
    logits = record["cases"][1]["windows"][0]["logits"]
    assert len(logits) == methods.labels
    record["cases"][1]["windows"][0]["logits"] = [value + 1.0 for value in logits]
    changed = file.with_name("changed.json")
    changed.write_text(json.dumps(record))
    with pytest.raises(VerificationFailed, match=r"golden case \d+: logits are off"):
        golden.replay(changed, bundle.runner(), tokenizer, methods)
    changed.unlink()


def test_another_label_in_a_golden_case_is_named(
    ran: Callable[[str], Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, FakeExporter())
    bundle = bundles.read(ran("labels").bundle)
    record = json.loads((bundle.path / bundles.GOLDEN).read_text())
    record["cases"][0]["answer"]["label"] = "tower"
    (tmp_path / "golden.json").write_text(json.dumps(record))
    tokenizer, methods = checkpoint.load_tokenizer(bundle.path), methods_of(bundle.task)
    with pytest.raises(VerificationFailed, match=r"the answer is '(mill|river)', recorded was 'tower'"):
        golden.replay(tmp_path / "golden.json", bundle.runner(), tokenizer, methods)


def test_settings_of_another_task_are_no_bundle(either: Ran, tmp_path: Path) -> None:
    manifest = json.loads((either.bundle / "manifest.json").read_text())
    copied = tmp_path / "bundle"
    copied.mkdir()
    fields = {key: value for key, value in manifest.items() if key not in ("format", "files", "seal")}
    bundles.write_manifest(copied, {**fields, "windows": recipes.Task().model_dump(mode="json")})
    with pytest.raises(UsageError, match="lacks a field that a bundle needs"):
        bundles.read(copied)


def test_verbs_that_ask_questions_refuse_it(either: Ran) -> None:
    kind = either.recipe.task.kind
    with pytest.raises(
        UsageError, match=f'its task is "{kind}", and "question-answering" is wanted; use python -m pipeline.ev'
    ):
        for_questions(either.bundle)


def test_the_report_speaks_of_the_tasks_metrics(ran: Callable[[str], Ran]) -> None:
    html = (ran("labels").out / "report.html").read_text()
    assert "F1 and Accuracy on" in html
    assert "12 texts" in html
    assert "EM" not in ran("labels").printed.split()
    html = (ran("values").out / "report.html").read_text()
    assert "Size against Pearson" in html
    assert "Same value" in html
    assert "Pearson" in ran("values").printed


def FLIPPED(model: StudentModel) -> None:
    assert isinstance(model, ClassifyingStudent)
    for parameter in (model.classifier.weight, model.classifier.bias):
        parameter.data.mul_(-1)


def test_a_program_with_its_labels_flipped_makes_no_bundle(encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        VerificationFailed,
        match=r"on 12 texts; no bundle was made; first to go wrong: aten\.linear at classifier",
    ):
        go(tmp_path, encoder_folder, LABELS, FakeExporter(FLIPPED))


def test_a_teacher_with_the_head_is_used_as_it_is(ran: Callable[[str], Ran]) -> None:
    teacher = next((ran("labels").out.parent / "store" / "results").glob("*/config.json")).parent
    assert checkpoint.has_head(teacher, "text-classification")
    assert not checkpoint.has_head(teacher)
    with pytest.raises(UsageError, match="has a head for 2 labels, the task has 3; name those it knows"):
        checkpoint.load_model(teacher, "text-classification", 3)
