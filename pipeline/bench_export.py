"""python -m pipeline.bench_export: our exporters beside the tools' default flows on the same weights.

DistilBERT-base and pocket's shape, weights drawn at random: the default is what the runtime's documentation
shows on the Hugging Face model, ours is the same weights in our graph. Every conversion, every memory figure
and every runtime's timing has a process of its own; within a timing all programs take turns at each window.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from device_bench import machine, process
from pipeline import console
from pipeline.recipe import Record
from pipeline.report import figures
from pipeline.speed import runtimes
from pipeline.store import provenance, tool_version
from pipeline.types import PipelineError, UsageError

if TYPE_CHECKING:
    from pipeline.speed.comparison import Weighed
    from pipeline.speed.data import Lengths
    from pipeline.speed.inference import Timed
    from pipeline.speed.records import Program

RESULT = Path("runs/bench/export-defaults.json")
MODELS = ("distilbert", "pocket")
QUICK = "tiny"
"""What --quick measures; no goal is about it."""
FIXED_INFERENCES, REAL_INFERENCES = 6, 12
"""Before resident memory is read: at the longest length, then of windows from short to long."""
SHORTEST = 17
"""Tokens that a window of our own text needs at least, for its question and three separators and an answer."""

Answer = TypeVar("Answer", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is measured. `lengths`: of the equal cases, the first is the default's own and the longest."""

    models: tuple[str, ...]
    lengths: tuple[int, ...]
    threads: tuple[int, ...]
    runtimes: tuple[str, ...]
    warmup: int
    rounds: int
    windows: int
    repeats: int
    """Fresh processes for each figure of memory and loading."""
    data: str | None
    store: Path

    def shown(self) -> dict[str, Any]:
        """For the record, without this machine's folders."""
        return {**asdict(self), "store": self.store.name, "data": self.data and Path(self.data).name}

    @property
    def targets(self) -> list[str]:
        """Those of the runtimes that we have an exporter for."""
        return [runtime for runtime in self.runtimes if runtime in runtimes.TARGETS]


