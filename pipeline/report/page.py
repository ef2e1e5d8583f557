"""The report of a run: one HTML file that needs nothing else, from the summary alone."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.console import seconds
from pipeline.report import curves, devices, figures, matrix, measured, plots
from pipeline.report.summary import Row, RunSummary

REPORT = "report.html"
TEMPLATE = "page.html"
NOTHING = devices.Found()


@dataclass(frozen=True, slots=True)
class _Cell:
    """One cell of the result table: the figure, and what is written small below it."""

    main: str
    small: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One row of the result table; `marks` refer to the notes below it."""

    label: str
    kind: str
    marks: str
    cells: tuple[_Cell, ...]


COLUMNS = (
    "Size",
    "Parameters",
    "Median latency",
)
PEERS = ("float32", "same precision")
"""What follows them: how many times faster than the baseline in each."""


def render(summary: RunSummary, out: Path, found: devices.Found = NOTHING) -> Path:
    """Writes report.html into the folder `out` (the run's), with what devices measured; returns its path."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    notes = _notes(summary.rows)
    html = environment.get_template(TEMPLATE).render(
        summary=summary,
        facts=list(_facts(summary, found)),
        made_from=list(_made_from(summary)),
        columns=(
            *_measured(summary),
            summary.asked.capitalize(),
            *COLUMNS,
            *(f"× {summary.baseline}, {peer}" for peer in PEERS),
        ),
        lines=[_line(row, notes, tuple(summary.rows[0].scores)) for row in summary.rows],
        notes=[(mark, note) for note, mark in notes.items()],
        conditions=_conditions(summary.rows),
        published=figures.comparable(summary),
        size_plot=plots.size_against_score(summary),
        speed_plot=plots.times_faster(summary),
        curve_plot=curves.loss_curves(summary),
        stage_plot=plots.stage_times(summary),
        paper={
            "times": figures.times(figures.PAPER_TIMES_FASTER),
            "less": figures.less_time(figures.PAPER_TIMES_FASTER),
            "size": f"{figures.PAPER_MEGABYTES:.0f} MB",
        },
        measured=figures.joined(_measured(summary)),
        primary=figures.metrics([summary.primary])[0],
        verdicts=[
            (verdict, [(*figures.check(c), c.passed, c.on) for c in verdict.checks])
            for verdict in summary.verdicts
        ],
        stages=[
            (stage.name, stage, seconds(stage.seconds), seconds(stage.made_in_seconds))
            for stage in summary.stages
        ],
        agreement=matrix.matrix(summary.agreement) if summary.agreement else None,
        same=summary.agreement.same if summary.agreement else "",
        number=figures.number,
        devices=measured.view(summary, found),
        provenance=list(_flat(summary.provenance)),
    )
    path = out / REPORT
    path.write_text(html, encoding="utf-8")
    return path


def _measured(summary: RunSummary) -> list[str]:
    """Headings of the rows' metrics."""
    return figures.metrics(summary.rows[0].scores) if summary.rows else []


def _facts(summary: RunSummary, found: devices.Found) -> Iterator[tuple[str, str, str]]:
    """Heading, figure and remark of what matters most."""
    made = [row for row in summary.rows if row.kind == "artifact" and row.scores]
    teacher = next((row for row in summary.rows if row.kind == "teacher"), None)
    if made:
        title, primary = figures.metrics([summary.primary])[0], summary.primary
        rest = f"teacher {teacher.scores[primary]:.1f}" if teacher else ""
        yield f"{title} of the artifacts", _span([row.scores[primary] for row in made], "{:.1f}"), rest
        sizes = [row.size_bytes for row in made]
        shrunk = f"{teacher.size_bytes / max(sizes):.1f}×" if teacher else ""
        text = figures.megabytes(max(sizes))
        low = figures.megabytes(min(sizes)).removesuffix(" MB")
        yield (
            "Size on disk",
            text if f"{low} MB" == text else f"{low}–{text}",
            f"{shrunk} smaller than the teacher in float32" if teacher else "",
        )
    timed = [row.latency for row in made if row.latency]
    if timed:
        ratios = [latency.times_faster_fp32[0] for latency in timed]
        against = f"against {summary.baseline} float32, same runtime"
        yield "Speed on this machine", f"{_span(ratios, '{:.1f}')}×", against
    if counted := devices.headline(found):
        yield counted
    if summary.verdicts:
        outcomes = [verdict.outcome for verdict in summary.verdicts]
        not_run = outcomes.count("not run")
        rest = f"; {not_run} not run here" if not_run else ""
        judged = f"{outcomes.count('passed')} of {len(outcomes) - not_run}"
        yield "Verified", judged, f"artifacts within tolerance{rest}"


def _span(values: Sequence[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low}–{high}"


def _made_from(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """What the resolved recipe says went into the run."""
    recipe = tomllib.loads(summary.recipe_toml)

    def at(*keys: str) -> Any:
        value: Any = recipe
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    layers = at("student", "layers")
    which = f"layers {', '.join(map(str, layers))}" if isinstance(layers, list) else f"{layers} layers"
    kept = [
        f"{share * 100:.0f} % of the {what}"
        for what, share in (("heads", at("prune", "keep_heads")), ("neurons", at("prune", "keep_neurons")))
        if share is not None and share < 1
    ]
    described = {
        "Teacher": at("teacher", "source"),
        "Trained on": at("data", "train", "source"),
        "Student": at("student", "source") or (layers and f"{which} of the teacher"),
        "First distilled on": at("pretrain", "corpus", "source"),
        "Pruned to": " and ".join(kept),
        "Linears in": at("quantize", "linears"),
        "Embeddings in": at("quantize", "embeddings"),
        "Evaluated on": summary.eval_source,
    }
    yield from ((name, str(value)) for name, value in described.items() if value)


def _notes(rows: Sequence[Row]) -> dict[str, str]:
    """Each different note once → its mark: a, b, c …"""
    different = dict.fromkeys(row.note for row in rows if row.note)
    return {note: chr(ord("a") + place) for place, note in enumerate(different)}


def _line(row: Row, notes: Mapping[str, str], names: Sequence[str]) -> _Line:
    latency = row.latency
    speed = [_Cell("not measured"), _Cell(figures.MISSING), _Cell(figures.MISSING)]
    if latency:
        speed = [_Cell(figures.milliseconds(latency.median_ms), (f"in {latency.runtime}",))]
        for ratio in (latency.times_faster_fp32, latency.times_faster_same):
            speed.append(
                _Cell(figures.times(ratio[0]), (figures.interval(ratio), figures.less_time(ratio[0])))
                if ratio
                else _Cell(figures.MISSING, ("is float32",))
            )
    return _Line(
        label=row.label,
        kind=row.kind,
        marks=notes.get(row.note, ""),
        cells=(
            *(_Cell(figures.percent_points(row.scores.get(name))) for name in names),
            _Cell(f"{row.questions:,}" if row.scores else "not run"),
            _Cell(figures.megabytes(row.size_bytes), () if row.kind == "artifact" else ("in float32",)),
            _Cell(figures.millions(row.parameters)),
            *speed,
        ),
    )


def _conditions(rows: Sequence[Row]) -> str:
    """Under which conditions the latencies were taken; several where the rows differ."""
    return " or ".join(dict.fromkeys(figures.conditions(row.latency) for row in rows if row.latency))


def _flat(provenance: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested entries on one level: git commit, machine system …"""
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        elif isinstance(value, bool):
            yield f"{prefix}{key}", "yes" if value else "no"
        else:
            yield f"{prefix}{key}", figures.MISSING if value is None else str(value)
