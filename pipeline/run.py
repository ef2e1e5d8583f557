"""python -m pipeline.run: a recipe → stages → a verified bundle per target and a report. The only loop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import console, distributed, flags
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
    out = given.out or Path("runs") / recipe.name
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    store = Store(given.store, seed=recipe.seed, shipped=Pretrained(), fresh=given.fresh)
    run = Run(recipe, store, screen, dry=given.dry_run)
    screen.print(f"[bold]{recipe.name}[/]: {recipe.description}")
    make_all(run, chosen, out)


def make_all(run: Run, chosen: Sequence[Exporter], out: Path) -> None:
    """The pipeline, stage by stage: this is the page to read."""
    from exporters.linting import inspection
    from pipeline import chain, stages

    recipe, task = run.recipe, run.recipe.task
    sets = chain.checked(recipe)
    held_out, calibration = sets.held_out, sets.calibration

    teacher, distilled = chain.distilled(run, sets)
    if not run.goes_on_alone():
        return
    student = run(stages.Prune(distilled=distilled, questions=calibration, task=task, options=recipe.prune))
    quantized = run(stages.Quantize(pruned=student, options=recipe.quantize))
    for model, who in ((teacher, "teacher"), (distilled, "distilled"), (student, "student")):
        score = run(stages.Evaluate(model=model, questions=held_out, task=task), who)
        run.evaluated(who, model, score)
    torch_bench = stages.BenchTorch(teacher=teacher, student=student, options=recipe.bench)
    run.timed("torch", run(torch_bench, "torch"))
    references = {
        name: run(
            stages.Reference(
                model=model,
                quantized=is_quantized,
                activations=activations,
                questions=held_out,
                task=task,
                tolerance=recipe.verify,
            ),
            name,
        )
        for name, (model, is_quantized, activations) in stages.references_of(
            [exporter.activations for exporter in chosen], student, quantized
        ).items()
    }

    checked = {}
    for exporter in chosen:
        target = exporter.target
        export = stages.Export(
            quantized=quantized,
            exporter=exporter,
            model_name=recipe.name,
            precision=stages.precision_of(recipe.quantize),
            task=task,
            options=recipe.export,
            calibration=calibration,
            score=score,  # The last one: the student's.
            scored_on=recipe.data.eval.source,
        )
        program = run(export, target)
        lint = stages.Lint(
            exported=program,
            quantized=quantized,
            exporter=exporter,
            calibration=calibration,
            task=task,
            linter=inspection,
        )
        stages.refuse_errors(run(lint, target))
        check = stages.Verify(
            exported=program,
            quantized=quantized,
            references=references,
            exporter=exporter,
            questions=held_out,
            task=task,
            tolerance=recipe.verify,
        )
        verified = checked[target] = run(check, target)
        run.judge(export, check, verified)
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
    agreement = stages.Agree(
        quantized=quantized, references=references, verified=checked, questions=held_out, task=task
    )
    run.compared(run(agreement), out)
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
    parser.add_argument("--out", type=Path, help="bundles and report go here (default: runs/RECIPE)")
    parser.add_argument("--list-recipes", action="store_true", help="name the shipped recipes and stop")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and what would be reused")
    flags.add(parser)
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
