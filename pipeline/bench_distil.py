"""python -m pipeline.bench_distil: tokens a second of our training steps beside two others', and the ceiling.

Task distillation beside transformers' Trainer as its documentation shows it; task-agnostic distillation beside
the loop that DistilBERT's authors published. Steps are timed in turns and count real tokens only. Weights are
random: this is about speed, and about computing the same losses. Memory comes first, in processes of its own,
while this one has loaded nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from device_bench import machine, process
from pipeline import console
from pipeline.report import figures
from pipeline.speed import memory
from pipeline.store import provenance
from pipeline.types import PipelineError

if TYPE_CHECKING:
    import torch

    from pipeline.recipe import Distil
    from pipeline.speed.arithmetic import Shape
    from pipeline.speed.models import Pair
    from pipeline.speed.qa import Trajectory
    from pipeline.speed.rounds import Timed

RESULT = Path("runs/bench/distil.json")
MIN_TIMES, MIN_SHARE, MAX_DIFFERENCE = 2.0, 0.4, 1e-3
"""Goals: × the plain setup on a CPU; share of the matmul peak on a GPU; relative difference of losses."""
SMALL_MB, LARGE_MB, MAX_GROWTH = 1, 50, 50e6
"""Text whose packing is measured; bytes by which the larger may need more."""
WINDOWS, CURVE_STEPS, CURVE_BATCH = 256, 10, 4
EFFECTIVE_BATCH = 4096
"""Sequences in a step on a GPU (Sanh et al. 2019, section 3)."""
CUDA_TOKENS = 32_768
SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
PUBLISHED_BATCH, PUBLISHED_BATCH_CUDA = 8, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One program: real tokens a second, × the baseline with 95 % interval, FLOPs, share of the matmul rate."""

    program: str
    precision: str
    tokens_per_second: float
    times: tuple[float, float, float] | None
    flops_per_token: float
    share_of_peak: float
    nanoseconds: tuple[int, ...]
    tokens: tuple[int, ...]


def main() -> None:
    """Parses the flags, measures, prints and writes the figures."""
    given = _flags().parse_args()
    if given.one:
        memory.stream(given.one)
        return
    screen = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole: dict[str, Any] = {}
        if "memory" in given.parts:
            whole["memory"] = growth(folder, screen)
        if {"qa", "general"} & set(given.parts):
            whole |= speeds(given, folder, screen)
    whole |= {
        "machine": {**machine.identity(), "load_average_after": machine.load_average()},
        "made": provenance(),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    screen.print(f"raw figures         {given.out}")


def growth(folder: Path, screen: Console) -> dict[str, Any]:
    """Peak memory of packing and reading a small and a large text, each in a process of its own."""
    peaks: dict[int, int] = {}
    passages = _passages()
    for size in (SMALL_MB, LARGE_MB):
        text = folder / f"{size}.txt"
        memory.write_text(text, size * memory.MB, passages)
        command = [sys.executable, "-m", "pipeline.bench_distil", "--one", str(text)]
        spent = process.run(command, {"TOKENIZERS_PARALLELISM": "true"})
        if spent.exit_code:
            raise PipelineError(f"packing {size} MB of text ended with exit code {spent.exit_code}")
        peaks[size] = spent.peak_resident_bytes
        screen.print(
            f"corpus of {size:3} MB       packed and read once in {console.seconds(spent.wall_seconds)}, "
            f"peak {spent.peak_resident_bytes / 1e6:,.0f} MB"
        )
    more = peaks[LARGE_MB] - peaks[SMALL_MB]
    met = _met(more <= MAX_GROWTH)
    screen.print(f"memory growth       {more / 1e6:+,.0f} MB, goal ≤ {MAX_GROWTH / 1e6:.0f} MB: {met}")
    return {"peak_resident_bytes": peaks, "growth_bytes": more}


def speeds(given: argparse.Namespace, folder: Path, screen: Console) -> dict[str, Any]:
    """Both comparisons on this machine, and what its matrix products reach."""
    import torch

    from pipeline.models import checkpoint
    from pipeline.speed import arithmetic, models

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pair = models.pair(given.models or ("bert-base" if device.type == "cuda" else "pocket"))
    tokenizer = checkpoint.load_tokenizer(checkpoint.SHIPPED / "pocket-teacher")
    peaks = {name: arithmetic.matmul_rate(getattr(torch, name), device) for name in ("float32", "bfloat16")}
    screen.print(f"[bold]{pair.title}[/], random weights: speed only, on {device.type}")
    shown = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in peaks.items())
    screen.print(f"matmul peak         {shown} GFLOP/s")
    found: dict[str, Any] = {"models": pair.title, "device": device.type, "matmul_flops_per_second": peaks}
    if "qa" in given.parts:
        found["qa"] = _qa(given, pair, tokenizer, peaks, device, folder, screen)
    if "general" in given.parts:
        found["general"] = _general(given, pair, tokenizer, peaks, device, folder, screen)
    return found


