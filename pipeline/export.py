"""python -m pipeline.export: a fine-tuned checkpoint → a verified bundle per target, nothing trained."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline import console
from pipeline import recipe as recipes
from pipeline.types import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from exporters.base import Exporter
    from pipeline.models.adopt import Described
    from pipeline.recipe import Recipe
    from pipeline.report.summary import Row
    from pipeline.runs import Run

SHORTEST = 16
"""Tokens of the shortest program a recipe can ask for; its windows may be as short as one."""
UNKNOWN = "unknown"
"""What a checkpoint was trained on."""


def main() -> None:
    """Parses the flags, reads what the checkpoint is, and exports it for every target."""
    given = _flags().parse_args()
    screen = Console(highlight=False, soft_wrap=True)

    from exporters import base as exporters
    from pipeline.models import adopt, checkpoint
    from pipeline.runs import Run
    from pipeline.shipped import Pretrained
    from pipeline.store import Store

    chosen = [exporters.get(target) for target in exporters.parse_targets(given.target)]
    folder = checkpoint.resolve(recipes.Checkpoint(source=given.checkpoint))
    recipe = _recipe(given, adopt.describe(folder))
    out = given.out or Path("runs") / recipe.name
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    store = Store(given.store, seed=recipe.seed, shipped=Pretrained(), fresh=given.fresh)
    run = Run(recipe, store, screen, dry=False)
    screen.print(f"[bold]{recipe.name}[/]: {recipe.description}")
    export_all(run, folder, chosen, out)


def export_all(run: Run, folder: Path, chosen: Sequence[Exporter], out: Path) -> None:
    """Checkpoint → graph → quantize → export → verify → bundle."""
    from pipeline import programs, stages
    from pipeline.stages.adopt import OWN_ANSWERS, examples_of
    from pipeline.tasks.methods import methods_of

    recipe, task, methods = run.recipe, run.recipe.task, methods_of(run.recipe.task)
    if recipe.data.eval.source != OWN_ANSWERS:
        methods.examples(recipe.data.eval).identity()  # a bad file is refused before anything is made
    adopted = run(stages.Adopt(folder=folder, task=task))
    run.screen.print(
        f"    off the Hugging Face model by {adopted.metrics['max_relative_error']:.1e} of the largest "
        f"logit, in float32 on {adopted.metrics['compared_windows']:.0f} windows"
    )
    held_out = examples_of(recipe.data.eval, task, adopted.path)
    calibration = examples_of(recipe.data.calibration, task, adopted.path)
    quantized = run(stages.Quantize(pruned=adopted, options=recipe.quantize))
    score = run(stages.Evaluate(model=adopted, questions=held_out, task=task), "checkpoint")
    run.evaluated("checkpoint", adopted, score)

    material = programs.Material(
        pruned=adopted,
        quantized=quantized,
        score=score,
        held_out=held_out,
        calibration=calibration,
        steps=("quantized to int8",) if recipe.quantize.linears == "int8" else (),
    )
    references = programs.references(run, [exporter.activations for exporter in chosen], material)
    for exporter in chosen:
        made = programs.made(run, exporter, material, references)
        run.deliver(exporter.target, made.program, made.verified, made.bundle, out)
    run.screen.print()
    run.screen.print(_table(run.rows, f"on: {run.asked} of {recipe.data.eval.source}"))
    for target, name in run.bundles.items():
        run.screen.print(f"bundle  {target:18}{out / name}")


def _table(rows: Sequence[Row], where: str) -> Table:
    """The checkpoint in torch and every artifact: the task's metrics in percent, how many answered, size."""
    from rich.table import Table

    from pipeline.report import figures

    table = Table(caption=where, caption_justify="left", pad_edge=False)
    for heading in ("model", *figures.metrics(tuple(rows[0].scores)), "on", "size"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in rows:
        scores = (figures.percent_points(score) for score in row.scores.values())
        table.add_row(row.label, *scores, f"{row.questions:,}", figures.megabytes(row.size_bytes))
    return table


def _recipe(given: argparse.Namespace, described: Described) -> Recipe:
    """The flags and the checkpoint's own facts as a recipe, of which only what follows the training is used."""
    from pipeline.stages.adopt import OWN_ANSWERS

    asks = described.head == "question-answering"
    longest = min(described.positions, 512)
    length = given.max_length or min(384 if asks else 128, longest)
    if not SHORTEST <= length <= longest:
        raise UsageError(
            f"--max-length is {length}; {given.checkpoint} can have {SHORTEST} to {longest} tokens"
        )
    task: dict[str, Any] = {"kind": described.head, "max_length": length}
    if asks:
        task["stride"] = 128 if length >= 256 else length // 4
    elif described.labels:
        task["labels"] = described.labels
    else:
        task["kind"] = "regression"
    shipped = ("passages", "practice") if asks else (OWN_ANSWERS, OWN_ANSWERS)
    held_out = given.eval_data or shipped[0]
    verify = recipes.Verify()
    name = re.sub(r"[^a-z0-9]+", "-", Path(given.checkpoint).resolve().name.lower()).strip("-") or "checkpoint"
    exported: dict[str, Any] = {"lengths": _lengths(given.lengths)} if given.lengths else {}
    return recipes.build(
        {
            "name": name,
            "description": f"{given.checkpoint} as it is, in {given.precision}, for {task['kind']}",
            "task": task,
            "data": {
                "train": {"source": UNKNOWN},
                "eval": {"source": held_out, "split": "validation", "limit": verify.questions},
                "calibration": {"source": "practice" if asks else OWN_ANSWERS},
            },
            "teacher": {"source": given.checkpoint},
            "quantize": {"linears": given.precision, "embeddings": given.precision},
            "export": exported,
            "verify": verify.model_dump(),
            "bench": {"length": length},
        },
        "the flags",
    )


def _lengths(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise UsageError(
            f"--lengths wants numbers of tokens with commas between, such as 64,128,384; got {text!r}"
        )
    return tuple(int(part) for part in text.split(","))


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.export",
        description="Makes verified phone artifacts of a fine-tuned BERT or DistilBERT checkpoint as it is.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="FOLDER-OR-HUB-ID", help="with a head for questions or texts")
    parser.add_argument("--target", default="coreml", help="a target, a comma list, or all (default: coreml)")
    parser.add_argument("--out", type=Path, help="bundles go here (default: runs/CHECKPOINT)")
    parser.add_argument("--max-length", type=int, help="tokens (default: 384 for questions, 128 for texts)")
    parser.add_argument(
        "--eval-data",
        metavar="HUB-OR-PATH",
        help="what it is verified on (default: shipped questions or texts)",
    )
    parser.add_argument("--precision", choices=("int8", "float32"), default="int8", help="of all weights")
    parser.add_argument(
        "--lengths", help="lengths of programs whose shapes are fixed, up to --max-length: 64,128,384"
    )
    parser.add_argument(
        "--store", type=Path, default=Path("runs/store"), help="stage results (default: runs/store)"
    )
    parser.add_argument("--fresh", action="store_true", help="ignore stored results")
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
