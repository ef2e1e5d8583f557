"""ablate: which variants there are, what is skipped and why, and a small ablation from end to end."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline import ablate, chain, recipe
from pipeline.ablate import Variant, variants
from pipeline.recipe import Recipe
from pipeline.report import ablation
from pipeline.shipped import Pretrained
from pipeline.store import Store
from pipeline.types import UsageError
from tests.stages.conftest import small_recipe


def names(found: list[Variant]) -> list[str]:
    return [variant.name for variant in found if variant.recipe]


def changed(**entries: Any) -> Recipe:
    table = recipe.load("tiny").model_dump(exclude_none=True, exclude_defaults=True)
    for section, values in entries.items():
        table[section] = {**table.get(section, {}), **values}
    return recipe.build(table, "the test")


def test_each_loss_is_left_out_where_it_stands() -> None:
    whole = variants(changed(pretrain={"corpus": {"source": "text.txt"}}), [(0,), (0, 1)])
    assert names(whole) == [
        "full",
        "pretrain: no soft targets",
        "pretrain: no masked words",
        "pretrain: no cosine",
        "distil: no soft targets",
        "distil: no hard labels",
        "distil: no cosine",
        "no pretraining",
        "random initialisation",
        "layers 0",
        "layers 0 1",
    ]
    full, *others = (variant.recipe for variant in whole)
    assert full is not None
    for variant in others:
        assert variant is not None
        differing = [name for name in Recipe.model_fields if getattr(variant, name) != getattr(full, name)]
        assert len(differing) == 1, "one thing at a time"
    assert [variant.published for variant in whole] == [
        None, -2.96, -0.31, -1.46, -2.96, None, -1.46, None, -3.69, None, None
    ]  # fmt: skip


def test_what_would_say_nothing_is_skipped_with_a_reason() -> None:
    found = {
        variant.name: variant.skipped
        for variant in variants(recipe.load("pocket"), [(0, 2, 3, 5)])
        if variant.recipe is None
    }
    assert found == {
        "pretrain: no soft targets": "pretrain.soft is 0 in the recipe already",
        "pretrain: no masked words": "pretrain.mlm is 0 in the recipe already",
        "pretrain: no cosine": "it is the only loss of pretrain",
        "layers 0 2 3 5": "it is what the recipe does",
    }
    own = variants(changed(student={"source": "somewhere/else"}), [(0,)])
    assert {v.name for v in own if v.skipped} == {"random initialisation", "layers 0"}
    assert own[-1].skipped == "the student starts as the checkpoint somewhere/else"


def given(**entries: Any) -> argparse.Namespace:
    flags = ("epochs", "pretrain_epochs", "train_limit", "eval_limit")
    return argparse.Namespace(**{**dict.fromkeys(flags), **entries})


def test_a_cheaper_budget_is_the_same_for_all_and_is_said() -> None:
    tiny, pocket = recipe.load("tiny"), recipe.load("pocket")
    assert ablate.cheaper(tiny, given()) == (tiny, ())
    less, said = ablate.cheaper(pocket, given(epochs=0.1, pretrain_epochs=0.2, eval_limit=50))
    assert said == (
        "distil.epochs 0.1 in place of 1.5",
        "pretrain.epochs 0.2 in place of 1",
        "the first 50 examples to evaluate on",
    )
    assert less.pretrain is not None
    assert (less.distil.epochs, less.pretrain.epochs, less.data.eval.limit) == (0.1, 0.2, 50)
    less, said = ablate.cheaper(pocket, given(pretrain_epochs=0, train_limit=8000))
    assert said == ("no pretraining", "the first 8,000 examples to train on")
    assert (less.pretrain, less.data.train.limit, less.data.train.fingerprint) == (None, 8000, None)
    with pytest.raises(UsageError, match="--pretrain-epochs was given, but recipe tiny has no"):
        ablate.cheaper(tiny, given(pretrain_epochs=1.0))


def test_layers_are_read_and_those_that_are_not_there_refused() -> None:
    assert ablate._layers("0 2 3") == ablate._layers("0,2, 3") == (0, 2, 3)
    with pytest.raises(UsageError, match="--depths wants teacher layers such as '0 2 3 5', got 'two'"):
        ablate._layers("two")
    with pytest.raises(UsageError, match="layers must be 'alternate' or teacher layers in ascending order"):
        variants(recipe.load("tiny"), [(3, 1)])
    tiny = recipe.load("tiny")
    with pytest.raises(UsageError, match="--depths asks for layer 9, but the teacher has layers 0 to 3"):
        ablate.check_layers(tiny, variants(tiny, [(0, 9)]))


def test_a_small_ablation_is_made_once_and_written_twice(
    encoder_folder: Path, question_file: Path, tmp_path: Path
) -> None:
    small = small_recipe(encoder_folder, question_file)
    chosen = [v for v in variants(small, [(0, 3)]) if v.name in ("full", "distil: no cosine", "layers 0 3")]
    sets, screen = chain.checked(small), Console(width=80, file=io.StringIO())
    found = []
    for _ in range(2):
        store = Store(tmp_path, seed=0, shipped=Pretrained(tmp_path / "nothing"))
        found.append(ablate.ablate(chosen, sets, store, screen, ("distil.epochs 2 in place of 9",)))
    assert found[0] == found[1]
    assert len(list((tmp_path / "results").iterdir())) == 1 + 2 * 3, "one teacher for all"
    rows = found[0].rows
    assert [row.variant for row in rows] == [variant.name for variant in chosen]
    assert len({row.key for row in rows}) == 3
    assert rows[0].delta is None
    for row in rows[1:]:
        assert row.delta == pytest.approx(row.metrics["f1"] - rows[0].metrics["f1"])
        assert row.interval is not None
        assert row.delta is not None
        assert row.interval[0] <= row.delta <= row.interval[1]
    screen.print(ablation.table(found[0]))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert "…" not in text
    assert "−1.46" in text
    document = ablation.markdown(found[0])
    assert "| distil: no cosine |" in document
    assert "distil.epochs 2 in place of 9." in document
    json.dumps(dataclasses.asdict(found[0]))
