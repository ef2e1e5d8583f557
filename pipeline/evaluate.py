"""python -m pipeline.evaluate: a checkpoint folder, hub id or bundle on SQuAD, a GLUE task or IMDb."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline import console
from pipeline.types import Answerer, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.answerers import Opened
    from pipeline.tasks.base import Methods


def main() -> None:
    """Parses the flags, evaluates, prints metrics, parameters and size; with --time the pass of table 3."""
    given = _flags().parse_args()

    from pipeline import benchmarks
    from pipeline.answerers import open_source
    from pipeline.tasks.base import answer_all

    if given.against and not given.time:
        raise UsageError("--against is what --time compares with; give --time as well")
    if given.threads < 1 or (given.limit is not None and given.limit < 1):
        raise UsageError("--threads and --limit must be at least 1")
    if given.out and (given.out.is_dir() or not given.out.absolute().parent.is_dir()):
        raise UsageError(f"--out {given.out} cannot be written: give a file in a folder that exists")
    screen = Console(stderr=True)
    opened = open_source(given.model, given.threads)
    methods = benchmarks.methods_for(given.task, opened.task if opened.is_bundle else None)
    opened.check(methods)
    examples = benchmarks.held_out(given.task, methods, given.data, given.limit).examples
    asked = f"{len(examples):,} {methods.words.examples}"
    if given.time:
        _time(given, opened, methods, examples, screen)
        return
    with console.bar(screen, opened.description) as bar:
        predictions = answer_all(
            methods,
            examples,
            opened.model,
            opened.tokenizer,
            step=lambda done: bar.update(done, len(examples), f"{done} of {asked}"),
        )
    if given.out:
        partial = given.out.with_name(given.out.name + ".partial")
        partial.write_text(json.dumps(predictions, ensure_ascii=False, indent=1), encoding="utf-8")
        partial.replace(given.out)
    _print_scores(methods.score(examples, predictions), f"{given.task}, {asked}")
    print(_measures(opened))


def _print_scores(scores: dict[str, float], where: str) -> None:
    from pipeline.report import figures

    shown = [
        f"{title} {value:.2f}" for title, value in zip(figures.metrics(scores), scores.values(), strict=True)
    ]
    print(f"{'  '.join(shown)}  ({where})")


def _measures(opened: Opened) -> str:
    from pipeline.report import figures

    parameters = f"{figures.millions(opened.parameters)} parameters, " if opened.parameters else ""
    return f"{parameters}{figures.megabytes(opened.size_bytes)} on disk, {opened.description}"


def _time(
    given: argparse.Namespace, opened: Opened, methods: Methods, examples: Sequence[Any], screen: Console
) -> None:
    """The table-3 pass: batch 1 on the CPU, the whole set once, taking turns with the baseline."""
    from device_bench import machine
    from pipeline import benchmarks
    from pipeline.models.answerer import TorchStudent, parameters_of
    from pipeline.report import figures
    from pipeline.stages import baseline

    models: dict[str, Answerer] = {given.model: opened.model}
    if given.against:
        models[given.against] = TorchStudent(baseline.build(given.against))
    windows = [window for one in examples for window in methods.windows(one, opened.tokenizer)]
    with console.bar(screen, "timing") as bar:
        taken = benchmarks.passes(
            models,
            windows,
            given.threads,
            step=lambda done: bar.update(done, len(windows), f"{done} of {len(windows)}"),
        )
    tokens = sum(len(window.ids) for window in windows)
    print(
        f"{given.task}: {len(windows):,} windows of {tokens / len(windows):.0f} tokens on average, batch 1, "
        f"{given.threads} thread{'s' * (given.threads != 1)}, {machine.processor()}"
    )
    for name, one in taken.items():
        parameters = opened.parameters if name == given.model else parameters_of(models[name])
        counted = figures.millions(parameters)
        print(f"{name}: {one.seconds:.1f} s in all, median {one.median_ms:.2f} ms, {counted} parameters")
    if given.against:
        ratio = benchmarks.ratio(taken[given.against], taken[given.model])
        shown = f"{figures.times(ratio.value)} ({figures.interval(ratio.as_tuple())})"
        print(f"{shown} as fast as {given.against}, median of window by window, 95 % interval")
        print(baseline.note(given.against))
    print(_measures(opened))
    if given.out:
        record = {name: list(one.samples_ns) for name, one in taken.items()}
        given.out.write_text(json.dumps({"samples_ns": record}), encoding="utf-8")


def _flags() -> argparse.ArgumentParser:
    from pipeline.tasks.glue import BENCHMARKS

    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description="Evaluates a model on a benchmark's development set (IMDb's test set).",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="a checkpoint folder, a bundle, or a hub id")
    parser.add_argument("--task", required=True, choices=("squad", *BENCHMARKS, "imdb"))
    parser.add_argument(
        "--data",
        help="a folder of TSV files, a .tsv, .jsonl or SQuAD file, or a hub id (default: the hub's)",
    )
    parser.add_argument("--out", type=Path, help="where predictions by id go; with --time the raw samples")
    parser.add_argument("--limit", type=int, help="only the first so many")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of the runtime (default: all processors)"
    )
    parser.add_argument(
        "--time", action="store_true", help="time one pass, batch 1 on the CPU, as the paper's table 3 does"
    )
    parser.add_argument(
        "--against",
        choices=("bert-base", "bert-tiny"),
        help="with --time: in turns with this, of random weights",
    )
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
