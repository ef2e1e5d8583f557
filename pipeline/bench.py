"""python -m pipeline.bench: what exporting costs, and how fast the programs are beside BERT-base.

Each export runs in a process of its own, one after the other. This process loads nothing heavy until they are
done: the system counts into a child's peak memory what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from device_bench import machine, process
from exporters import base as exporters
from pipeline import console
from pipeline import recipe as recipes
from pipeline.recipe import Bench, Recipe
from pipeline.report import figures
from pipeline.report.summary import Check, Latency
from pipeline.store import Store, provenance, tool_version
from pipeline.types import PipelineError

if TYPE_CHECKING:
    from pipeline.programs import Material
    from pipeline.runs import Run
    from pipeline.stages import Export

STUDENT = "student"
RESULT = Path("runs/bench/export.json")
MAX_SECONDS, MAX_BYTES, MIN_TIMES = 180.0, 4e9, 15.0
"""Goals: for all exports together; for the peak of each; against BERT-base in float32, see `judged`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One export: wall time of its process and of lowering alone, the process's peak resident memory."""

    target: str
    wall_seconds: float
    lowering_seconds: float
    peak_resident_bytes: int
    size_bytes: int
    sha256: str
    tools: Mapping[str, str]


def main() -> None:
    """Parses the flags, exports, times, prints both tables and writes the figures."""
    given = _flags().parse_args()
    recipe = recipes.load(given.recipe)
    if given.one:
        make_one(recipe, given.store, given.one)
        return
    for target in exporters.ALL:
        exporters.get(target)
    screen = Console(highlight=False, soft_wrap=True)
    screen.print(f"[bold]{recipe.name}[/]: the student, then each export in a process of its own")
    in_own_process(given.recipe, given.store, STUDENT)
    spent = {target: in_own_process(given.recipe, given.store, target) for target in exporters.ALL}
    costs = [cost_of(recipe, given.store, target, *of_process) for target, of_process in spent.items()]
    screen.print(cost_table(costs))
    benches = _timed(recipe, given.store, screen)
    latencies = {target: latency for target, (latency, _) in benches.items()}
    screen.print(latency_table(latencies, recipe.bench))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "recipe": recipe.model_dump(mode="json"),
        "goals": {"seconds": MAX_SECONDS, "peak_resident_bytes": MAX_BYTES, "times_faster_fp32": MIN_TIMES},
        "exports": [asdict(cost) for cost in costs],
        "latency": {target: record for target, (_, record) in benches.items()},
        "machine": {**machine.identity(), "load_average_after": machine.load_average()},
        "made": provenance(),
    }
    RESULT.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    screen.print(f"raw figures         {RESULT}")


def make_one(recipe: Recipe, root: Path, what: str) -> None:
    """In the child: the student through the store, or one target's export, made even where it is stored."""
    from pipeline.runs import Run

    screen = Console(highlight=False, soft_wrap=True)
    if what == STUDENT:
        make_student(Run(recipe, _store(recipe, root), screen, dry=False))
        return
    export = _export(recipe, root, what)
    with console.bar(screen, f"export {what}") as bar:
        _store(recipe, root, fresh=True).make(export, bar)


def in_own_process(recipe: str, root: Path, what: str) -> tuple[float, int]:
    """Runs `make_one` in a child; its wall time in seconds and its peak resident memory in bytes.

    A child that fails has said why: its exit code becomes ours.
    """
    flags = ("--recipe", recipe, "--store", str(root), "--one", what)
    spent = process.run([sys.executable, "-m", "pipeline.bench", *flags])
    if spent.exit_code < 0:
        raise PipelineError(f"{what}: its process was killed by signal {-spent.exit_code}; is memory short?")
    if spent.exit_code:
        sys.exit(spent.exit_code)
    return spent.wall_seconds, spent.peak_resident_bytes


def make_student(run: Run) -> Material:
    """The recipe's student, by the stages of pipeline.run, and what its programs are made from."""
    from pipeline import chain, programs, stages

    recipe, task, sets = run.recipe, run.recipe.task, chain.Sets.of(run.recipe)
    _, distilled = chain.distilled(run, sets)
    pruned = run(stages.Prune(distilled=distilled, questions=sets.calibration, task=task, options=recipe.prune))
    return programs.Material(
        pruned=pruned,
        quantized=run(stages.Quantize(pruned=pruned, options=recipe.quantize)),
        score=run(stages.Evaluate(model=pruned, questions=sets.held_out, task=task), "student"),
        held_out=sets.held_out,
        calibration=sets.calibration,
    )


