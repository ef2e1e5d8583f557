"""Charts of what devices measured: ratios, instructions, share of the peak, footprint, latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from device_bench.measurement import Measurement, speedups
from pipeline.report import bars, devices, figures, strips
from pipeline.report.bars import Bar, Chart, Group
from pipeline.report.devices import Found
from pipeline.report.strips import Panel, Strip
from pipeline.report.summary import RunSummary, Timing

CLASS_STYLES = dict(zip(devices.CLASSES, ("dot", "fma", "memory", "branch", "other"), strict=True))
NEAREST = ("adb", "ios", "arm64-emulator", "browser", "macos", "ios-simulator", "host")
"""Whose runtime libraries are most like those that an app ships, in that order."""

BarsOf = Callable[[Measurement], Iterator[Bar]]


def bench_latency(summary: RunSummary) -> Markup | None:
    """Samples of the run's own bench."""
    return strips.latency("samples", [_bench_panel(summary, timing) for timing in summary.timings])


def bench_spread(summary: RunSummary) -> Markup | None:
    """The same around each program's median."""
    return strips.spread("spread", [_bench_panel(summary, timing) for timing in summary.timings])


def _bench_panel(summary: RunSummary, timing: Timing) -> Panel:
    threads = f"{timing.threads} thread{'s' * (timing.threads != 1)}"
    return Panel(
        heading=f"{timing.runtime} on {timing.processor} (host CPU): {timing.length} tokens, {threads}",
        strips=tuple(
            Strip(label=bench_label(summary, timing, name), style=_bench_style(timing, name), samples_ns=taken)
            for name, taken in timing.samples_ns.items()
        ),
    )


def bench_label(summary: RunSummary, timing: Timing, name: str) -> str:
    """What a report calls a program of the bench: teacher, pocket, BERT-base int8."""
    if name in timing.peers:
        return summary.recipe_name if name == "candidate" else name
    return f"{summary.baseline} {name.rpartition(' ')[2]}"


def _bench_style(timing: Timing, name: str) -> str:
    if name in timing.peers:
        return {"teacher": "teacher", "student": "student"}.get(name, "artifact")
    return "teacher pale" if name.endswith("float32") else "teacher"


def latency(found: Found) -> Markup | None:
    """Samples on each device."""
    return strips.latency("device-samples", _panels(found))


def spread(found: Found) -> Markup | None:
    """The same around each program's median."""
    return strips.spread("device-spread", _panels(found))


def _panels(found: Found) -> list[Panel]:
    return [
        Panel(
            heading=devices.heading(of),
            strips=tuple(
                Strip(label=devices.label(p), style=devices.style(p), samples_ns=p.samples_ns)
                for p in devices.models(of)
                if p.samples_ns
            ),
        )
        for of in devices.timed(found)
    ]


def faster(found: Found) -> Markup | None:
    """How many times faster than each baseline, with the interval, and how much less time."""

    def of_one(of: Measurement) -> Iterator[Bar]:
        for baseline, ratio in speedups(of.protocol, of.programs):
            pale = " pale" * (baseline.precision == of.candidate.precision)
            yield Bar(
                label=f"than {devices.label(baseline)}",
                segments=((ratio.value, f"artifact{pale}"),),
                figure=figures.times(ratio.value),
                remark=devices.ratio_words(ratio),
                interval=(ratio.low, ratio.high),
            )

    groups = _groups(devices.timed(found), of_one)
    return bars.both(
        Chart(name="ratio", title="Times faster", groups=groups, reference=(1.0, "1× = the baseline"))
    )


def instructions(found: Found) -> Markup | None:
    """Instructions of an inference, stacked by class."""

    def of_one(of: Measurement) -> Iterator[Bar]:
        fewer = devices.fewer(of)
        for place, program in enumerate(of.programs):
            if not program.instructions or program.role == "peak":
                continue
            counts = devices.per_inference(program.instructions.inferences)
            yield Bar(
                label=devices.label(program),
                segments=tuple((counts[name], CLASS_STYLES[name]) for name in devices.CLASSES),
                figure=devices.billions(counts["total"]),
                remark=f"{figures.times(fewer[place])} {of.candidate.name}’s" if place in fewer else "",
            )

    legend = tuple((CLASS_STYLES[name], words) for name, words in devices.CLASSES.items())
    groups = _groups(devices.counted(found), of_one)
    return bars.both(Chart(name="counts", title="Instructions per inference", groups=groups, legend=legend))


