"""python -m pipeline.baseline: bundles of random weights, to compare size and latency with another's.

They come through the exporter of the other bundle's target, at its lengths, with its tokenizer. A baseline
answers questions whatever the other's task is: the difference is one small linear.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import bundles, console
from pipeline.recipe import Task
from pipeline.types import UsageError, VerificationFailed

if TYPE_CHECKING:
    from pipeline.bundles import Bundle
    from pipeline.stages import Baseline
    from pipeline.stages.baseline import Precision
    from pipeline.types import Artifact

SHORTEST = 16
"""Tokens of the shortest window that a bundle of questions can state."""
FIXED = "tflite"
"""The target whose programs never take a range of lengths."""
WHY_NOT = "its weights are random: size and latency count, answers mean nothing"


def main() -> None:
    """Parses the flags, makes a bundle for each precision, prints where they are."""
    given = _flags().parse_args()
    like, precisions = bundles.read(given.like), _precisions(given.precision)
    if like.random_weights:
        raise UsageError(f"{like.path} is a baseline itself; give the bundle that is to be measured")
    places = {precision: given.out / f"{given.shape}-{precision}" for precision in precisions}
    for place in places.values():
        _check_replaceable(place)

    from exporters import base as exporters
    from pipeline.shipped import Pretrained
    from pipeline.stages import Baseline
    from pipeline.store import Store

    longest, lengths = lengths_of(like, given.length)
    exporter, screen = exporters.get(like.target), Console(highlight=False, soft_wrap=True)
    store = Store(given.store, seed=0, shipped=Pretrained())
    for precision, place in places.items():
        stage = Baseline(
            shape=given.shape, exporter=exporter, precision=precision, length=longest, lengths=lengths
        )
        with console.bar(screen, f"{given.shape} {precision}") as bar:
            deliver(stage, store.make(stage, bar), like, place)
        screen.print(f"bundle  {precision:10}{place}")


def lengths_of(like: Bundle, only: int | None) -> tuple[int, tuple[int, ...]]:
    """The longest window, and all lengths where shapes are fixed, as stage baseline takes them.

    Raises UsageError where the bundle does not take the length `only`, or knows more tokens than a baseline.
    """
    from pipeline.stages.baseline import VOCABULARY

    tokens = len((like.path / "vocab.txt").read_bytes().splitlines())
    if tokens > VOCABULARY:
        raise UsageError(f"{like.path} knows {tokens:,} tokens, more than a baseline's {VOCABULARY:,}")
    if only is not None and (only not in like.lengths or only < SHORTEST):
        raise UsageError(f"--length {only} is none of {like.path}'s lengths from {SHORTEST} tokens on")
    lengths = like.lengths if only is None else (only,)
    is_range = like.target != FIXED and "fixed" not in bundles.lengths_field(like.lengths)
    return lengths[-1], () if is_range else lengths


def deliver(stage: Baseline, program: Artifact, like: Bundle, place: Path) -> None:
    """The stage's program as a bundle at `place`, which is there whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        _fill(fresh, stage, program, like)
        if place.exists():
            place.rename(Path(scratch) / "old")
        fresh.rename(place)


def _fill(folder: Path, stage: Baseline, made: Artifact, like: Bundle) -> None:
    from pipeline import golden
    from pipeline.models.checkpoint import tokenizer_files
    from pipeline.report import figures
    from pipeline.stages.baseline import note
    from pipeline.stages.bundle import program_fields
    from pipeline.stages.export import program_of

    source = program_of(made)
    program = folder / source.name
    if source.is_dir():
        shutil.copytree(source, program)
    else:
        shutil.copyfile(source, program)
    for file in tokenizer_files(like.path):
        shutil.copyfile(file, folder / file.name)
    recorded = {"min_sqnr_db": golden.MIN_SQNR_DB, "recorded_from": golden.STUDENT, "cases": []}
    (folder / bundles.GOLDEN).write_text(json.dumps(recorded), encoding="utf-8")
    size = figures.megabytes(made.metrics["size_bytes"])
    (folder / "README.md").write_text(
        f"# {stage.shape} for {like.target}, random weights, size and latency only\n\n"
        f"{note(stage.shape)}. Made to measure other programs of {like.target} against, by the same exporter "
        f"at the same lengths, linears in {stage.precision}: `{program.name}`, {size} (1 MB = 10⁶ bytes).\n",
        encoding="utf-8",
    )
    bundles.write_manifest(
        folder,
        {
            "name": stage.shape,
            **program_fields(
                program=program.name,
                target=like.target,
                task=_task(like, stage.length),
                lengths=_lengths(stage, program),
                student=stage.student(),
            ),
            "random_weights": True,
            "verified": False,
            "why_not_verified": WHY_NOT,
            "metrics": {},
            "made_from": {"program": made.sha256},
        },
    )


def _lengths(stage: Baseline, program: Path) -> tuple[int, ...]:
    """What the program says of itself."""
    from exporters.base import Readable

    if stage.exporter.why_not_run():
        assert isinstance(stage.exporter, Readable)
        return stage.exporter.structure(program).lengths
    return stage.exporter.runner(program).lengths


def _task(like: Bundle, longest: int) -> Task:
    """Windows as the other bundle's, cut down where only a shorter length was asked for."""
    if not isinstance(like.task, Task):
        return Task(max_length=longest, stride=longest // 4)
    if like.task.max_length == longest:
        return like.task
    return Task(**{**like.task.model_dump(), "max_length": longest, "stride": longest // 4})


def _precisions(text: str) -> tuple[Precision, ...]:
    known: tuple[Precision, ...] = ("int8", "float32")
    for name in (names := text.split(",")):
        if name not in known:
            raise UsageError(f"--precision must be of {', '.join(known)}, got {name!r}")
    return tuple(precision for precision in known if precision in names)


def _check_replaceable(place: Path) -> None:
    """Raises UsageError where something is in the way that is no baseline."""
    if not place.exists():
        return
    try:
        replaceable = bundles.read(place).random_weights
    except (UsageError, VerificationFailed):
        replaceable = False
    if not replaceable:
        raise UsageError(f"{place} is there and is no whole baseline; remove it or give another --out")


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.baseline",
        description="Makes bundles of random weights to compare a bundle's size and latency with.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--like", type=Path, required=True, metavar="BUNDLE", help="whose target and lengths they share"
    )
    parser.add_argument(
        "--shape",
        choices=("bert-base", "bert-tiny", "linears"),
        default="bert-base",
        help="what to make; linears tell what the runtime can reach (default: bert-base)",
    )
    parser.add_argument("--precision", default="int8,float32", help="of all linears (default: int8,float32)")
    parser.add_argument("--length", type=int, help="one of the bundle's lengths (default: all of them)")
    parser.add_argument(
        "--out", type=Path, required=True, help="bundles go here, each into a folder SHAPE-PRECISION"
    )
    parser.add_argument(
        "--store", type=Path, default=Path("runs/store"), help="stage results (default: runs/store)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
