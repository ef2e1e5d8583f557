"""What there is to hold against the paper's claims: bundles, measurements of them, and a run's scores.

Only what is valid becomes a figure, and times only where the device's milliseconds are its own.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_bench import measurement, paper
from device_bench.measurement import Measured, Measurement, Place, speedups
from device_bench.stats import median
from pipeline import bundles
from pipeline.bundles import Bundle
from pipeline.store import MANIFEST
from pipeline.types import UsageError

MEASUREMENTS, SUMMARY = "measurements", "summary.json"
"""What lies in a run's folder beside its bundles."""
KINDS: Mapping[str, str] = {
    "host": "host CPU",
    "arm64-emulator": "core",
    "adb": "phone",
    "ios": "phone or tablet",
    "ios-simulator": "simulator",
    "macos": "Mac",
    "browser": "browser",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A bundle beside the paper's model. Shares from 0 to 1; None where nothing here says it."""

    name: str
    target: str
    precision: str | None
    parameters: int | None
    fewer_parameters: float | None
    """Than BERT-base as the paper counts it."""
    program_bytes: int
    times_smaller: float
    """Than the paper's 207 MB."""
    is_under_goal: bool
    metric: str | None
    score: float | None
    """Of the program itself, in percent, on `questions`."""
    questions: int | None
    teacher_score: float | None
    teacher_questions: int | None
    share_kept: float | None
    """Of the teacher's score: on the same questions, or else the program's share of the torch student's on its
    questions times the student's share of the teacher's on theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A candidate beside a baseline on one device: how many times faster, or with how many times fewer
    instructions."""

    metric: str
    program: str
    against: str | None
    """None where nothing was paired with it."""
    random_weights: bool
    """Of the baseline: its size, time and instructions count, its answers do not."""
    device: str
    kind: str
    conditions: str
    value: float
    """Median milliseconds, or median instructions of an inference."""
    ratio: float | None
    interval: tuple[float, float] | None
    """95 %, of times; counts have none."""
    less_percent: float | None
    """The other convention: of time, or of instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """A measurement that says of itself that it must not be used."""

    program: str
    device: str
    kind: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Gathered:
    """What the given paths hold."""

    bundles: dict[str, tuple[Bundle, Path | None]] = field(default_factory=dict)
    """Seal → bundle, and the run's folder that it lies in."""
    measurements: dict[Path, Measurement] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gather(paths: Iterable[Path]) -> Gathered:
    """Reads bundle folders, run folders, folders of measurements, measurement files.

    Raises UsageError for a path that is none of these, and what reading them raises.
    """
    found = Gathered()
    for path in paths:
        if path.is_file():
            _take(path, found, None)
        elif (path / MANIFEST).is_file():
            seal = _open(path, found)
            for file in sorted((path.resolve().parent / MEASUREMENTS).glob("*.json")):
                if _candidate(measurement.read(file), file).bundle_seal == seal:
                    _take(file, found, None)
        elif path.is_dir():
            _run(path, found)
        else:
            raise UsageError(f"{path} does not exist; give a bundle, a run's folder or a measurement.json")
    return found


def _run(folder: Path, found: Gathered) -> None:
    children = sorted(child for child in folder.iterdir() if (child / MANIFEST).is_file())
    seals = {_open(child, found) for child in children}
    inside = folder / MEASUREMENTS
    files = sorted((inside if inside.is_dir() or children else folder).glob("*.json"))
    if not children and not files:
        raise UsageError(f"{folder} holds neither a bundle nor a measurement")
    for file in files:
        _take(file, found, seals or None)


def _open(folder: Path, found: Gathered) -> str:
    bundle = bundles.read(folder)
    if bundle.random_weights:
        found.notes.append(f"{folder.name} has random weights: a baseline claims nothing of its own.")
    else:
        found.bundles[bundle.seal] = bundle, folder.resolve().parent
    return bundle.seal


def _take(file: Path, found: Gathered, seals: set[str] | None) -> None:
    """Keeps a measurement; of a run's folder only where it is of one of the run's bundles."""
    read = measurement.read(file)
    if seals is not None and _candidate(read, file).bundle_seal not in seals:
        found.notes.append(f"{file.name} measures no bundle of this run and is left out.")
        return
    _candidate(read, file)
    found.measurements[file.resolve()] = read


def _candidate(of: Measurement, file: Path) -> Measured:
    if sum(program.role == "candidate" for program in of.programs) != 1:
        raise UsageError(f"{file} has no candidate, or several; a measurement is about one")
    return of.candidate


def ours(found: Gathered) -> Iterator[Ours]:
    """Each bundle, by what its manifest and its run's summary say; of measured programs alone what they say."""
    for bundle, run in found.bundles.values():
        yield _of_bundle(bundle, _summary(run))
    measured = {one.candidate.bundle_seal: one for one in found.measurements.values() if one.validity.valid}
    for seal, one in measured.items():
        if seal not in found.bundles:
            yield _of_program(one.candidate)


def _of_bundle(bundle: Bundle, rows: _Rows) -> Ours:
    program, metrics = bundle.program, bundle.metrics
    files = program.rglob("*") if program.is_dir() else (program,)
    size = sum(file.stat().st_size for file in files if file.is_file())
    metric = rows.metric or next((name for name in ("f1", "accuracy") if name in metrics), None)
    parameters = rows.parameters if bundle.parameters is None else bundle.parameters
    known = _ours(bundle.name, bundle.target, bundle.precision, parameters, size)
    if metric is None or metric not in metrics or "questions" not in metrics:
        return known
    own = _Score(metrics[metric], int(metrics["questions"]))
    torch = metrics.get(f"student_{metric}")
    share = None
    if rows.teacher and rows.teacher.questions == own.questions:
        share = own.value / rows.teacher.value
    elif rows.teacher and rows.student and rows.student.questions == rows.teacher.questions and torch:
        share = own.value / torch * rows.student.value / rows.teacher.value
    return replace(
        known,
        metric=metric,
        score=own.value,
        questions=own.questions,
        teacher_score=rows.teacher.value if rows.teacher else None,
        teacher_questions=rows.teacher.questions if rows.teacher else None,
        share_kept=share,
    )


def _of_program(program: Measured) -> Ours:
    size = program.footprint.program_bytes
    return _ours(program.name, program.target, program.precision, program.parameters, size)


def _ours(name: str, target: str, precision: str | None, parameters: int | None, size: int) -> Ours:
    """What follows from size and shape; scores are not known."""
    return Ours(
        name=name,
        target=target,
        precision=precision,
        parameters=parameters,
        fewer_parameters=None if parameters is None else 1 - parameters / paper.BERT_PARAMETERS,
        program_bytes=size,
        times_smaller=paper.MEGABYTES * 1e6 / size,
        is_under_goal=size < paper.GOAL_MEGABYTES * 1e6,
        metric=None,
        score=None,
        questions=None,
        teacher_score=None,
        teacher_questions=None,
        share_kept=None,
    )


@dataclass(frozen=True, slots=True)
class _Score:
    """In percent, and on how many questions or texts."""

    value: float
    questions: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a run's summary says of its torch models, by its own metric."""

    metric: str | None = None
    teacher: _Score | None = None
    student: _Score | None = None
    """The one that programs were made from."""
    parameters: int | None = None
    """Of the student."""


def _summary(run: Path | None) -> _Rows:
    """Nothing where there is no summary. Raises UsageError for a damaged one."""
    path = run / SUMMARY if run else None
    if path is None or not path.is_file():
        return _Rows()
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        metric = str(summary["primary"])
        scores = {
            row["kind"]: _Score(float(row["scores"][metric]), int(row["questions"]))
            for row in summary["rows"]
            if metric in row["scores"]
        }
        counted = [int(row["parameters"]) for row in summary["rows"] if row["kind"] == "student"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is damaged; run the recipe again") from None
    return _Rows(metric, scores.get("teacher"), scores.get("student"), counted[-1] if counted else None)


def compared(found: Gathered) -> Iterator[Compared]:
    """Every candidate beside every baseline, on every device that measured it validly."""
    for one in found.measurements.values():
        if not one.validity.valid:
            continue
        if one.protocol.metric == "instructions":
            yield from _counted(one)
        elif not one.place.emulated:
            yield from _timed(one)


def _timed(of: Measurement) -> Iterator[Compared]:
    mine = of.candidate.samples_ns
    if not mine:
        return
    value = median(mine) / 1e6
    peers = list(speedups(of.protocol, of.programs))
    for peer, ratio in peers:
        yield _compared(of, value, peer, ratio.value, (ratio.low, ratio.high))
    if not peers:
        yield _compared(of, value, None, None, None)


def _counted(of: Measurement) -> Iterator[Compared]:
    if of.candidate.instructions is None:
        return
    mine = _instructions(of.candidate)
    peers = [program for program in of.programs if program.role == "baseline" and program.instructions]
    for peer in peers:
        yield _compared(of, mine, peer, _instructions(peer) / mine, None)
    if not peers:
        yield _compared(of, mine, None, None, None)


def _instructions(program: Measured) -> float:
    assert program.instructions is not None
    return float(statistics.median(one.total for one in program.instructions.inferences))


def _compared(
    of: Measurement,
    value: float,
    peer: Measured | None,
    ratio: float | None,
    interval: tuple[float, float] | None,
) -> Compared:
    return Compared(
        metric=of.protocol.metric,
        program=label(of.candidate),
        against=None if peer is None else f"{peer.name} {peer.precision}",
        random_weights=peer is not None and peer.random_weights,
        device=device(of.place),
        kind=kind(of.place),
        conditions=conditions(of),
        value=value,
        ratio=ratio,
        interval=interval,
        less_percent=None if ratio is None else paper.less_time(ratio),
    )


def invalid(found: Gathered) -> Iterator[Invalid]:
    """What was measured and must not be used."""
    for one in found.measurements.values():
        if not one.validity.valid:
            reasons = one.validity.reasons or ("it does not say why",)
            yield Invalid(
                program=label(one.candidate), device=device(one.place), kind=kind(one.place), reasons=reasons
            )


def untimed(found: Gathered) -> Sequence[str]:
    """A sentence for each measurement of time on a device whose time is not its own."""
    return [
        f"{label(one.candidate)} on {device(one.place)}: times are not shown, the device is emulated."
        for one in found.measurements.values()
        if one.validity.valid and one.protocol.metric == "latency" and one.place.emulated
    ]


def label(program: Measured) -> str:
    """pocket int8, tflite"""
    return f"{program.name} {program.precision}, {program.target}"


def device(place: Place) -> str:
    """Its name, and the core that an emulator stands for."""
    return f"{place.name}, {place.cpu}" if place.cpu else place.name


def kind(place: Place) -> str:
    """Which kind of device a figure is from."""
    name = KINDS[place.kind]
    if place.kind == "arm64-emulator":
        return f"emulated {name}: instructions only"
    if place.emulated:
        return f"emulated {name}: no times"
    return f"{name}, trend only" if place.trend_only else name


def conditions(of: Measurement) -> str:
    """128 tokens, 1 thread, LiteRT 2.3.0"""
    _, _, length = of.protocol.queries.partition(":")
    tokens = f"{length} tokens" if length else "windows as long as SQuAD's"
    threads = of.protocol.threads
    return f"{tokens}, {threads} thread{'s' * (threads != 1)}, {of.candidate.runtime} ({of.candidate.runner})"
