"""How measurements are printed: the one place where nanoseconds, bytes and ratios become words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from device_bench import stats
from device_bench.measurement import Instructions, Measured, Measurement, speedups
from device_bench.stats import Ratio

RANDOM = "random weights: size and latency only"
CLASSES = ("dot_product", "fma", "load_store", "branch", "other")


def milliseconds(nanoseconds: float) -> str:
    """Three significant digits or more: 0.412, 5.61, 61.4, 1,204."""
    value = nanoseconds / 1e6
    return f"{value:,.{3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0}f}"


def megabytes(size: int | None) -> str:
    """1 MB = 10⁶ bytes."""
    return "–" if size is None else f"{size / 1e6:,.1f}"


def millions(count: float) -> str:
    """Instructions, in millions."""
    return f"{count / 1e6:,.{2 if count < 1e8 else 1}f}"


def times(value: float) -> str:
    """How many times, three digits: 1.71, 26.1, 104."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def faster(ratio: Ratio) -> str:
    """26.1 × (25.6 to 26.4)"""
    return f"{times(ratio.value)} × ({times(ratio.low)} to {times(ratio.high)})"


def less_time(ratio: Ratio) -> str:
    """The same as a share of the baseline's time that is saved: 96.2 % (96.1 to 96.2)"""
    saved, low, high = (100 * (1 - 1 / value) for value in ratio.as_tuple())
    return f"{saved:.1f} % ({low:.1f} to {high:.1f})"


def label(program: Measured) -> str:
    """bert-base float32 *"""
    mark = " *" if program.random_weights else ""
    peak = " (peak)" if program.role == "peak" else ""
    return f"{program.name} {program.precision}{peak}{mark}"


def table(title: str | None, *columns: str) -> Table:
    """An empty table: the first column in words, the others figures."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    return made


def show(measurement: Measurement, screen: Console) -> None:
    """Everything a person wants to know of a measurement. Emulated milliseconds are left out."""
    place, protocol, candidate = measurement.place, measurement.protocol, measurement.candidate
    kind = "emulated" if place.emulated else "trend only" if place.trend_only else place.kind
    where = f"{place.name.removesuffix(f' ({kind})')} ({kind})"
    screen.print(f"\n{candidate.name} {candidate.precision} for {candidate.target} on {where}")
    screen.print(
        f"{place.processor}, {place.cores} cores, {place.system}; {candidate.runtime}, {candidate.runner} "
        f"runner, {protocol.threads} thread{'s' * (protocol.threads > 1)}, batch 1, queries {protocol.queries}"
    )
    if protocol.metric == "instructions":
        screen.print(instructions_table(measurement.programs))
        _show_instruction_ratios(measurement, screen)
    elif not place.emulated:
        screen.print(latency_table(measurement.programs))
        _show_ratios(measurement, screen)
        _show_texts(candidate, screen)
    screen.print(footprint_table(measurement.programs))
    if any(program.random_weights for program in measurement.programs):
        screen.print(f"* {RANDOM}")
    if measurement.validity.valid:
        screen.print("valid")
    for reason in measurement.validity.reasons:
        screen.print(f"not valid: {reason}", style="yellow", markup=False)


def latency_table(programs: Sequence[Measured]) -> Table:
    """Steady state, loading and first inference of each program, in milliseconds."""
    made = table(
        None, "milliseconds", "p50", "its 95 % interval", "p90", "p99", "CV", "load", "first", "samples"
    )
    for program in programs:
        if not program.samples_ns:
            continue
        of = stats.describe(program.samples_ns)
        low, high = stats.median_interval(program.samples_ns)
        made.add_row(
            label(program),
            milliseconds(of.median_ns),
            f"{milliseconds(low)} to {milliseconds(high)}",
            milliseconds(of.p90_ns),
            milliseconds(of.p99_ns),
            f"{of.coefficient_of_variation:.1%}",
            milliseconds(stats.median(program.load_ns)) if program.load_ns else "–",
            milliseconds(stats.median(program.first_ns)) if program.first_ns else "–",
            f"{of.count:,}",
        )
    return made


def footprint_table(programs: Sequence[Measured]) -> Table:
    """Sizes of each program, in MB."""
    made = table(None, "MB", "program", "bundle", "on device", "runtime libraries", "peak memory")
    for program in programs:
        size = program.footprint
        made.add_row(
            label(program),
            megabytes(size.program_bytes),
            megabytes(size.bundle_bytes),
            megabytes(size.on_device_bytes),
            megabytes(size.runtime_bytes),
            megabytes(program.peak_resident_bytes),
        )
    return made


def instructions_table(programs: Sequence[Measured]) -> Table:
    """Instructions of one inference by class, mean over the windows, and of getting there; in millions."""
    names = [name.replace("_", " ") for name in CLASSES]
    made = table(None, "million instructions", "an inference", *names, "loading")
    for program in programs:
        if program.instructions is None:
            continue
        counted = program.instructions
        by_class = [mean(counted.inferences, name) for name in ("total", *CLASSES)]
        made.add_row(label(program), *map(millions, by_class), millions(counted.loading.total))
    return made


def mean(counts: Sequence[Instructions], name: str) -> float:
    """Of one class over inferences."""
    return sum(float(getattr(count, name)) for count in counts) / len(counts)


def _show_ratios(measurement: Measurement, screen: Console) -> None:
    made = table(None, "against", "times faster", "less time")
    for program, ratio in speedups(measurement.protocol, measurement.programs):
        made.add_row(label(program), faster(ratio), less_time(ratio))
    if made.row_count:
        screen.print(made)


def _show_instruction_ratios(measurement: Measurement, screen: Console) -> None:
    made, candidate = table(None, "against", "times fewer instructions"), measurement.candidate.instructions
    for program in measurement.programs:
        if program.role == "baseline" and program.instructions and candidate:
            theirs, ours = (mean(one.inferences, "total") for one in (program.instructions, candidate))
            made.add_row(label(program), f"{times(theirs / ours)} ×")
    if made.row_count:
        screen.print(made)


def _show_texts(candidate: Measured, screen: Console) -> None:
    parts = [
        f"{what} {milliseconds(stats.median(taken))} ms"
        for what, taken in (("tokenizing", candidate.tokenize_ns), ("decoding", candidate.decode_ns))
        if taken
    ]
    if parts:
        screen.print(f"apart from inference, a question in Python: {', '.join(parts)} (p50)")
