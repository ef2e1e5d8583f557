"""What every stage owes: it writes where it is told, says what it depends on, and repeats bit by bit."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.recipe import Recipe
from pipeline.run import make_all
from pipeline.runs import Run
from pipeline.store import Stage, hash_tree, key_of, tool_version, tree_digest
from pipeline.types import Artifact, Silent
from tests.stages.conftest import Chain, FakeExporter, small_recipe

NAMES = (
    "teach",
    "adopt",
    "pretrain",
    "distil",
    "prune",
    "quantize",
    "evaluate",
    "reference",
    "export",
    "lint",
    "verify",
    "bundle",
    "agree",
)


@dataclass(frozen=True)
class Ran:
    """What a stage did in an empty folder that was also the working directory."""

    metrics: Mapping[str, float]
    files: dict[str, dict[str, Any]]
    beside: list[str]
    """Names of what lies beside `out` and `work` afterwards."""
    inputs_before: dict[str, dict[str, Any]]
    inputs_after: dict[str, dict[str, Any]]


def _inputs(folders: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    return {f"{folder}/{name}": at for folder in folders for name, at in hash_tree(folder).items()}


@pytest.fixture(scope="session")
def run_stage(
    chain: Chain,
    encoder_folder: Path,
    question_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Ran, Ran]]:
    read = (chain.root / "results", encoder_folder, question_file.parent)

    def once(name: str) -> Ran:
        place, before = tmp_path_factory.mktemp(name), _inputs(read)
        out, work, here = place / "work" / "out", place / "work", Path.cwd()
        out.mkdir(parents=True)
        os.chdir(place)
        try:
            metrics = chain.stages[name].run(out, work, Silent())
        finally:
            os.chdir(here)
        beside = sorted(path.name for path in place.iterdir())
        return Ran(metrics, hash_tree(out), beside, before, _inputs(read))

    return functools.cache(lambda name: (once(name), once(name)))


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_into_its_folders_alone(name: str, run_stage: Callable[[str], tuple[Ran, Ran]]) -> None:
    ran, _ = run_stage(name)
    assert ran.files, "a stage has a result"
    assert "manifest.json" not in ran.files, "the store writes that"
    assert ran.beside == ["work"]
    assert ran.inputs_after == ran.inputs_before


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_finite_floats(name: str, run_stage: Callable[[str], tuple[Ran, Ran]]) -> None:
    ran, _ = run_stage(name)
    assert ran.metrics
    for metric, value in ran.metrics.items():
        assert type(value) is float, metric
        assert math.isfinite(value), metric


@pytest.mark.parametrize("name", NAMES)
def test_the_same_inputs_give_the_same_bytes(
    name: str, chain: Chain, run_stage: Callable[[str], tuple[Ran, Ran]]
) -> None:
    first, second = run_stage(name)
    assert first.files == second.files
    assert tree_digest(first.files) == chain.made[name].sha256, "and the store's, made before both"


@pytest.mark.parametrize("name", NAMES)
def test_what_it_depends_on_are_json_values(name: str, chain: Chain) -> None:
    stage = chain.stages[name]
    for told in (dict(stage.settings()), dict(stage.parents())):
        assert json.loads(json.dumps(told)) == told
    assert all(isinstance(digest, str) and digest for digest in stage.parents().values())
    assert set(chain.made[name].parents) == set(stage.parents().values())
    assert all(tool_version(package) != "absent" for package in stage.tools())


class Wiring:
    """Stands in for a run: remembers each stage's key and hands out results that never change.

    So a key changes only where the stage itself depends on what was changed, not through its parents.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.keys: dict[str, str] = {}

    def __call__(self, stage: Stage, about: str = "") -> Artifact:
        title = f"{stage.name} {about}".strip()
        self.keys[title] = key_of(stage, self.recipe.seed)
        return Artifact(
            kind=stage.name, path=Path(), key=title, sha256=f"bytes of {title}", parents=(), metrics={}
        )

    def peers(self, *given: object) -> tuple[str, ...]:
        return ()

    def goes_on_alone(self) -> bool:
        return True

    def evaluated(self, *given: object) -> None:
        pass

    timed = judge = deliver = compared = finish = drop = evaluated


def keys_of(recipe: Recipe) -> dict[str, str]:
    wiring = Wiring(recipe)
    make_all(cast(Run, wiring), [FakeExporter()], Path("nowhere"))
    return wiring.keys


