"""python -m pipeline.run: a recipe → stages → a verified bundle per target and a report. The only loop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import console
from pipeline import recipe as recipes
from pipeline.recipe import Recipe
from pipeline.types import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporters.base import Exporter
    from pipeline.runs import Run


def main() -> None:
    """Parses the flags and runs the recipe for every target."""
    given = _flags().parse_args()
    screen = Console(highlight=False, soft_wrap=True)
    if given.list_recipes:
        for name in recipes.shipped_names():
            screen.print(f"{name:18}{recipes.load(name).description}")
        return
    recipe = _overridden(recipes.load(given.recipe), given)

    from exporters import base as exporters
    from pipeline.runs import Run
    from pipeline.shipped import Pretrained
    from pipeline.store import Store

    chosen = [exporters.get(target) for target in exporters.parse_targets(given.target)]
    out = given.out or Path("runs") / recipe.name
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    store = Store(given.store, seed=recipe.seed, shipped=Pretrained(), fresh=given.fresh)
    run = Run(recipe, store, screen, dry=given.dry_run)
    screen.print(f"[bold]{recipe.name}[/]: {recipe.description}")
    make_all(run, chosen, out)


def make_all(run: Run, chosen: Sequence[Exporter], out: Path) -> None:
    """The pipeline, stage by stage: this is the page to read."""
    from pipeline import stages
    from pipeline.models import checkpoint
    from pipeline.tasks.corpus import CorpusText
    from pipeline.tasks.methods import methods_of

    recipe, task, seed = run.recipe, run.recipe.task, run.recipe.seed
    read = methods_of(task).examples
    train, held_out, calibration = (
        read(entry) for entry in (recipe.data.train, recipe.data.eval, recipe.data.calibration)
    )
    corpus = CorpusText(recipe.pretrain.corpus) if recipe.pretrain else None
    if corpus:
        corpus.identity()
    for questions in (train, held_out, calibration):
        questions.identity()  # what is here is read now: a bad file is refused before anything is trained
    for reference in (recipe.teacher, recipe.student):
        checkpoint.check(reference, task.max_length)

    teach = stages.Teach(encoder=recipe.teacher, questions=train, task=task, options=recipe.teach, seed=seed)
    teacher = run(teach)
    general = None
    if recipe.pretrain and corpus:
        pretrain = stages.Pretrain(
            encoder=recipe.teacher, corpus=corpus, shape=recipe.student, options=recipe.pretrain, seed=seed
        )
        general = run(pretrain)
    distil = stages.Distil(
        teacher=teacher,
        questions=train,
        task=task,
        shape=recipe.student,
        options=recipe.distil,
        seed=seed,
        general=general,
    )
    distilled = run(distil)
    student = run(stages.Prune(distilled=distilled, questions=calibration, task=task, options=recipe.prune))
    quantized = run(stages.Quantize(pruned=student, options=recipe.quantize))
    for model, who in ((teacher, "teacher"), (distilled, "distilled"), (student, "student")):
        run.evaluated(who, model, run(stages.Evaluate(model=model, questions=held_out, task=task), who))
    torch_bench = stages.BenchTorch(teacher=teacher, student=student, options=recipe.bench)
    run.timed("torch", run(torch_bench, "torch"))

    for exporter in chosen:
        target = exporter.target
        export = stages.Export(
            quantized=quantized,
            exporter=exporter,
            model_name=recipe.name,
            precision=stages.precision_of(recipe.quantize),
            task=task,
        )
        program = run(export, target)
        check = stages.Verify(
            exported=program,
            quantized=quantized,
            exporter=exporter,
            questions=held_out,
            task=task,
            tolerance=recipe.verify,
        )
        verified = run(check, target)
        run.judge(check, verified)
        bundle = run(
            stages.MakeBundle(
                model_name=recipe.name,
                exported=program,
                quantized=quantized,
                verified=verified,
                exporter=exporter,
                golden=held_out,
                task=task,
                golden_cases=recipe.verify.golden_cases,
                data=recipe.data,
                teacher=recipe.teacher,
            ),
            target,
        )
        baselines = {
            precision: run(
                stages.Baseline(
                    shape=recipe.bench.baseline,
                    exporter=exporter,
                    precision=precision,
                    length=recipe.bench.length,
                ),
                f"{target} {precision}",
            )
            for precision in run.peers(exporter, program)
        }
        bench = stages.Bench(
            exported=program,
            quantized=quantized,
            exporter=exporter,
            baselines=baselines,
            options=recipe.bench,
            precision=stages.precision_of(recipe.quantize),
        )
        run.timed(target, run(bench, target))
        run.deliver(target, program, verified, bundle, out)
    run.finish(out)


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.run",
        description="Makes verified phone artifacts from a teacher, as a recipe says.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target", default="coreml", help="coreml, executorch, tflite, a comma list, or all (default: coreml)"
    )
    parser.add_argument(
        "--recipe", default="pocket", help="a shipped recipe's name or a TOML file (default: pocket)"
    )
    parser.add_argument("--out", type=Path, help="bundles and report go here (default: runs/RECIPE)")
    parser.add_argument(
        "--store", type=Path, default=Path("runs/store"), help="stage results (default: runs/store)"
    )
    parser.add_argument("--seed", type=int, help="overrides the recipe's seed")
    parser.add_argument("--fresh", action="store_true", help="ignore stored and shipped results")
    parser.add_argument("--list-recipes", action="store_true", help="name the shipped recipes and stop")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and what would be reused")
    for flag, what in (
        ("teacher", "model"),
        ("student", "model"),
        ("train-data", "set"),
        ("eval-data", "set"),
        ("corpus", "of [pretrain]"),
    ):
        parser.add_argument(f"--{flag}", metavar="HUB-OR-PATH", help=f"overrides the recipe's {flag} {what}")
    return parser


def _overridden(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """The recipe with the flags' entries in place of its own."""
    table = recipe.model_dump(exclude_none=True, exclude_defaults=True)
    if given.teacher:
        table["teacher"] = {"source": given.teacher}
    if given.student:
        table.setdefault("student", {}).update(source=given.student)
    if given.train_data:
        if table["data"]["calibration"]["source"] == table["data"]["train"]["source"]:
            table["data"]["calibration"] |= {"source": given.train_data}
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


if __name__ == "__main__":
    sys.exit(console.run(main))
