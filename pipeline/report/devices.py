"""What device_bench measured of a run's bundles: which of it belongs to the run, and what may be shown of it.

Times of an emulated device and figures of an invalid measurement are not among it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device_bench import measurement as records
from device_bench.measurement import Instructions, Measured, Measurement, Place
from device_bench.stats import Ratio
from pipeline import bundles
from pipeline.report import figures
from pipeline.report.summary import RunSummary
from pipeline.types import UsageError

FOLDER = "measurements"
"""Where device_bench puts what it measured, in the run's folder."""
KINDS: Mapping[str, str] = {
    "host": "host CPU",
    "arm64-emulator": "emulated core",
    "adb": "phone",
    "ios": "phone",
    "ios-simulator": "simulator",
    "macos": "Mac",
    "browser": "browser",
}
CORES: Mapping[str, str] = {
    "cortex-a76": "Cortex-A76",
    "max,sve=off,sme=off": "i8mm core",
}
TITLES: Mapping[str, str] = {
    "bert-base": "BERT-base",
    "bert-tiny": "BERT-tiny (2 layers)",
    "linears": "a stack of large linears",
}
"""Baselines, by the name of their bundles, as a run's report calls them."""
CLASSES: Mapping[str, str] = {
    "dot_product": "dot product",
    "fma": "FMA",
    "load_store": "load, store",
    "branch": "branch",
    "other": "other",
}
"""Classes of instructions, in the order they are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A measurement and the name of its file."""

    file: str
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Measurements of a run's bundles; `notes` say in a sentence each what else lay there."""

    measurements: tuple[Named, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a program makes of the machine: operations per second, a multiply-add being two."""

    program: Measured
    rate: float
    peak: float
    """Of the peak program in the same precision."""


def found(summary: RunSummary, out: Path) -> Found:
    """What OUT/measurements holds, of each setting the last.

    Raises VerificationFailed or UsageError where one of the run's bundles is altered: no figure is its own.
    """
    files = sorted((out / FOLDER).glob("*.json"))
    folders = [out / folder for folder in summary.bundles.values()] if files else []
    seals = {bundles.read(folder).seal for folder in folders if folder.is_dir()}
    notes: list[str] = []
    foreign: list[str] = []
    kept: dict[object, Named] = {}
    for file in files:
        try:
            measurement = records.read(file)
        except UsageError as error:
            notes.append(f"Not shown: {str(error).replace(str(file), file.name)}.")
            continue
        candidates = [program for program in measurement.programs if program.role == "candidate"]
        if len(candidates) != 1:
            notes.append(f"Not shown: {file.name} has {len(candidates)} candidates instead of one.")
        elif candidates[0].bundle_seal not in seals:
            foreign.append(file.name)
        else:
            _keep(Named(file=file.name, measurement=measurement), kept, notes)
    if foreign:
        notes.append(f"Not shown, because it measures no bundle of this run: {', '.join(foreign)}.")
    return Found(measurements=tuple(kept.values()), notes=tuple(notes))


def _keep(new: Named, kept: dict[object, Named], notes: list[str]) -> None:
    """The later of two measurements in the same setting stays."""
    key = _setting(new.measurement)
    old = kept.get(key)
    if old:
        first, second = sorted((old, new), key=_when)
        notes.append(f"Not shown: {first.file}, which {second.file} repeats.")
        new = second
    kept[key] = new


def _when(one: Named) -> tuple[str, str]:
    return str(one.measurement.made.get("time", "")), one.file


def _setting(of: Measurement) -> tuple[object, ...]:
    protocol, candidate, place = of.protocol, of.candidate, of.place
    asked = (protocol.metric, protocol.mode, protocol.queries, protocol.threads)
    where = (place.kind, place.name, place.processor, place.cpu)
    return (*where, *asked, candidate.target, candidate.runner, candidate.bundle_seal)


def kind(place: Place) -> str:
    """What sort of machine it is: host CPU, emulated core, phone …"""
    name = KINDS[place.kind]
    emulated = place.emulated and not name.startswith("emulated")
    return f"{'emulated ' * emulated}{name}{', trend only' * place.trend_only}"


def where(place: Place) -> str:
    """The device by its name, and the core it stands for."""
    name = place.name.removesuffix(" (emulated)")
    return f"{name}, {CORES.get(place.cpu, place.cpu)}" if place.cpu else name


def conditions(of: Measurement) -> str:
    """128 tokens, 1 thread"""
    source, _, length = of.protocol.queries.partition(":")
    asked = f"{length} tokens" if length else "windows as long as SQuAD’s" if source == "squad" else source
    return f"{asked}, {of.protocol.threads} thread{'s' * (of.protocol.threads != 1)}"


def heading(of: Measurement) -> str:
    """What was measured where: tflite, Pixel 8 (phone), 128 tokens, 1 thread"""
    return f"{of.candidate.target} on {where(of.place)} ({kind(of.place)}): {conditions(of)}"


def label(program: Measured) -> str:
    """BERT-base int8"""
    return f"{TITLES.get(program.name, program.name)} {program.precision}"


def style(program: Measured) -> str:
    """Class of its bars: the candidate stands out, baselines in float32 are pale."""
    if program.role == "candidate":
        return "artifact"
    return "teacher pale" if program.precision == "float32" else "teacher"


def timed(found: Found) -> list[Measurement]:
    """Valid measurements whose times are latencies of something."""
    return [
        one.measurement
        for one in found.measurements
        if _usable(one.measurement, "latency") and not one.measurement.place.emulated
    ]


def counted(found: Found) -> list[Measurement]:
    """Valid measurements of instructions."""
    return [one.measurement for one in found.measurements if _usable(one.measurement, "instructions")]


def _usable(of: Measurement, metric: str) -> bool:
    return of.validity.valid and of.protocol.metric == metric


def models(of: Measurement) -> list[Measured]:
    """Candidate and baselines."""
    return [program for program in of.programs if program.role != "peak"]


def shares(of: Measurement) -> Iterator[Share]:
    """Every model beside the peak program of its precision; none where no peak was measured."""
    peaks = {program.precision: _rate(program) for program in of.programs if program.role == "peak"}
    for program in models(of):
        rate, peak = _rate(program), peaks.get(program.precision)
        if rate and peak:
            yield Share(program=program, rate=rate, peak=peak)


def _rate(program: Measured) -> float | None:
    """2 · multiply-adds / s: by the median run, or the mean one where windows differ in length."""
    if not program.multiply_adds or not program.samples_ns:
        return None
    middle = statistics.median if len(set(program.lengths)) <= 1 else statistics.fmean
    return 2 * program.multiply_adds / middle(program.samples_ns) * 1e9


def per_inference(inferences: Sequence[Instructions]) -> dict[str, float]:
    """Mean instructions of an inference by class, as CLASSES names them, and `total`."""
    return {name: statistics.fmean(getattr(one, name) for one in inferences) for name in (*CLASSES, "total")}


def fewer(of: Measurement) -> dict[int, float]:
    """Place of a baseline among the programs → how many times the candidate's instructions it takes."""
    mine = of.candidate.instructions
    if not mine:
        return {}
    total = per_inference(mine.inferences)["total"]
    return {
        place: per_inference(program.instructions.inferences)["total"] / total
        for place, program in enumerate(of.programs)
        if program.role == "baseline" and program.instructions and total
    }


def headline(found: Found) -> tuple[str, str, str] | None:
    """Fewer instructions than the first int8 baseline, where they were counted: heading, figure, remark."""
    for of in counted(found):
        for place, ratio in fewer(of).items():
            program = of.programs[place]
            if program.precision == of.candidate.precision:
                remark = f"than {label(program)}, {conditions(of)}, {kind(of.place)}"
                return "Instructions", f"{ratio:.1f}× fewer", remark
    return None


def billions(count: float) -> str:
    """Instructions: 1.26 G, 87.4 M"""
    unit, name = (1e9, "G") if count >= 1e9 else (1e6, "M")
    value = count / unit
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {name}"


def ratio_words(ratio: Ratio) -> str:
    """Interval, then the other convention with its own: 5.10–5.31; 81 % less time (80.4–81.2 %)"""
    ends = (1 - 1 / end for end in (ratio.low, ratio.high))
    less = "–".join(f"{end * 100:.1f}".replace("-", "−") for end in ends)
    return f"{figures.interval(ratio.as_tuple())}; {figures.less_time(ratio.value)} ({less} %)"
