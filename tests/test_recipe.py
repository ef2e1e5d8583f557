"""Recipes: the shipped ones load, and one that cannot be used is refused with what to change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline import recipe
from pipeline.recipe import Task
from pipeline.types import RecipeError

SMALLEST = """
name = "mine"
description = "a test"
[data]
train = { source = "practice" }
eval = { source = "passages" }
calibration = { source = "practice" }
[teacher]
source = "some/model"
"""


def table(**changed: Any) -> dict[str, Any]:
    questions = {"source": "practice"}
    data = {"train": questions, "eval": {"source": "passages"}, "calibration": questions}
    smallest = {"name": "mine", "description": "a test", "data": data, "teacher": {"source": "some/model"}}
    return copy.deepcopy({**smallest, **changed})


def test_shipped_recipes_load_under_their_own_names() -> None:
    assert "pocket" in recipe.shipped_names()
    for name in recipe.shipped_names():
        loaded = recipe.load(name)
        assert loaded.name == name
        assert loaded.description
        assert loaded == recipe.load(str(recipe.RECIPES / f"{name}.toml"))


def test_the_smallest_recipe_has_defaults_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALLEST)
    loaded = recipe.load(str(path))
    assert loaded == recipe.build(table(), "here")
    assert (loaded.seed, loaded.task.max_length, loaded.student.layers) == (0, 384, "alternate")
    assert loaded.prune.keep_heads == loaded.prune.keep_neurons == 1.0


def test_lists_and_nested_values_are_read() -> None:
    built = recipe.build(
        table(
            student={"layers": [0, 2, 5]},
            quantize={"keep_float": ["qa_outputs"]},
            task={"max_length": 64, "stride": 55},
            bench={"length": 64},
        ),
        "here",
    )
    assert built.student.layers == (0, 2, 5)
    assert built.quantize.keep_float == ("qa_outputs",)
    assert isinstance(built.task, Task)
    assert built.task.stride == 55


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"trask": {}}, "unknown key trask; did you mean 'task'?"),
        ({"prune": {"keep_head": 0.5}}, "unknown key prune.keep_head; did you mean 'keep_heads'?"),
        ({"prune": {"keep-heads": 0.5}}, "unknown key prune.keep-heads; did you mean 'keep_heads'?"),
        ({"distil": {"learning_rte": 1e-4}}, "unknown key distil.learning_rte; did you mean 'learning_rate'?"),
        ({"zzz": 1}, "unknown key zzz"),
        ({"prune": {"keep_heads": 0}}, "prune.keep_heads: input should be greater than 0, got 0"),
        ({"prune": {"keep_heads": 1.5}}, "prune.keep_heads: input should be less than or equal to 1, got 1.5"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1"),
        ({"seed": 1.5}, "seed: input should be a valid integer, got a number with a fractional part, got 1.5"),
        ({"task": {"max_length": 513}}, "task.max_length: input should be less than or equal to 512, got 513"),
        ({"task": {"max_length": 64, "stride": 56}}, "task: stride must be below max_length - 8 = 56, got 56"),
        ({"teach": {"epochs": 0}}, "teach.epochs: input should be greater than 0, got 0"),
        ({"teach": {"epochs": float("inf")}}, "teach.epochs: input should be a finite number, got inf"),
        (
            {"verify": {"min_sqnr_db": float("nan")}},
            "verify.min_sqnr_db: input should be a finite number, got nan",
        ),
        (
            {"teach": {"precision": "float8"}},
            "teach.precision: input should be 'float32', 'bfloat16' or 'float16', got 'float8'",
        ),
        (
            {"distil": {"soft": 0, "hard": 0, "cosine": 0}},
            "distil: soft, hard and cosine are all 0; give at least",
        ),
        ({"distil": {"temperature": 0}}, "distil.temperature: input should be greater than 0, got 0"),
        (
            {"student": {"layers": [2, 0]}},
            "layers must be 'alternate' or teacher layers in ascending order, got [2, 0]",
        ),
        ({"student": {"layers": [1, 1]}}, "teacher layers in ascending order, got [1, 1]"),
        ({"student": {"layers": []}}, "teacher layers in ascending order, got []"),
        (
            {"student": {"layers": [-1]}},
            "student.layers: input should be 'alternate' or input should be greater",
        ),
        (
            {"student": {"layers": "odd"}},
            "student.layers: input should be 'alternate' or input should be a valid tuple",
        ),
        ({"teacher": {"source": "x", "sha256": "abc"}}, "teacher.sha256: string should match pattern"),
        ({"teacher": {"revision": "main"}}, "key teacher.source is missing"),
        ({"data": {"train": {"source": "practice"}}}, "key data.eval is missing"),
        ({"name": "Not A Name"}, "name: string should match pattern"),
        ({"teach": 3}, "teach: input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_used_is_named(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.build(table(**changed), "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_section() -> None:
    without = table()
    del without["teacher"]
    with pytest.raises(RecipeError, match=r"my\.toml: key teacher is missing"):
        recipe.build(without, "my.toml")


@pytest.mark.parametrize("content", [b"name = ", b"[data\n", b"a = 1\na = 2\n", b'name = "\xff\xfe"\n'])
def test_broken_toml(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"broken\.toml is not valid TOML"):
        recipe.load(str(path))


@pytest.mark.parametrize("name", ["pockett", "Pocket", "poket"])
def test_a_mistyped_name_gets_a_suggestion(name: str) -> None:
    with pytest.raises(
        RecipeError, match=f"unknown recipe '{name}'; did you mean 'pocket'.; shipped are .*pocket"
    ):
        recipe.load(name)


@pytest.mark.parametrize("name", ["nowhere/recipe.toml", "", "zzzzzz"])
def test_an_unknown_name_or_path(name: str) -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe .*or give the path of a \.toml file"):
        recipe.load(name)


def test_folders_and_other_files_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "recipe.json").write_text("{}")
    for path in (tmp_path / "folder.toml", tmp_path / "recipe.json"):
        with pytest.raises(RecipeError, match="unknown recipe"):
            recipe.load(str(path))


def test_recipes_are_frozen() -> None:
    built = recipe.build(table(), "here")
    with pytest.raises(ValidationError, match="frozen"):
        built.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        built.teach.epochs = 3.0


@pytest.mark.parametrize("other", ["train", "calibration"])
def test_accuracy_is_only_ever_measured_on_held_out_questions(other: str) -> None:
    changed = table()
    changed["data"][other] = dict(changed["data"]["eval"])
    with pytest.raises(RecipeError, match="eval must be held out, but 'passages' is trained on or calibrated"):
        recipe.build(changed, "here")
