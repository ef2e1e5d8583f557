"""The same in tables: which devices, every program's latencies, instructions by class, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_bench.measurement import Measured, Measurement, State, Wish
from device_bench.stats import Distribution, describe, median
from pipeline.report import device_plots, devices, figures
from pipeline.report.devices import Found, Named
from pipeline.report.figures import MISSING
from pipeline.report.summary import RunSummary

Cell = tuple[str, ...]
"""The figure, then what is written small below it."""
RANDOM = "random weights: size and latency only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under headings; the first cell names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


_LATENCY = ("Runs", "p50", "p90", "p99", "Spread")


def bench_latency(summary: RunSummary) -> Table | None:
    """Every program of the run's own bench."""
    rows = [
        (
            (device_plots.bench_label(summary, timing, name), f"{timing.runtime}, {timing.length} tokens"),
            *_distribution(describe(samples)),
        )
        for timing in summary.timings
        for name, samples in timing.samples_ns.items()
    ]
    return _table("Inference alone. Spread: coefficient of variation.", ("Program", *_LATENCY), rows)


def places(found: Found) -> Table | None:
    """Each measurement: device, what was asked of it, its state, and whether its figures may be used."""
    columns = ("Device", "Program", "Asked", "State", "Outcome")
    return _table("What was measured where.", columns, [_place(one) for one in found.measurements])


def _place(one: Named) -> tuple[Cell, ...]:
    of = one.measurement
    place, protocol, candidate = of.place, of.protocol, of.candidate
    asked: list[str] = [protocol.mode]
    if protocol.metric == "latency":
        asked.append("in turns" if protocol.interleaved else "one after the other: no ratios of times")
    outcome = ("valid",) if of.validity.valid else ("invalid", *of.validity.reasons)
    if of.validity.valid and place.emulated and protocol.metric == "latency":
        outcome = ("valid", "an emulated device: its times are no latencies and not shown")
    if of.validity.valid and place.trend_only:
        outcome = ("trend only", "a virtual phone on another processor")
    return (
        (
            devices.where(place),
            devices.kind(place),
            f"{place.processor}, {place.cores} core{'s' * (place.cores != 1)}",
            place.system,
        ),
        (f"{candidate.target}", devices.label(candidate), f"{candidate.runner}, {candidate.runtime}"),
        (protocol.metric, devices.conditions(of), ", ".join(asked)),
        _states(of.before, of.after),
        (*outcome, one.file),
    )


def _states(before: State, after: State) -> Cell:
    """What the device says of itself, before → after where that changed."""
    units = {"temperature_celsius": "{} °C", "battery_percent": "battery {} %", "load_average": "load {}"}
    said = []
    for name in State.model_fields:
        first, last = getattr(before, name), getattr(after, name)
        if first is None and last is None:
            continue
        form = units.get(name, f"{name.replace('_', ' ')} {{}}")
        shown = [_word(value) for value in (first, last) if value is not None]
        said.append(form.format(" → ".join(dict.fromkeys(shown))))
    return (said[0], *said[1:]) if said else ("not told",)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def latency(found: Found) -> Table | None:
    """Every program on every device: inference in steady state, and what comes before and around it."""
    columns = ("Program", *_LATENCY, "Load", "First", "Tokenizing, decoding", "Peak memory")
    rows = [_latency(of, program) for of in devices.timed(found) for program in devices.models(of)]
    return _table(
        "Inference alone, in steady state. Spread: coefficient of variation. Load, first inference, tokenizing "
        "and decoding: medians, not part of it.",
        columns,
        [row for row in rows if row],
    )


def _latency(of: Measurement, program: Measured) -> tuple[Cell, ...] | None:
    if not program.samples_ns:
        return None
    asked = [f"threads {_wish(program.threads)}", f"delegate {_wish(program.delegate)}"]
    if program.compute_unit:
        asked.append(f"compute unit {_wish(program.compute_unit)}")
    around = [_median_ms(taken) for taken in (program.tokenize_ns, program.decode_ns)]
    memory = program.peak_resident_bytes
    return (
        (devices.label(program), devices.heading(of), ", ".join(asked), *(RANDOM,) * program.random_weights),
        *_distribution(describe(program.samples_ns)),
        (_median_ms(program.load_ns),),
        (_median_ms(program.first_ns),),
        (", ".join(around) if set(around) != {MISSING} else MISSING,),
        (figures.megabytes(memory) if memory else MISSING,),
    )


