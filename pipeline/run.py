"""python -m pipeline.run: a recipe → stages → a verified bundle per target and a report. The only loop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import apps, console, distributed, flags
from pipeline import recipe as recipes
from pipeline.types import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporters.base import Exporter
    from pipeline.runs import Run


def main() -> None:
    """Parses the flags and runs the recipe for every target."""
    given = _flags().parse_args()
    if given.dry_run and distributed.launched():
        raise UsageError("--dry-run is for one process; start it without torchrun or accelerate launch")
    distributed.join()
    screen = Console(highlight=False, soft_wrap=True, quiet=not distributed.is_first())
    if given.list_recipes:
        for name in recipes.shipped_names():
            screen.print(f"{name:18}{recipes.load(name).description}")
        return
    recipe = flags.overridden(recipes.load(given.recipe), given)

    from exporters import base as exporters
    from pipeline.runs import Run
    from pipeline.shipped import Pretrained
    from pipeline.store import Store

    chosen = [exporters.get(target) for target in exporters.parse_targets(given.target)]
    drops = apps.planned(given.app, chosen, recipe, given.app_folder) if given.app is not None else ()
    out = given.out or Path("runs") / recipe.name
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    store = Store(given.store, seed=recipe.seed, shipped=Pretrained(), fresh=given.fresh)
    run = Run(recipe, store, screen, dry=given.dry_run)
    screen.print(f"[bold]{recipe.name}[/]: {recipe.description}")
    make_all(run, chosen, out, drops)


def make_all(run: Run, chosen: Sequence[Exporter], out: Path, drops: Sequence[apps.Drop] = ()) -> None:
    """The pipeline, stage by stage: this is the page to read."""
    from pipeline import chain, programs, stages

    recipe, task = run.recipe, run.recipe.task
    sets = chain.checked(recipe)
    held_out, calibration = sets.held_out, sets.calibration

    teacher, distilled = chain.distilled(run, sets)
    if not run.goes_on_alone():
        return
    student = run(stages.Prune(distilled=distilled, questions=calibration, task=task, options=recipe.prune))
    quantized = run(stages.Quantize(pruned=student, options=recipe.quantize))
    for model, who in ((teacher, "teacher"), (distilled, "distilled"), (student, "student")):
        score = run(stages.Evaluate(model=model, questions=held_out, task=task), who)  # the last: the student's
        run.evaluated(who, model, score)
    torch_bench = stages.BenchTorch(teacher=teacher, student=student, options=recipe.bench)
    run.timed("torch", run(torch_bench, "torch"))
    material = programs.Material(
        pruned=student, quantized=quantized, score=score, held_out=held_out, calibration=calibration
    )
    references = programs.references(run, [exporter.activations for exporter in chosen], material)

    verified, bundled = {}, {}
    for exporter in chosen:
        target = exporter.target
        made = programs.made(run, exporter, material, references)
        verified[target], bundled[target] = made.verified, made.bundle
        run.timed(target, programs.timed(run, exporter, material, made.program))
        run.deliver(target, made.program, made.verified, made.bundle, out)
    agreement = stages.Agree(
        quantized=quantized, references=references, verified=verified, questions=held_out, task=task
    )
    run.compared(run(agreement), out)
    run.finish(out)
    run.drop(drops, bundled)


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.run",
        description="Makes verified phone artifacts from a teacher, as a recipe says.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", default="coreml", help="a target, a comma list, or all (default: coreml)")
    parser.add_argument("--out", type=Path, help="bundles and report go here (default: runs/RECIPE)")
    parser.add_argument(
        "--app",
        metavar="APP",
        help=f"an app that gets its bundle: {', '.join(apps.APPS)}, or a comma list",
    )
    parser.add_argument(
        "--app-folder", metavar="FOLDER", type=Path, help="where the apps are (default: apps of this clone)"
    )
    parser.add_argument("--list-recipes", action="store_true", help="name the shipped recipes and stop")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and what would be reused")
    flags.add(parser)
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