def roofline(found: Found) -> Markup | None:
    """Operations per second as a share of what the peak program reached in the same precision."""

    def of_one(of: Measurement) -> Iterator[Bar]:
        for share in devices.shares(of):
            yield Bar(
                label=devices.label(share.program),
                segments=((share.rate / share.peak, devices.style(share.program)),),
                figure=f"{share.rate / share.peak * 100:.0f} %",
                remark=f"{share.rate / 1e9:,.0f} of {share.peak / 1e9:,.0f} G/s",
            )

    groups = _groups(devices.timed(found), of_one)
    return bars.both(
        Chart(
            name="roofline",
            title="Share of the measured peak",
            groups=groups,
            reference=(1.0, "measured peak"),
        )
    )


def footprint(summary: RunSummary, found: Found) -> Markup | None:
    """Bytes of each target's program and of the baseline's, what its runtime adds, and the published size."""
    groups = []
    for row in (row for row in summary.rows if row.kind == "artifact"):
        runtime = runtime_of(found, row.label)
        programs = [_footprint_bar(summary.recipe_name, row.size_bytes, "artifact", runtime)]
        for precision, size in sorted(baseline_sizes(summary, found, row.label).items(), reverse=True):
            style = "teacher pale" if precision == "float32" else "teacher"
            programs.append(_footprint_bar(f"{summary.baseline} {precision}", size, style, runtime))
        groups.append(Group(heading=row.label, bars=tuple(programs)))
    paper = figures.PAPER_MEGABYTES
    return bars.both(
        Chart(
            name="footprint",
            title="Program and runtime, in bytes",
            groups=tuple(groups),
            reference=(paper, f"{paper:.0f} MB, published"),
            legend=(("artifact", "program"), ("teacher", "baseline"), ("runtime", "runtime libraries")),
        )
    )


def baseline_sizes(summary: RunSummary, found: Found, target: str) -> dict[str, int]:
    """Precision → bytes of the baseline's program: the run's own, else as a device found it."""
    measured: dict[str, int] = {
        program.precision: program.footprint.program_bytes
        for of in _valid(found)
        for program in of.programs
        if program.role == "baseline" and program.target == target
    }
    made = {one.precision: one.size_bytes for one in summary.baselines if one.target == target}
    return {**measured, **made}


def runtime_of(found: Found, target: str) -> Measurement | None:
    """The measurement whose runtime is most like an app's, of those that weighed its libraries.

    Python's is none of them: no app ships a wheel.
    """
    weighed = [
        of
        for of in _valid(found)
        if of.candidate.target == target
        and of.candidate.runner != "python"
        and of.candidate.footprint.runtime_bytes
    ]
    return min(weighed, key=lambda of: NEAREST.index(of.place.kind), default=None)


def _valid(found: Found) -> list[Measurement]:
    return [one.measurement for one in found.measurements if one.measurement.validity.valid]


def _footprint_bar(label: str, size_bytes: int, style: str, runtime: Measurement | None) -> Bar:
    beside = runtime.candidate.footprint.runtime_bytes if runtime else None
    segments = [(size_bytes / figures.MB, style)]
    if beside:
        segments.append((beside / figures.MB, "runtime"))
    return Bar(
        label=label,
        segments=tuple(segments),
        figure=figures.megabytes(size_bytes),
        remark=f"+ {figures.megabytes(beside)} runtime" if beside else "",
    )


def _groups(of: list[Measurement], bars_of: BarsOf) -> tuple[Group, ...]:
    """A group for each measurement that has bars."""
    made = ((one, tuple(bars_of(one))) for one in of)
    return tuple(Group(heading=devices.heading(one), bars=found) for one, found in made if found)