def _wish(wish: Wish) -> str:
    """asked, and what was got where that differs or is not told"""
    if wish.got == wish.asked:
        return wish.asked
    return f"{wish.asked} asked, got {wish.got}" if wish.got else f"{wish.asked} asked, got not told"


def instructions(found: Found) -> Table | None:
    """Every program on every counted core, by class."""
    rows = []
    for of in devices.counted(found):
        fewer = devices.fewer(of)
        for place, program in enumerate(of.programs):
            if not program.instructions or program.role == "peak":
                continue
            counts = devices.per_inference(program.instructions.inferences)
            total = counts["total"] or 1.0
            likeness = program.likeness
            like = ""
            if likeness:
                alike = "equal" if likeness.sqnr_db is None else f"{likeness.sqnr_db:.0f} dB SQNR"
                like = f"logits against the host’s: {alike}"
            rows.append(
                (
                    tuple(
                        word
                        for word in (
                            devices.label(program),
                            devices.heading(of),
                            like,
                            RANDOM * program.random_weights,
                        )
                        if word
                    ),
                    (f"{counts['total']:,.0f}",),
                    (figures.times(fewer[place]) if place in fewer else MISSING,),
                    *(((f"{counts[name] / total * 100:.1f} %"),) for name in devices.CLASSES),
                    (f"{program.instructions.loading.total:,}",),
                )
            )
    columns = ("Program", "Instructions", "× candidate", *devices.CLASSES.values(), "Loading")
    caption = "Guest instructions of an inference after the first; loading: up to the end of the first."
    return _table(caption, columns, rows)


def footprint(summary: RunSummary, found: Found) -> Table | None:
    """Bytes of programs, bundles and runtimes, as this run made them and as devices found them."""
    rows: list[tuple[Cell, ...]] = []
    for row in (row for row in summary.rows if row.kind == "artifact"):
        name: Cell = (row.label, summary.recipe_name)
        rows.append((name, (figures.megabytes(row.size_bytes),), *((MISSING,),) * 3))
        for precision, size in sorted(
            device_plots.baseline_sizes(summary, found, row.label).items(), reverse=True
        ):
            name = (row.label, f"{summary.baseline} {precision}, {RANDOM}")
            rows.append((name, (figures.megabytes(size),), *((MISSING,),) * 3))
    for one in found.measurements:
        of = one.measurement
        if not of.validity.valid:
            continue
        taken = of.candidate.footprint
        sizes = (taken.bundle_bytes, taken.runtime_bytes, taken.on_device_bytes)
        rows.append(
            (
                (devices.label(of.candidate), devices.heading(of), of.candidate.runtime),
                (figures.megabytes(taken.program_bytes),),
                *((figures.megabytes(size) if size else MISSING,) for size in sizes),
            )
        )
    caption = "1 MB is 10⁶ bytes. On the device: what it says the files take there."
    return _table(caption, ("", "Program", "Bundle", "Runtime libraries", "On the device"), rows)


def _distribution(of: Distribution) -> tuple[Cell, ...]:
    spread = f"{of.coefficient_of_variation * 100:.1f} %"
    times = (of.median_ns, of.p90_ns, of.p99_ns)
    return ((f"{of.count:,}",), *((figures.milliseconds(ns / 1e6),) for ns in times), (spread,))


def _median_ms(samples_ns: Sequence[int]) -> str:
    return figures.milliseconds(median(samples_ns) / 1e6) if samples_ns else MISSING


def _table(caption: str, columns: tuple[str, ...], rows: Sequence[tuple[Cell, ...]]) -> Table | None:
    return Table(caption=caption, columns=columns, rows=tuple(rows)) if rows else None