def _qa(
    given: argparse.Namespace,
    pair: Pair,
    tokenizer: Any,
    peaks: Mapping[str, float],
    device: torch.device,
    folder: Path,
    screen: Console,
) -> dict[str, Any]:
    from device_bench.protocol import Plan
    from pipeline.recipe import Task
    from pipeline.speed import data, qa

    task = Task()
    windows = data.windows(given.train_data, WINDOWS, task, tokenizer)
    source = given.train_data or "our own text, cut to SQuAD v1.1's lengths"
    lengths = data.Lengths.of(source, [len(w.ids) for w in windows])
    options = qa_options(pair.name, device.type, lengths.mean)
    setup = qa.Setup(pair=pair, windows=windows, tokenizer=tokenizer, options=options, task=task, folder=folder)
    _say_lengths(screen, "windows", lengths)
    samples = qa.speeds(setup, given.batch, Plan(warmup=given.warmup, runs=given.rounds), device)
    shapes = (pair.shape(student=False, words=False), pair.shape(student=True, words=False))
    precision = {qa.PLAIN: "float32", qa.OURS: options.precision, qa.KEPT: options.precision}
    teachers = {qa.PLAIN: shapes[0], qa.OURS: shapes[0], qa.KEPT: None}
    lines = judged_lines(samples, qa.PLAIN, precision, teachers, shapes[1], setup.lengths, peaks)
    about = (
        f"plain: {given.batch} windows padded to {task.max_length}; ours: {options.tokens_per_batch:,} tokens"
    )
    screen.print(line_table("task distillation", lines, about))
    times = lines[1].times
    assert times is not None
    if device.type == "cpu":
        screen.print(f"goal                ≥ {MIN_TIMES:g} × the plain setup: {_met(times[0] >= MIN_TIMES)}")
    else:
        screen.print(
            f"goal                ≥ {MIN_SHARE:.0%} of peak: {_met(lines[1].share_of_peak >= MIN_SHARE)}"
        )
    curves = qa.trajectory(setup, CURVE_BATCH, CURVE_STEPS)
    screen.print(curve_table(curves))
    return {
        "lengths": asdict(lengths),
        "settings": options.model_dump(mode="json"),
        "programs": [asdict(line) for line in lines],
        "trajectory": {**asdict(curves), "worst": curves.worst, "worst_low": curves.worst_low},
    }


def _general(
    given: argparse.Namespace,
    pair: Pair,
    tokenizer: Any,
    peaks: Mapping[str, float],
    device: torch.device,
    folder: Path,
    screen: Console,
) -> dict[str, Any]:
    from device_bench.protocol import Plan
    from pipeline.speed import data, general

    packed = data.packed(given.corpus, given.length, tokenizer, folder / "corpus")
    on_gpu = device.type == "cuda"
    batch = PUBLISHED_BATCH_CUDA if on_gpu else PUBLISHED_BATCH
    mean = packed.tokens / len(packed)
    tokens = CUDA_TOKENS if on_gpu else batch * given.length
    accumulate = accumulated(mean, tokens) if on_gpu else 1
    options = general.options("bfloat16", tokens, accumulate)
    setup = general.Setup(pair=pair, packed=packed, options=options, device=device, folder=folder)
    lengths = data.Lengths.of(given.corpus or "our own text, joined at random", setup.lengths)
    _say_lengths(screen, "sequences", lengths)
    theirs = EFFECTIVE_BATCH // batch if on_gpu else 1
    samples = general.speeds(setup, batch, theirs, Plan(warmup=given.warmup, runs=given.rounds))
    shapes = (pair.shape(student=False, words=True), pair.shape(student=True, words=True))
    precision = {general.PUBLISHED: "bfloat16" if on_gpu else "float32", general.OURS: options.precision}
    teachers = dict.fromkeys(precision, shapes[0])
    lines = judged_lines(samples, general.PUBLISHED, precision, teachers, shapes[1], setup.lengths, peaks)
    about = f"published: {theirs} × {batch} sequences of like length; ours: {accumulate} × {tokens:,} tokens"
    screen.print(line_table("task-agnostic distillation", lines, about))
    if on_gpu:
        screen.print(
            f"goal                ≥ {MIN_SHARE:.0%} of peak: {_met(lines[1].share_of_peak >= MIN_SHARE)}"
        )
    return {
        "lengths": asdict(lengths),
        "settings": options.model_dump(mode="json", exclude={"corpus"}),
        "programs": [asdict(line) for line in lines],
    }


def qa_options(models: str, device: str, mean_length: float) -> Distil:
    """Recipe pocket's settings for task distillation; on a GPU, batches to fill it and 4,096 windows a step."""
    from pipeline import recipe

    options = recipe.load("pocket").distil
    if device == "cuda":
        accumulate = accumulated(mean_length, CUDA_TOKENS)
        options = options.model_copy(update={"tokens_per_batch": CUDA_TOKENS, "accumulate": accumulate})
    return options.model_copy(update={"train_word_embeddings": models != "pocket"})