REFERENCES = {"reference torch float32", "reference torch int8 weights"}
ANSWERS = {
    "evaluate teacher",
    "evaluate distilled",
    "evaluate student",
    "verify fake",
    "bundle fake",
    "agree",
    *REFERENCES,
}
"""Stages that turn logits into answers of the held-out set."""
WINDOWED = ANSWERS | {"lint fake"}
"""Those that read a task's windows."""
BENCHES = {"bench torch", "bench fake"}
MODELS = {"teach", "distil", "prune", "quantize"}


@pytest.mark.parametrize(
    ("section", "changed", "stages"),
    [
        ("description", "another", set()),
        ("name", "another", {"export fake", "bundle fake"}),
        ("seed", 1, MODELS | WINDOWED | BENCHES | {"export fake"}),
        ("task", {"max_length": 80}, {"teach", "distil", "prune", "export fake"} | WINDOWED | BENCHES),
        ("task", {"stride": 8}, {"teach", "distil", "prune"} | WINDOWED),
        ("task", {"n_best": 3}, WINDOWED),
        ("task", {"max_answer_length": 5}, WINDOWED),
        ("teach", {"epochs": 3}, {"teach"}),
        ("teach", {"storage": "int8"}, {"teach"}),
        ("teach", {"precision": "bfloat16"}, {"teach"}),
        ("student", {"layers": [0, 1]}, {"distil"}),
        ("student", {"hidden": 24}, {"distil"}),
        ("student", {"initial": "random"}, {"distil"}),
        ("launch", {"gradient_checkpointing": True, "save_steps": 5, "teacher_outputs": "once"}, set()),
        ("distil", {"temperature": 3.0}, {"distil"}),
        ("distil", {"hard": 1.0}, {"distil"}),
        ("distil", {"dropout": 0.0}, {"distil"}),
        ("distil", {"train_word_embeddings": False}, {"distil"}),
        ("prune", {"keep_heads": 1.0}, {"prune"}),
        ("prune", {"keep_neurons": 0.75}, {"prune"}),
        ("prune", {"importance": "magnitude"}, {"prune"}),
        ("quantize", {"embeddings": "float32"}, {"quantize"}),
        ("quantize", {"keep_float": ["qa_outputs"]}, {"quantize"}),
        ("verify", {"min_sqnr_db": 60.0}, set()),
        ("verify", {"min_span_agreement": 0.5}, set()),
        ("verify", {"min_quantized_agreement": 0.5}, set()),
        ("verify", {"max_f1_drop": 0.0}, set()),
        ("verify", {"questions": 4}, {"verify fake"} | REFERENCES),
        ("verify", {"emulated_questions": 4}, {"verify fake"}),
        ("verify", {"emulated_questions": 7}, {"verify fake"} | REFERENCES),
        ("verify", {"golden_cases": 2}, {"bundle fake"}),
        ("bench", {"runs": 7}, BENCHES),
        ("bench", {"threads": 2}, BENCHES),
    ],
)
def test_keys_follow_the_recipe_where_they_should_and_nowhere_else(
    section: str, changed: Any, stages: set[str], encoder_folder: Path, question_file: Path
) -> None:
    recipe = small_recipe(encoder_folder, question_file)
    table = recipe.model_dump(mode="json", exclude_none=True)
    table[section] = {**table[section], **changed} if isinstance(changed, dict) else changed
    table["bench"]["length"] = table["task"]["max_length"]
    before, after = keys_of(recipe), keys_of(Recipe.model_validate(table))
    assert {title for title in before if before[title] != after[title]} == stages


@pytest.mark.parametrize(
    ("entry", "stages"),
    [
        ("train", {"teach", "distil"}),
        ("eval", ANSWERS),
        ("calibration", {"prune", "export fake", "lint fake"}),
    ],
)
def test_keys_follow_the_questions(
    entry: str, stages: set[str], encoder_folder: Path, question_file: Path
) -> None:
    recipe = small_recipe(encoder_folder, question_file)
    fewer = recipe.data.train.model_copy(update={"limit": 2})
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={entry: fewer})})
    before, after = keys_of(recipe), keys_of(changed)
    assert {title for title in before if before[title] != after[title]} == stages


def test_keys_follow_the_teachers_weights(
    encoder_folder: Path, bert_qa_folder: Path, question_file: Path
) -> None:
    before = keys_of(small_recipe(encoder_folder, question_file))
    after = keys_of(small_recipe(bert_qa_folder, question_file))
    assert {title for title in before if before[title] != after[title]} == {"teach", "bundle fake"}
