"""Shipped results: small on disk, the very bytes of the stage once unpacked, and found by today's code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline import recipe as recipes
from pipeline import shipped, stages
from pipeline.recipe import Checkpoint, Questions, StudentShape, Task
from pipeline.recipe import Distil as DistilSettings
from pipeline.recipe import Teach as TeachSettings
from pipeline.shipped import PACKED, PRETRAINED, Pretrained, pack
from pipeline.store import Stage, Store, hash_tree, key_of, read_manifest, tree_digest
from pipeline.tasks.corpus import CorpusText
from pipeline.tasks.dataset import QuestionSet
from pipeline.types import Artifact, PipelineError, Silent, UsageError

MOST_BYTES = 40e6
"""Of everything that ships."""
TASK = Task(max_length=96, stride=16)
FROZEN_INT8 = {
    "epochs": 1.0,
    "tokens_per_batch": 256,
    "train_word_embeddings": False,
    "storage": "int8",
}


@dataclass(frozen=True)
class Made:
    """A teacher and a student on the int8 grid with the same word embeddings, made by their stages."""

    teach: stages.Teach
    distil: stages.Distil
    teacher: Artifact
    student: Artifact
    root: Path
    """Both packed, as in `pretrained`."""


@pytest.fixture(scope="module")
def made(encoder_folder: Path, question_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("shipped")
    root, store = folder / "pretrained", Store(folder / "store", seed=0, shipped=Pretrained(folder / "none"))
    questions = QuestionSet(Questions(source=str(question_file)))
    teach = stages.Teach(
        encoder=Checkpoint(source=str(encoder_folder)),
        questions=questions,
        task=TASK,
        options=TeachSettings.model_validate(FROZEN_INT8),
        seed=0,
    )
    teacher = store.make(teach, Silent())
    distil = stages.Distil(
        teacher=teacher,
        questions=questions,
        task=TASK,
        shape=StudentShape(),
        options=DistilSettings.model_validate(FROZEN_INT8),
        seed=0,
    )
    student = store.make(distil, Silent())
    pack(teacher.path, root / "teacher")
    pack(student.path, root / "student", shares=[root / "teacher"])
    return Made(teach, distil, teacher, student, root)


def packed_names(folder: Path) -> set[str]:
    with safe_open(str(folder / PACKED), "pt") as file:
        return set(file.keys())


def test_unpacking_gives_the_stages_bytes(made: Made, tmp_path: Path) -> None:
    for artifact in (made.teacher, made.student):
        out = tmp_path / artifact.kind
        out.mkdir()
        Pretrained(made.root).unpack(artifact.key, out)
        assert hash_tree(out) == hash_tree(artifact.path)
        assert tree_digest(hash_tree(out)) == artifact.sha256


def test_a_store_finds_both_and_makes_neither(made: Made, tmp_path: Path) -> None:
    store = Store(tmp_path, seed=0, shipped=Pretrained(made.root))
    for stage, artifact in ((made.teach, made.teacher), (made.distil, made.student)):
        found = store.make(stage, Silent())
        assert (found.origin, found.sha256, found.metrics) == ("shipped", artifact.sha256, artifact.metrics)
        assert store.make(stage, Silent()).origin == "reused"
    fresh = Store(tmp_path, seed=0, shipped=Pretrained(made.root), fresh=True)
    assert fresh.make(made.teach, Silent()).origin == "made"


def test_another_key_is_not_shipped(made: Made, tmp_path: Path) -> None:
    package = Pretrained(made.root)
    assert package.manifest(key_of(made.teach, 0)) is not None
    assert package.manifest(key_of(made.teach, 1)) is None
    assert package.manifest("0" * 64) is None
    assert Pretrained(tmp_path / "nowhere").manifest(made.teacher.key) is None


def test_matrices_take_a_byte_a_weight_and_shared_ones_none(made: Made) -> None:
    teacher, student = (packed_names(made.root / name) for name in ("teacher", "student"))
    table = "bert.embeddings.word_embeddings.weight"
    assert {table, f"{table}::scale"} <= teacher
    assert not any(name.startswith("embeddings.word") for name in student)
    for name, artifact in (("teacher", made.teacher), ("student", made.student)):
        weights = load_file(str(artifact.path / "model.safetensors"))
        packed = load_file(str(made.root / name / PACKED))
        stored = {tensor: packed[tensor] for tensor in weights if tensor in packed}
        assert all((t.dtype == torch.int8) == (t.dim() == 2) for t in stored.values())
        assert set(weights) - set(stored) == (set() if name == "teacher" else {"embeddings.word.weight"})
        whole = (artifact.path / "model.safetensors").stat().st_size
        assert (made.root / name / PACKED).stat().st_size < 0.6 * whole


def result(folder: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    folder.mkdir()
    save_file(dict(weights), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "manifest.json").write_text(json.dumps({"key": "k" * 64}))
    return folder


@pytest.mark.parametrize("row", [[0.1, 0.25, 1.0], [127.0, -0.0, 1.0]])
def test_weights_that_packing_would_change_are_refused(row: list[float], tmp_path: Path) -> None:
    """Off the grid, or a negative zero, which int8 does not have."""
    folder = result(tmp_path / "result", {"a.weight": torch.tensor([row]), "a.bias": torch.zeros(1)})
    with pytest.raises(UsageError, match=r"a\.weight is not on the int8 grid; train with storage = 'int8'"):
        pack(folder, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_damage_is_noticed_on_unpacking(made: Made, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", seed=0, shipped=Pretrained(tmp_path / "pretrained"))
    pack(made.teacher.path, tmp_path / "pretrained" / "teacher")
    file = tmp_path / "pretrained" / "teacher" / PACKED
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        PipelineError, match="the shipped result of teach is damaged; install the package again"
    ):
        store.make(made.teach, Silent())
    assert not list((tmp_path / "store" / "results").iterdir())


def test_the_command_packs_a_stores_result(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    store = str(made.teacher.path.parents[1])
    for key, *rest in ((made.teacher.key, "teacher"), (made.student.key, "student", "--shares", "teacher")):
        monkeypatch.setattr("sys.argv", ["shipped", store, key, *rest])
        assert shipped.main() == 0
    assert {f: at["sha256"] for f, at in hash_tree(tmp_path).items()} == {
        f: at["sha256"] for f, at in hash_tree(made.root).items()
    }
    assert capsys.readouterr().err == ""


SHIPPED = sorted(path.parent.name for path in PRETRAINED.glob("*/manifest.json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_unpacks_to_what_its_manifest_says(name: str, tmp_path: Path) -> None:
    manifest = json.loads((PRETRAINED / name / "manifest.json").read_text(encoding="utf-8"))
    Pretrained().unpack(manifest["key"], tmp_path)
    found = hash_tree(tmp_path)
    assert {file: at["sha256"] for file, at in found.items()} == {
        file: at["sha256"] for file, at in manifest["files"].items()
    }
    assert tree_digest(found) == manifest["sha256"]


def test_what_ships_is_small() -> None:
    total = sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file())
    assert total <= MOST_BYTES


def shipped_artifact(stage: Stage, seed: int) -> Artifact:
    """The shipped result that today's code looks for."""
    key = key_of(stage, seed)
    manifest = Pretrained().manifest(key)
    assert manifest is not None, (
        f"no shipped result has the key {key[:12]} that {stage.name} of recipe pocket has today: a setting, "
        "a version or a package changed; train again and run python -m pipeline.shipped STORE KEY NAME"
    )
    assert manifest["kind"] == stage.name
    return Artifact(kind=stage.name, path=Path(), key=key, sha256=manifest["sha256"], parents=(), metrics={})


