"""What the page's template shows of measurements: figures, tables and sentences, drawn once."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from device_bench.measurement import Measurement
from pipeline.report import device_plots, device_tables, devices, figures
from pipeline.report.device_tables import Table
from pipeline.report.devices import Found
from pipeline.report.summary import RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything devices.html reads; None where there is nothing to show."""

    baseline: str
    notes: tuple[str, ...]
    random: str
    """Programs with random weights, by their labels."""
    several_random: bool
    runtime: str
    """Whose libraries the footprint counts."""
    places: Table | None
    bench_plot: Markup | None
    bench_spread: Markup | None
    bench_table: Table | None
    ratio_plot: Markup | None
    latency_plot: Markup | None
    spread_plot: Markup | None
    latency_table: Table | None
    instructions_plot: Markup | None
    instructions_table: Table | None
    roofline_plot: Markup | None
    footprint_plot: Markup | None
    footprint_table: Table | None


def view(summary: RunSummary, found: Found) -> View:
    """The measurements of a run, drawn."""
    labels = dict.fromkeys(
        devices.label(program)
        for one in found.measurements
        for program in one.measurement.programs
        if program.random_weights and program.role == "baseline"
    )
    targets = (row.label for row in summary.rows if row.kind == "artifact")
    weighed = [one for target in targets if (one := device_plots.runtime_of(found, target))]
    return View(
        baseline=summary.baseline,
        notes=found.notes,
        random=figures.joined(list(labels)),
        several_random=len(labels) > 1,
        runtime=figures.joined(list(dict.fromkeys(map(_whose, weighed)))),
        places=device_tables.places(found),
        bench_plot=device_plots.bench_latency(summary),
        bench_spread=device_plots.bench_spread(summary),
        bench_table=device_tables.bench_latency(summary),
        ratio_plot=device_plots.faster(found),
        latency_plot=device_plots.latency(found),
        spread_plot=device_plots.spread(found),
        latency_table=device_tables.latency(found),
        instructions_plot=device_plots.instructions(found),
        instructions_table=device_tables.instructions(found),
        roofline_plot=device_plots.roofline(found),
        footprint_plot=device_plots.footprint(summary, found),
        footprint_table=device_tables.footprint(summary, found),
    )


def _whose(of: Measurement) -> str:
    return f"{of.candidate.runtime} ({of.candidate.runner}, {devices.kind(of.place)})"