def main() -> None:
    """Parses the flags, makes and measures the programs, prints the tables and writes the figures."""
    given = _flags().parse_args()
    if given.one:
        one(*given.one)
        return
    settings = settings_of(given)
    for runtime in settings.runtimes:
        runtimes.check(runtime)
    screen = Console(highlight=False, soft_wrap=True)
    windows, drawn = real_windows(settings)
    low, middle, high = (drawn.deciles[i] for i in (1, 5, 9))
    screen.print(
        f"windows             {drawn.count} of {drawn.source}: mean {drawn.mean:.0f} tokens, "
        f"10/50/90 % below {low:.0f}/{middle:.0f}/{high:.0f}"
    )
    buckets = buckets_of(settings.lengths)
    screen.print(f"our lengths         {', '.join(map(str, buckets))}, where shapes are fixed")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        programs, linears = programs_of(settings, buckets, folder, screen)
        weighed = costs(settings, programs, windows, folder, screen)
        timings = timed(settings, programs, linears, windows, folder, screen)
    whole = judged(settings, weighed, timings, screen)
    whole |= {
        "settings": {**settings.shown(), "buckets": buckets},
        "lengths": asdict(drawn),
        "programs": [_shown(program) for program in (*programs, *linears)],
        "costs": [{**_shown(one.program), "runs": one.model_dump()["costs"]} for one in weighed],
        "timings": [one.model_dump() for one in timings],
        "machine": {**machine.identity(), "load_average_after": machine.load_average()},
        "versions": {name: tool_version(name) for name in packages(settings.runtimes)},
        "made": provenance(),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    screen.print(f"raw figures         {given.out}")


def one(kind: str, plan: str, answer: str) -> None:
    """In a child: one plan carried out, its answer written."""
    text = Path(plan).read_text(encoding="utf-8")
    found: Record
    if kind == "load":
        from pipeline.speed import loading

        found = loading.measure(loading.LoadPlan.model_validate_json(text))
    elif kind == "make":
        from pipeline.speed import programs

        found = programs.make(programs.MakePlan.model_validate_json(text))
    else:
        from pipeline.speed import inference

        found = inference.timed(inference.TimePlan.model_validate_json(text))
    Path(answer).write_text(found.model_dump_json(), encoding="utf-8")


def asked(kind: str, plan: Record, answer: type[Answer], folder: Path) -> Answer:
    """Carries a plan out in a process of its own.

    A child that fails has said why: its exit code becomes ours.
    """
    files = folder / "plan.json", folder / "answer.json"
    files[0].write_text(plan.model_dump_json(), encoding="utf-8")
    flags = ("--one", kind, *map(str, files))
    spent = process.run([sys.executable, "-m", "pipeline.bench_export", *flags])
    if spent.exit_code < 0:
        raise PipelineError(f"{kind}: its process was killed by signal {-spent.exit_code}; is memory short?")
    if spent.exit_code:
        sys.exit(spent.exit_code)
    return answer.model_validate_json(files[1].read_text(encoding="utf-8"))


def programs_of(
    settings: Settings, buckets: tuple[int, ...], folder: Path, screen: Console
) -> tuple[list[Program], list[Program]]:
    """All programs, and each target's linear."""
    from pipeline.speed.programs import Made, MakePlan

    found: list[Program] = []
    linears: dict[str, Program] = {}
    for model in settings.models:
        for runtime in settings.runtimes:
            plan = MakePlan(
                model=model, runtime=runtime, fixed=settings.lengths, lengths=buckets, store=settings.store
            )
            with console.bar(screen, f"{model} {runtime}"):
                made = asked("make", plan, Made, folder)
            for program in made.programs:
                took = f"made in {console.seconds(program.seconds)}" if program.seconds else "reused"
                name = f"{model} {program.label} {program.length}"
                screen.print(f"{name:36}{figures.megabytes(program.size_bytes):>9}  {took}")
            found.extend(made.programs)
            if made.linear:
                linears[runtime] = made.linear
    return found, [linears[target] for target in settings.targets]


def costs(
    settings: Settings,
    programs: Sequence[Program],
    windows: Sequence[Sequence[int]],
    folder: Path,
    screen: Console,
) -> list[Weighed]:
    """Loading and memory of every program of the longest length, in turns, each time in a fresh process."""
    from pipeline.speed.comparison import Weighed
    from pipeline.speed.loading import Cost, LoadPlan

    longest = [program for program in programs if program.length == settings.lengths[0]]
    lengths = sorted(len(ids) for ids in windows)
    few = tuple(lengths[i * (len(lengths) - 1) // (REAL_INFERENCES - 1)] for i in range(REAL_INFERENCES))
    found: dict[int, list[Cost]] = {number: [] for number in range(len(longest))}
    with console.bar(screen, "loading and memory") as bar:
        for repeat in range(settings.repeats):
            for number, program in enumerate(longest):
                plan = LoadPlan(
                    program=program,
                    threads=settings.threads[0],
                    fixed=FIXED_INFERENCES,
                    lengths=few,
                )
                found[number].append(asked("load", plan, Cost, folder))
                bar.update(repeat * len(longest) + number + 1, settings.repeats * len(longest), program.label)
    return [Weighed(program=program, costs=tuple(found[n])) for n, program in enumerate(longest)]


def timed(
    settings: Settings,
    programs: Sequence[Program],
    linears: Sequence[Program],
    windows: Sequence[tuple[int, ...]],
    folder: Path,
    screen: Console,
) -> list[Timed]:
    """One process for each target and number of threads."""
    from pipeline.speed.inference import Timed, TimePlan

    found = []
    for target, linear in zip(settings.targets, linears, strict=True):
        taking_part = [p for p in programs if p.runtime == target or p.runtime not in runtimes.TARGETS]
        for threads in settings.threads:
            plan = TimePlan(
                runtime=target,
                threads=threads,
                warmup=settings.warmup,
                rounds=settings.rounds,
                lengths=settings.lengths,
                windows=tuple(windows),
                programs=tuple(taking_part),
                linear=linear,
            )
            with console.bar(screen, f"timing {target}, {_threads(threads)}"):
                found.append(asked("time", plan, Timed, folder))
    return found


def judged(
    settings: Settings, weighed: Sequence[Weighed], timings: Sequence[Timed], screen: Console
) -> dict[str, Any]:
    """Prints what was found beside the goals, and returns it."""
    from pipeline.speed import comparison, tables
    from pipeline.speed.encoders import encoder

    rates = [one.rates for one in timings]
    peaks, goals = comparison.peaks(rates), QUICK not in settings.models
    lines = [
        comparison.line_of(case, encoder(case.model).shape, peaks[case.threads], judged=goals)
        for one in timings
        for case in one.cases
    ]
    weights = comparison.weights_of(weighed, judged=goals)
    for threads, peak in peaks.items():
        parts = [f"{rate.runtime} {rate.linear / 1e9:,.0f}" for rate in rates if rate.threads == threads]
        best = max(rate.torch for rate in rates if rate.threads == threads)
        screen.print(
            f"int8 matmul peak    {peak / 1e9:,.0f} GOP/s, {_threads(threads)}: the highest of one large "
            f"linear in {', '.join(parts)} and of torch's product {best / 1e9:,.0f}"
        )
    for model in settings.models:
        title = encoder(model).title
        for threads in settings.threads:
            of_these = [line for line in lines if (line.model, line.threads) == (model, threads)]
            screen.print(tables.speed_table(f"{title}, {_threads(threads)}", of_these))
        screen.print(
            tables.weight_table(
                f"{title}: file, loading, memory",
                [w for w in weighed if w.program.model == model],
                [w for w in weights if w.model == model],
            )
        )
    return {
        "goals": {
            "times_equal": comparison.MIN_TIMES_EQUAL,
            "times_real": comparison.MIN_TIMES_REAL,
            "size": comparison.MAX_SIZE,
            "memory": comparison.MAX_MEMORY,
        },
        "int8_ops_per_second": peaks,
        "speed": [asdict(line) for line in lines],
        "weight": [asdict(weight) for weight in weights],
    }


def real_windows(settings: Settings) -> tuple[list[tuple[int, ...]], Lengths]:
    """Token ids of windows as long as SQuAD's, cut at the longest length, and how long they are."""
    from pipeline.models import checkpoint
    from pipeline.recipe import Task
    from pipeline.speed import data

    longest = settings.lengths[0]
    task = Task(max_length=longest, stride=min(Task().stride, longest // 3))
    tokenizer = checkpoint.load_tokenizer(checkpoint.SHIPPED / "pocket-teacher")
    found = data.windows(settings.data, settings.windows, task, tokenizer)
    ids = [tuple(int(token) for token in window.ids) for window in found]
    source = (
        Path(settings.data).name
        if settings.data
        else "our own text, cut to the lengths of SQuAD v1.1's training windows"
    )
    return ids, data.Lengths.of(source, [len(window) for window in ids])


def buckets_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Our lengths: recipe pocket's up to the longest, and those of the equal cases."""
    from pipeline import recipe

    named = recipe.load("pocket").export.lengths
    return tuple(sorted({*lengths, *(length for length in named if length < max(lengths))}))


def packages(of: Sequence[str]) -> list[str]:
    """Those whose versions belong to the figures."""
    from pipeline.speed.defaults import TOOLS

    return ["torch", "transformers", "numpy", *(name for runtime in of for name in TOOLS[runtime].packages)]


def settings_of(given: argparse.Namespace) -> Settings:
    """The flags, checked. Raises UsageError for what cannot be measured."""
    from pipeline.speed.encoders import NAMES

    quick = given.quick
    models = _chosen("--models", given.models, NAMES) if given.models else ((QUICK,) if quick else MODELS)
    lengths = given.lengths or ((256, 64) if quick else (384, 128))
    for length in lengths:
        if not SHORTEST <= length <= 512:
            raise UsageError(f"--lengths must be from {SHORTEST} to 512 tokens, got {length}")
    threads = given.threads or ((1,) if quick else (1, 2))
    here = os.cpu_count() or 1
    for count in threads:
        if not 1 <= count <= here:
            raise UsageError(f"--threads must be from 1 to this machine's {here} CPUs, got {count}")
    chosen = _chosen("--targets", given.targets, runtimes.RUNTIMES)
    if not set(chosen) & set(runtimes.TARGETS):
        raise UsageError(f"--targets must name one of {', '.join(runtimes.TARGETS)}, whose defaults we have")
    if given.rounds is not None and given.rounds < 1:
        raise UsageError(f"--rounds must be at least 1, got {given.rounds}")
    rounds = given.rounds or (4 if quick else 20)
    return Settings(
        models=models,
        lengths=tuple(sorted(set(lengths), reverse=True)),
        threads=tuple(sorted(set(threads))),
        runtimes=chosen,
        warmup=2 if quick else 3,
        rounds=rounds,
        windows=3 * rounds,
        repeats=1 if quick else 3,
        data=given.data,
        store=given.store,
    )


def _chosen(flag: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise UsageError(f"{flag} must be of {', '.join(known)}, got {name!r}")
    return tuple(dict.fromkeys(names))


def _shown(program: Program) -> dict[str, Any]:
    """A program's record without the folders of this machine."""
    return {**program.model_dump(exclude={"path"}), "file": program.path.name}


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def _listed(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A comma list's type for argparse, which names the flag where an entry is none."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part.strip()) for part in text.split(","))

    parse.__name__ = f"comma list of {kind.__name__}"
    return parse


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.bench_export",
        description="Times our programs beside those of the tools' default flows on the same weights, paired.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    numbers, names = _listed(int), _listed(str)
    parser.add_argument("--models", type=names, help=f"of distilbert, pocket (default: {','.join(MODELS)})")
    parser.add_argument(
        "--targets",
        type=names,
        default=runtimes.RUNTIMES,
        help=f"runtimes (default: {','.join(runtimes.RUNTIMES)}, the last as a peer)",
    )
    parser.add_argument("--lengths", type=numbers, help="tokens of the equal cases (default: 384,128)")
    parser.add_argument("--threads", type=numbers, help="default: 1,2")
    parser.add_argument("--rounds", type=int, help="of an equal case; three times as many real windows (20)")
    parser.add_argument(
        "--data", metavar="PATH", help="a SQuAD file for real windows (default: our text, SQuAD's lengths)"
    )
    parser.add_argument("--quick", action="store_true", help="two tiny layers, few rounds: is all of it there?")
    parser.add_argument("--store", type=Path, default=Path("runs/store"), help="where programs are kept")
    parser.add_argument("--out", type=Path, default=RESULT, help=f"raw figures (default: {RESULT})")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