def cost_of(recipe: Recipe, root: Path, target: str, wall_seconds: float, peak_resident_bytes: int) -> Cost:
    """What the child measured about itself, joined to what was measured about the child."""
    export = _export(recipe, root, target)
    made = _store(recipe, root).peek(export)
    assert made is not None, target
    return Cost(
        target=target,
        wall_seconds=wall_seconds,
        lowering_seconds=made.metrics["lowering_seconds"],
        peak_resident_bytes=peak_resident_bytes,
        size_bytes=int(made.metrics["size_bytes"]),
        sha256=made.sha256,
        tools={name: tool_version(name) for name in export.tools()},
    )


def cost_table(costs: Sequence[Cost]) -> Table:
    """A line for each export, and below them both goals."""
    seconds, peak = sum(c.wall_seconds for c in costs), max(c.peak_resident_bytes for c in costs)
    goals = (
        f"all exports: {seconds:.0f} s, goal ≤ {MAX_SECONDS:.0f} s: {_met(seconds, '≤', MAX_SECONDS)}",
        f"highest peak: {peak / 1e9:.2f} GB, goal ≤ {MAX_BYTES / 1e9:.0f} GB: {_met(peak, '≤', MAX_BYTES)}",
    )
    table = Table(caption="\n".join(goals), caption_justify="left", pad_edge=False)
    table.add_column("export")
    for heading in ("process", "lowering alone", "peak memory", "artifact"):
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(
            cost.target,
            f"{cost.wall_seconds:.1f} s",
            f"{cost.lowering_seconds:.1f} s",
            f"{cost.peak_resident_bytes / figures.MB:,.0f} MB",
            figures.megabytes(cost.size_bytes),
        )
    return table


def latency_table(latencies: Mapping[str, Latency | None], options: Bench) -> Table:
    """Median latency, times faster than the baseline with 95 % intervals, the goal; none where emulated."""
    table = Table(pad_edge=False, caption_justify="left")
    for heading in ("program", "median", "× float32", "× same prec.", f"≥ {MIN_TIMES:.0f}×"):
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for target, latency in latencies.items():
        if latency is None:
            table.add_row(target, *(figures.MISSING,) * 4)
            continue
        table.caption = f"Paired with {options.baseline} of random weights: {figures.conditions(latency)}."
        ratios = (latency.times_faster_fp32, latency.times_faster_same)
        shown = [f"{figures.times(r[0])} ({figures.interval(r)})" if r else figures.MISSING for r in ratios]
        table.add_row(target, figures.milliseconds(latency.median_ms), *shown, judged(latency, options))
    return table


def judged(latency: Latency, options: Bench) -> str:
    """met or missed; the goal is for BERT-base at 384 tokens on one thread and judges nothing else."""
    if (options.baseline, latency.length, latency.threads) != ("bert-base", 384, 1):
        return figures.MISSING
    return _met(latency.times_faster_fp32[0], "≥", MIN_TIMES)


def _met(value: float, relation: str, limit: float) -> str:
    return "met" if Check(name="goal", value=value, relation=relation, limit=limit).passed else "missed"


def _timed(recipe: Recipe, root: Path, screen: Console) -> dict[str, tuple[Latency | None, Any]]:
    """Each program's latency and bench.json, measured now; its baselines are reused once made."""
    from pipeline import programs
    from pipeline.runs import Run
    from pipeline.stages import bench

    run, now = (Run(recipe, _store(recipe, root, fresh=fresh), screen, dry=False) for fresh in (False, True))
    material = make_student(Run(recipe, _store(recipe, root), Console(quiet=True), dry=True))
    found: dict[str, tuple[Latency | None, Any]] = {}
    for target in exporters.ALL:
        exporter = exporters.get(target)
        program = run(programs.export(run, exporter, material), target)
        made = programs.timed(run, exporter, material, program, now)
        record = json.loads((made.path / bench.RESULT).read_text(encoding="utf-8"))
        found[target] = bench.latency_of(made.path, bench.CANDIDATE), record
    return found


def _store(recipe: Recipe, root: Path, *, fresh: bool = False) -> Store:
    from pipeline.shipped import Pretrained

    return Store(root, seed=recipe.seed, shipped=Pretrained(), fresh=fresh)


def _export(recipe: Recipe, root: Path, target: str) -> Export:
    """Stage export of the student that the first child left in the store."""
    from pipeline import programs
    from pipeline.runs import Run

    run = Run(recipe, _store(recipe, root), Console(quiet=True), dry=True)
    return programs.export(run, exporters.get(target), make_student(run))


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.bench",
        description="Exports a recipe's student for every target, measures the cost, and times the programs.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recipe", default="pocket", help="a shipped recipe's name or a TOML file (default: pocket)"
    )
    parser.add_argument(
        "--store", type=Path, default=Path("runs/store"), help="stage results (default: runs/store)"
    )
    parser.add_argument("--one", choices=(STUDENT, *exporters.ALL), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(console.run(main))