def test_recipe_pocket_finds_what_ships() -> None:
    pocket = recipes.load("pocket")
    train = QuestionSet(pocket.data.train)
    teach = stages.Teach(
        encoder=pocket.teacher, questions=train, task=pocket.task, options=pocket.teach, seed=pocket.seed
    )
    assert pocket.pretrain is not None
    pretrain = stages.Pretrain(
        encoder=pocket.teacher,
        corpus=CorpusText(pocket.pretrain.corpus),
        shape=pocket.student,
        options=pocket.pretrain,
        seed=pocket.seed,
    )
    distil = stages.Distil(
        teacher=shipped_artifact(teach, pocket.seed),
        questions=train,
        task=pocket.task,
        shape=pocket.student,
        options=pocket.distil,
        seed=pocket.seed,
        general=shipped_artifact(pretrain, pocket.seed),
    )
    shipped_artifact(distil, pocket.seed)


def test_what_was_measured_travels_with_the_weights(made: Made, question_file: Path, tmp_path: Path) -> None:
    store = Store(made.teacher.path.parents[1], seed=0, shipped=Pretrained(made.root))
    held_out = QuestionSet(Questions(source=str(question_file), limit=3))
    score = store.make(stages.Evaluate(model=made.teacher, questions=held_out, task=TASK), Silent())
    store.make(stages.Evaluate(model=made.student, questions=held_out, task=TASK), Silent())
    pack(made.teacher.path, tmp_path / "teacher")
    (evaluation,) = json.loads((tmp_path / "teacher" / "manifest.json").read_text())["evaluations"]
    assert evaluation["metrics"] == dict(score.metrics)
    assert evaluation["inputs"]["parents"] == {
        "model": made.teacher.sha256,
        "questions": held_out.identity(),
    }
    assert "command" in evaluation["made"]
    assert read_manifest(tmp_path / "teacher") is not None, "the seal is over what was added as well"
    assert Pretrained(tmp_path).manifest(made.teacher.key) is not None
