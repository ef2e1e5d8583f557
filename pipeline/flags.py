"""Flags that stand in place of a recipe's entries, the same for every verb that runs one."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import recipe as recipes
from pipeline.recipe import Recipe
from pipeline.types import UsageError


def add(parser: argparse.ArgumentParser) -> None:
    """Adds --recipe, --store, --seed, --fresh and the flags that name other models and data."""
    parser.add_argument(
        "--recipe", default="pocket", help="a shipped recipe's name or a TOML file (default: pocket)"
    )
    parser.add_argument(
        "--store", type=Path, default=Path("runs/store"), help="stage results (default: runs/store)"
    )
    parser.add_argument("--seed", type=int, help="overrides the recipe's seed")
    parser.add_argument("--fresh", action="store_true", help="ignore stored and shipped results")
    for flag, what in (
        ("teacher", "model"),
        ("student", "model"),
        ("train-data", "set"),
        ("eval-data", "set"),
        ("corpus", "of [pretrain]"),
    ):
        parser.add_argument(f"--{flag}", metavar="HUB-OR-PATH", help=f"overrides the recipe's {flag} {what}")


def overridden(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """The recipe with the flags' entries in place of its own."""
    table = recipe.model_dump(exclude_none=True, exclude_defaults=True)
    if given.teacher:
        table["teacher"] = {"source": given.teacher}
    if given.student:
        table.setdefault("student", {}).update(source=given.student)
    if given.train_data:
        table["data"]["train"] = {"source": given.train_data, "split": "train"}
    if given.corpus:
        if "pretrain" not in table:
            raise UsageError(f"--corpus was given, but recipe {recipe.name} has no [pretrain] to use it in")
        table["pretrain"]["corpus"] = {"source": given.corpus}
    if given.eval_data:
        table["data"]["eval"] = {"source": given.eval_data, "split": "validation"}
    if given.seed is not None:
        table["seed"] = given.seed
    return recipes.build(table, "the flags")