def accumulated(mean_length: float, tokens: int) -> int:
    """How many batches of `tokens` make up the effective batch."""
    return max(1, round(EFFECTIVE_BATCH * mean_length / tokens))


def judged_lines(
    samples: Mapping[str, Timed],
    baseline: str,
    precision: Mapping[str, str],
    teachers: Mapping[str, Shape | None],
    student: Shape,
    lengths: Sequence[int],
    peaks: Mapping[str, float],
) -> list[Line]:
    """What the samples say of each program; a teacher of None computes nothing."""
    from pipeline.speed.arithmetic import flops_per_token
    from pipeline.speed.rounds import times_faster

    lines = []
    for name, taken in samples.items():
        flops = flops_per_token(teachers[name], student, lengths)
        times = None if name == baseline else times_faster(samples[baseline], taken).as_tuple()
        lines.append(
            Line(
                program=name,
                precision=precision[name],
                tokens_per_second=taken.tokens_per_second,
                times=times,
                flops_per_token=flops,
                share_of_peak=taken.tokens_per_second * flops / peaks[precision[name]],
                nanoseconds=taken.nanoseconds,
                tokens=taken.tokens,
            )
        )
    return lines


def line_table(title: str, lines: Sequence[Line], about: str) -> Table:
    """A line for each program; fits 80 columns."""
    notes = (
        f"{about}. Real tokens, padding not counted; median of {len(lines[0].tokens)} rounds in turns. FLOPs a "
        "token: linears 2 · parameters, attention 4 · length · hidden a layer; student × 3, teacher × 1."
    )
    table = Table(title=title, title_justify="left", caption=notes, caption_justify="left", pad_edge=False)
    for heading in ("program", "tokens/s", "× (95 %)", "MFLOP\na token", "share\nof peak"):
        table.add_column(heading, justify="left" if heading == "program" else "right", no_wrap=True)
    for line in lines:
        faster = figures.MISSING
        if line.times:
            faster = f"{figures.times(line.times[0])} ({figures.interval(line.times)})"
        table.add_row(
            f"{line.program}, {SHORT[line.precision]}",
            f"{line.tokens_per_second:,.0f}",
            faster,
            f"{line.flops_per_token / 1e6:,.1f}",
            f"{line.share_of_peak:.1%}",
        )
    return table


def curve_table(curves: Trajectory) -> Table:
    """The first, middle and last losses of the same windows, and how far apart they ever are."""
    met = _met(curves.worst <= MAX_DIFFERENCE)
    notes = (
        f"Largest relative difference of a loss from the plain setup's over {len(curves.plain)} steps: float32 "
        f"{curves.worst:.1e}, goal ≤ {MAX_DIFFERENCE:g}: {met}; {curves.precision} {curves.worst_low:.1e}."
    )
    table = Table(
        title="losses of the same windows", title_justify="left", caption=notes, caption_justify="left"
    )
    for heading in ("step", "plain", "ours, float32", f"ours, {curves.precision}"):
        table.add_column(heading, justify="right")
    last = len(curves.plain) - 1
    for step in sorted({0, 1, last // 2, last}):
        values = (curves.plain[step], curves.ours_float32[step], curves.ours[step])
        table.add_row(str(step + 1), *(f"{value:.5f}" for value in values))
    return table


def _say_lengths(screen: Console, what: str, lengths: Any) -> None:
    low, middle, high = (lengths.deciles[i] for i in (1, 5, 9))
    screen.print(
        f"{what:20}{lengths.count:,} of {lengths.source}: mean {lengths.mean:.0f} tokens, "
        f"10/50/90 % below {low:.0f}/{middle:.0f}/{high:.0f}"
    )


def _passages() -> list[str]:
    document = json.loads((Path(__file__).parent / "data" / "practice.json").read_text(encoding="utf-8"))
    return [part["context"] for article in document["data"] for part in article["paragraphs"]]


def _met(passed: bool) -> str:
    return "met" if passed else "missed"


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.bench_distil",
        description="Times distillation beside the plain Trainer setup and the published loop, paired.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", help="pocket, or bert-base (default: bert-base on a GPU, else pocket)")
    parser.add_argument(
        "--train-data", metavar="PATH", help="a SQuAD file (default: our text, SQuAD's lengths)"
    )
    parser.add_argument("--corpus", metavar="PATH", help="plain text (default: our own, joined)")
    parser.add_argument("--length", type=int, default=128, help="tokens of a corpus sequence (default: 128)")
    parser.add_argument("--batch", type=int, default=8, help="windows in the plain setup's batch (default: 8)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count (default: 10)")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before them (default: 2)")
    parser.add_argument(
        "--parts", nargs="+", default=["memory", "qa", "general"], choices=("memory", "qa", "general")
    )
    parser.add_argument("--out", type=Path, default=RESULT, help=f"raw figures (default: {RESULT})")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
