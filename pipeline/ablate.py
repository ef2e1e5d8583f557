"""python -m pipeline.ablate: a recipe again without each loss, from random weights, from other layers.

Every variant goes through the store, so that an ablation that was killed goes on, and what variants share (the
teacher; for those of task distillation the general student too) is made once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline import console, flags
from pipeline import recipe as recipes
from pipeline.recipe import Recipe
from pipeline.report import ablation
from pipeline.report.ablation import Ablation, Row
from pipeline.report.figures import METRIC_TITLES
from pipeline.store import Store, provenance
from pipeline.types import Artifact, UsageError

if TYPE_CHECKING:
    from pipeline.chain import Sets
    from pipeline.tasks.base import Methods

FULL = "full"
PUBLISHED = {"soft": -2.96, "cosine": -1.46, "mlm": -0.31, "random": -3.69}
"""GLUE points lost without each (Sanh et al. 2019, table 4). Labels of a task have no counterpart there."""
TITLES = {"soft": "soft targets", "cosine": "cosine", "hard": "hard labels", "mlm": "masked words"}
LOSSES = {"pretrain": ("soft", "mlm", "cosine"), "distil": ("soft", "hard", "cosine")}
COUNTS = ("questions", "examples")
"""Metrics of an evaluation that count what it was done on."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A recipe with one thing changed, or why changing it would say nothing."""

    name: str
    recipe: Recipe | None = None
    skipped: str = ""
    published: float | None = None


