"""What the samples say: ours against a runtime's default, speed, size and memory, and which goals are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from device_bench.stats import CONFIDENCE, RESAMPLES, Ratio, median, paired_ratio
from pipeline.recipe import Record
from pipeline.report.summary import Check
from pipeline.speed.arithmetic import Shape, forward_flops
from pipeline.speed.inference import REAL, Case, Rates
from pipeline.speed.loading import Cost
from pipeline.speed.records import DEFAULT, OURS, Program

MIN_TIMES_EQUAL, MIN_TIMES_REAL = 1.15, 2.0
"""Goals: × the same runtime's default at equal length, and over windows of SQuAD's lengths."""
MAX_SIZE, MAX_MEMORY = 1.01, 1.0
"""Goals: file and resident memory, × the default's."""
PEER = f"onnxruntime {DEFAULT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One case of one runtime. Milliseconds are medians, over real lengths means; shares are of the peak."""

    model: str
    runtime: str
    threads: int
    case: str
    ours_ms: float
    default_ms: float
    times: tuple[float, float, float]
    """Ours against the default, with the ends of the 95 % interval."""
    times_peer: tuple[float, float, float] | None
    """Ours against ONNX Runtime."""
    ours_share: float
    default_share: float
    equal: bool
    """Whether all programs computed the same length."""
    goal: float | None
    verdict: str | None


class Weighed(Record):
    """One program's costs over repeated fresh processes."""

    program: Program
    costs: tuple[Cost, ...]

    def middle(self, name: str) -> float | None:
        """The median of a cost; None where the system does not tell it."""
        values = [getattr(cost, name) for cost in self.costs]
        return None if None in values else median(values)


def line_of(case: Case, shape: Shape, peak: float, *, judged: bool) -> Line:
    """The figures of a case. `peak`: int8 OP/s at as many threads; `judged`: whether goals are about it.

    FLOPs are of the matrix products over real tokens, whatever was padded, attention's float ones included.
    """
    ours, default = (case.samples_ns[f"{case.runtime} {maker}"] for maker in (OURS, DEFAULT))
    real = case.name == REAL
    compared, middle = (whole_ratio, np.mean) if real else (paired_ratio, median)
    work = float(np.mean([forward_flops(shape, length) for length in case.lengths]))
    times = compared(default, ours)
    equal = all(lengths == case.lengths for lengths in case.runs_at.values())
    goal = MIN_TIMES_REAL if real else MIN_TIMES_EQUAL
    applies = judged and (real or equal)
    return Line(
        model=case.model,
        runtime=case.runtime,
        threads=case.threads,
        case=case.name,
        ours_ms=float(middle(ours)) / 1e6,
        default_ms=float(middle(default)) / 1e6,
        times=times.as_tuple(),
        times_peer=compared(case.samples_ns[PEER], ours).as_tuple() if PEER in case.samples_ns else None,
        ours_share=work / (float(middle(ours)) / 1e9) / peak,
        default_share=work / (float(middle(default)) / 1e9) / peak,
        equal=equal,
        goal=goal if applies else None,
        verdict=met(times.value, "≥", goal) if applies else None,
    )


def whole_ratio(baseline_ns: Sequence[float], candidate_ns: Sequence[float]) -> Ratio:
    """How many times faster over a whole set: the ratio of total times, where windows differ in length.

    With a percentile bootstrap interval over windows (Efron 1979), drawn together so that pairs stay pairs.
    """
    pairs = np.array([baseline_ns, candidate_ns], np.float64)
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    totals = pairs[:, drawn].sum(axis=2)
    low, high = np.quantile(totals[0] / totals[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    whole = pairs.sum(axis=1)
    return Ratio(value=float(whole[0] / whole[1]), low=float(low), high=float(high))


def peaks(rates: Sequence[Rates]) -> dict[int, float]:
    """Threads → the highest int8 OP/s that any product reached."""
    found: dict[int, float] = {}
    for rate in rates:
        found[rate.threads] = max(found.get(rate.threads, 0.0), rate.linear, rate.torch)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Ours against the default in something that should not be more: bytes."""

    model: str
    runtime: str
    what: str
    ours: float
    default: float
    goal: float
    verdict: str | None

    @property
    def times(self) -> float:
        """× the default's."""
        return self.ours / self.default


WEIGHTS: Mapping[str, str] = {
    "fixed_bytes": "resident, fixed length",
    "real_bytes": "resident, SQuAD's lengths",
    "peak_bytes": "peak resident",
}


def weights_of(weighed: Sequence[Weighed], *, judged: bool) -> list[Weight]:
    """Size and memory of ours beside the default's of the longest length, for each model and runtime."""
    found = []
    by_name = {(one.program.model, one.program.label): one for one in weighed}
    for ours in (one for one in weighed if one.program.maker == OURS):
        model, runtime = ours.program.model, ours.program.runtime
        default = by_name[model, f"{runtime} {DEFAULT}"]
        values = {"file": (float(ours.program.size_bytes), float(default.program.size_bytes))}
        for name, what in WEIGHTS.items():
            pair = ours.middle(name), default.middle(name)
            if pair[0] is not None and pair[1] is not None:
                values[what] = pair[0], pair[1]
        for what, (mine, theirs) in values.items():
            goal = MAX_SIZE if what == "file" else MAX_MEMORY
            verdict = met(mine / theirs, "≤", goal) if judged and theirs > 0 else None
            found.append(
                Weight(
                    model=model,
                    runtime=runtime,
                    what=what,
                    ours=mine,
                    default=theirs,
                    goal=goal,
                    verdict=verdict,
                )
            )
    return found


def met(value: float, relation: str, limit: float) -> str:
    """met or missed."""
    return "met" if Check(name="goal", value=value, relation=relation, limit=limit).passed else "missed"