def main() -> None:
    """Parses the flags, makes every variant, prints the table and writes it."""
    given = _flags().parse_args()
    screen = Console(highlight=False, soft_wrap=True)
    recipe, budget = cheaper(flags.overridden(recipes.load(given.recipe), given), given)
    chosen = variants(recipe, [_layers(text) for text in given.depths])
    out: Path = given.out or Path("runs") / f"ablation-{recipe.name}"
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")

    from pipeline import chain
    from pipeline.shipped import Pretrained

    sets = chain.checked(recipe)
    check_layers(recipe, chosen)
    store = Store(given.store, seed=recipe.seed, shipped=Pretrained(), fresh=given.fresh)
    found = ablate(chosen, sets, store, screen, budget, dry=given.dry_run)
    if given.dry_run:
        return
    screen.print()
    screen.print(ablation.table(found))
    out.mkdir(parents=True, exist_ok=True)
    whole = {**asdict(found), "recipe": recipe.model_dump(mode="json"), "made": provenance()}
    (out / "ablation.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    (out / "ablation.md").write_text(ablation.markdown(found), encoding="utf-8")
    screen.print(f"written             {out / 'ablation.md'}, {out / 'ablation.json'}")


def cheaper(recipe: Recipe, given: argparse.Namespace) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe on the flags' budget, and what that changed, in words."""
    table, said = _table(recipe), []
    for section, epochs in (("distil", given.epochs), ("pretrain", given.pretrain_epochs)):
        settings = getattr(recipe, section)
        if epochs is None:
            continue
        if settings is None:
            raise UsageError(f"--pretrain-epochs was given, but recipe {recipe.name} has no [pretrain]")
        if section == "pretrain" and epochs == 0:
            del table["pretrain"]
            said.append("no pretraining")
            continue
        table.setdefault(section, {})["epochs"] = epochs
        said.append(f"{section}.epochs {epochs:g} in place of {settings.epochs:g}")
    for name, limit in (("train", given.train_limit), ("eval", given.eval_limit)):
        if limit is not None:
            entry = getattr(recipe.data, name)
            table["data"][name] = {"source": entry.source, "split": entry.split, "limit": limit}
            said.append(f"the first {limit:,} examples to {'train on' if name == 'train' else 'evaluate on'}")
    return recipes.build(table, "the flags"), tuple(said)


def variants(recipe: Recipe, depths: Sequence[tuple[int, ...]]) -> list[Variant]:
    """The full recipe and everything it is compared with."""
    found = [Variant(name=FULL, recipe=recipe)]
    for stage, losses in LOSSES.items():
        settings = getattr(recipe, stage)
        if settings is None:
            continue
        for loss in losses:
            name = f"{stage}: no {TITLES[loss]}"
            rest = sum(getattr(settings, other) for other in losses if other != loss)
            if getattr(settings, loss) == 0:
                found.append(Variant(name=name, skipped=f"{stage}.{loss} is 0 in the recipe already"))
            elif rest == 0:
                found.append(Variant(name=name, skipped=f"it is the only loss of {stage}"))
            else:
                changed = _with(recipe, stage, {loss: 0.0})
                found.append(Variant(name=name, recipe=changed, published=PUBLISHED.get(loss)))
    if recipe.pretrain:
        table = _table(recipe)
        del table["pretrain"]
        found.append(Variant(name="no pretraining", recipe=recipes.build(table, "no pretraining")))
    shapes: dict[str, dict[str, Any]] = {"random initialisation": {"initial": "random"}}
    shapes |= {f"layers {' '.join(map(str, chosen))}": {"layers": list(chosen)} for chosen in depths}
    for name, change in shapes.items():
        published = PUBLISHED["random"] if "initial" in change else None
        changed = _with(recipe, "student", change)
        if recipe.student.source and not recipe.pretrain:
            why = f"the student starts as the checkpoint {recipe.student.source}"
            found.append(Variant(name=name, skipped=why))
        elif changed.student == recipe.student:
            found.append(Variant(name=name, skipped="it is what the recipe does"))
        else:
            found.append(Variant(name=name, recipe=changed, published=published))
    return found


def check_layers(recipe: Recipe, chosen: Sequence[Variant]) -> None:
    """Refuses layers that the teacher lacks, where its config is here, before anything is trained."""
    from pipeline.models import checkpoint

    folder = checkpoint.locate(recipe.teacher.source)
    if folder is None:
        return
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    depth = config.get("num_hidden_layers", config.get("n_layers"))
    for variant in chosen:
        layers = variant.recipe.student.layers if variant.recipe else "alternate"
        if layers != "alternate" and depth and max(layers) >= depth:
            raise UsageError(
                f"--depths asks for layer {max(layers)}, but the teacher has layers 0 to {depth - 1}"
            )


def ablate(
    chosen: Sequence[Variant],
    sets: Sets,
    store: Store,
    screen: Console,
    budget: tuple[str, ...],
    *,
    dry: bool = False,
) -> Ablation:
    """Makes and evaluates every variant that is not skipped; the first is the full recipe."""
    from pipeline import chain, stages
    from pipeline.runs import Run
    from pipeline.tasks.methods import methods_of

    recipe = chosen[0].recipe
    assert recipe is not None
    rows: list[Row] = []
    full: tuple[dict[str, float], Artifact] | None = None
    methods = methods_of(recipe.task)
    for variant in chosen:
        if variant.recipe is None:
            continue
        screen.print(f"[bold]{variant.name}[/]")
        run = Run(variant.recipe, store, screen, dry=dry)
        _, student = chain.distilled(run, sets)
        score = run(stages.Evaluate(model=student, questions=sets.held_out, task=recipe.task))
        if dry:
            continue
        metrics = {name: value for name, value in score.metrics.items() if name not in COUNTS}
        full = full or (metrics, score)
        compared = score is not full[1]
        rows.append(
            Row(
                variant=variant.name,
                metrics=metrics,
                delta=metrics[methods.primary] - full[0][methods.primary] if compared else None,
                interval=interval(methods, sets.held_out.examples, full[1], score) if compared else None,
                published=variant.published,
                key=student.key,
            )
        )
    return Ablation(
        recipe_name=recipe.name,
        metric=METRIC_TITLES[methods.primary],
        questions=0 if dry else len(sets.held_out.examples),
        source=recipe.data.eval.source,
        budget=budget,
        rows=tuple(rows),
        skipped={variant.name: variant.skipped for variant in chosen if variant.recipe is None},
    )


def interval(methods: Methods, examples: Sequence[Any], full: Artifact, other: Artifact) -> tuple[float, float]:
    """95 % of the difference other − full of the first metric when the examples are drawn again (paired)."""
    import numpy as np

    from pipeline.stages.evaluate import PREDICTIONS

    def score_of(artifact: Artifact) -> Callable[[np.ndarray], float]:
        """The metric of some examples, by their places."""
        said = json.loads((artifact.path / PREDICTIONS).read_text(encoding="utf-8"))
        if methods.is_mean:
            each = np.array([methods.score([one], said)[methods.primary] for one in examples])
            return lambda drawn: float(each[drawn].mean())
        return lambda drawn: methods.score([examples[i] for i in drawn], said)[methods.primary]

    scores = score_of(other), score_of(full)
    random, count = np.random.default_rng(0), len(examples)
    draws = [random.integers(count, size=count) for _ in range(RESAMPLES)]
    differences = [scores[0](drawn) - scores[1](drawn) for drawn in draws]
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def _table(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude_none=True, exclude_defaults=True)


def _with(recipe: Recipe, section: str, change: Mapping[str, Any]) -> Recipe:
    table = _table(recipe)
    table.setdefault(section, {}).update(change)
    return recipes.build(table, f"{section} with {change}")


def _layers(text: str) -> tuple[int, ...]:
    """The layers of one --depths entry, "0 2 3 5" or "0,2,3,5"; ascending."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise UsageError(f"--depths wants teacher layers such as '0 2 3 5', got {text!r}") from None


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.ablate",
        description="Reruns a recipe without each loss and from random weights, and compares with the paper.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flags.add(parser)
    parser.add_argument("--out", type=Path, help="the table goes here (default: runs/ablation-RECIPE)")
    parser.add_argument(
        "--depths", nargs="+", default=[], metavar="LAYERS", help="other layers to keep: '0 2 3 5' '0 3'"
    )
    parser.add_argument("--epochs", type=float, help="overrides distil.epochs; 0.1 is a tenth of the windows")
    parser.add_argument(
        "--pretrain-epochs", type=float, help="overrides pretrain.epochs; 0 leaves pretraining out"
    )
    parser.add_argument("--train-limit", type=int, help="trains on the first so many examples, the teacher too")
    parser.add_argument("--eval-limit", type=int, help="evaluates on the first so many examples")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and what would be reused")
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
