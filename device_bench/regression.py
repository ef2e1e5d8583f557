"""Whether a candidate got worse from one measurement to another: each kind of figure by a rule of its own.

Counts of the same program by the same tools are equal or something is broken. Other counts and bytes are held
against a limit. Times are noisy: they fail only where the whole interval of the change lies beyond the limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from device_bench.measurement import Instructions, Measured, Measurement, Precision
from device_bench.stats import CONFIDENCE, RESAMPLES, Ratio, median
from pipeline.types import UsageError

Exact = Literal["same-program", "same-tools", "always", "never"]
"""When counts have to be equal: where program, runtime and emulator are the same; where the last two are,
whatever the program, which says at which commit it was made; always; never."""

CLASSES = {
    "total": "instructions",
    "dot_product": "  dot product",
    "fma": "  FMA",
    "load_store": "  load, store",
    "branch": "  branch",
    "other": "  other",
}
"""Fields of Instructions, as tables call them."""

PROGRAM = "program"

_AT_ONCE = 1 << 22
"""Resampled values held in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest changes for the worse, as shares: 0.005 is half a percent."""

    regression: float
    """Of instructions, times and program bytes."""
    memory: float
    """Of peak resident memory, which follows the allocator's mood and pages of other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure, then and now. `change` is a share, above 0 for the worse; `ends` are its interval's."""

    name: str
    base: str
    new: str
    change: float | None = None
    ends: tuple[float, float] | None = None
    limit: float | None = None
    """None: shown, not judged."""
    exact: bool = False
    """Has to be equal, whatever the limit."""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All figures of a candidate, and by which rules they were judged."""

    title: str
    lines: tuple[Line, ...]
    rules: tuple[str, ...]

    @property
    def failed(self) -> tuple[Line, ...]:
        """What got worse by more than it may."""
        return tuple(line for line in self.lines if line.failed)


def compare(base: Measurement, new: Measurement, limits: Limits, exact: Exact = "same-program") -> Comparison:
    """Holds `new` against `base`.

    `exact` says when counts have to be equal. Raises UsageError where one of the two is invalid, or they were
    not measured alike.
    """
    for word, of in (("base", base), ("new", new)):
        if sum(program.role == "candidate" for program in of.programs) != 1:
            raise UsageError(f"the {word} measurement has no candidate, or several; it has to be about one")
        if not of.validity.valid:
            why = "; ".join(of.validity.reasons) or "it does not say why"
            raise UsageError(f"the {word} measurement is invalid and compares with nothing: {why}")
    _check_alike(base, new)
    if base.protocol.metric == "instructions":
        parts = [_instructions(base, new, limits, exact)]
    elif base.place.emulated:
        parts = [_Part((), "times: neither judged nor shown, as the device is emulated")]
    else:
        parts = [_latency(base, new, limits)]
    parts += _footprint(base.candidate, new.candidate, limits)
    candidate = new.candidate
    place = f"{new.place.name}, {new.place.cpu}" if new.place.cpu else new.place.name
    title = f"{candidate.name} {candidate.precision}, {candidate.target}, on {place}, {new.protocol.queries}"
    return Comparison(
        title=title,
        lines=tuple(line for part in parts for line in part.lines),
        rules=tuple(part.rule for part in parts),
    )


def _check_alike(base: Measurement, new: Measurement) -> None:
    """Raises UsageError for the first thing that makes the two incomparable."""
    one, two = base.candidate, new.candidate
    shared = min(len(one.lengths), len(two.lengths))
    facts = {
        "metric": (base.protocol.metric, new.protocol.metric),
        "device": tuple(f"{m.place.kind} {m.place.name} ({m.place.processor})" for m in (base, new)),
        "core": tuple(m.place.cpu or f"{m.place.cores} of the device" for m in (base, new)),
        "cores held to": tuple(str(list(m.before.pinned_to or ())) for m in (base, new)),
        "target": (one.target, two.target),
        "runner": (one.runner, two.runner),
        "queries": (base.protocol.queries, new.protocol.queries),
        "lengths": (_shown(one.lengths[:shared]), _shown(two.lengths[:shared])),
        "threads": tuple(f"{m.candidate.threads.got or m.protocol.threads}" for m in (base, new)),
    }
    for name, (then, now) in facts.items():
        if then != now:
            raise UsageError(
                f"the measurements differ in {name}: {then}, then {now}; only like is compared with like"
            )


def _shown(lengths: Sequence[int]) -> str:
    """Lengths in the order of the runs, or the only one."""
    return ", ".join(map(str, lengths if len(set(lengths)) > 1 else lengths[:1]))


@dataclass(frozen=True, slots=True)
class _Part:
    """Lines, and the rule that they were judged by."""

    lines: tuple[Line, ...]
    rule: str


def _instructions(base: Measurement, new: Measurement, limits: Limits, exact: Exact) -> _Part:
    then, now = _inferences(base), _inferences(new)
    shared = min(len(then), len(now))  # run i asks the same window in both
    changed = _changed_tools(base, new)
    is_exact = {
        "same-program": not changed,
        "same-tools": not [what for what in changed if what != PROGRAM],
        "always": True,
        "never": False,
    }[exact]
    lines = []
    for field, name in CLASSES.items():
        before, after = ([int(getattr(one, field)) for one in counts[:shared]] for counts in (then, now))
        first, second = statistics.median(before), statistics.median(after)
        is_judged = is_exact or field == "total"
        is_more = second - first > first * limits.regression
        lines.append(
            Line(
                name=name,
                base=f"{first:,.0f}",
                new=f"{second:,.0f}",
                change=second / first - 1 if first else None,
                limit=limits.regression if is_judged else None,
                exact=is_exact,
                failed=is_judged and (before != after if is_exact else is_more),
            )
        )
    rule = "each inference and class has to be equal" if is_exact else _at_most(limits.regression)
    asked = "as asked" if exact in ("always", "never") else ""
    because = (
        f"the {' and the '.join(changed)} changed" if changed else "program, runtime and emulator are the same"
    )
    reasons = ", ".join(filter(None, (f"median of {shared}", asked, because)))
    return _Part(tuple(lines), f"instructions of an inference: {rule} ({reasons})")


def _latency(base: Measurement, new: Measurement, limits: Limits) -> _Part:
    then, now = base.candidate.samples_ns, new.candidate.samples_ns
    if not then or not now:
        raise UsageError("one of the measurements has no samples of its candidate's latency")
    limit = limits.regression
    rule = f"fails where the whole interval of the change is above {percent(limit)}"
    medians = Line(name="latency p50", base=f"{median(then) / 1e6:.3f} ms", new=f"{median(now) / 1e6:.3f} ms")
    peers = _peers(base, new)
    if peers is None:
        slower = _median_ratio(then, now)
        line = replace(medians, **_slower(slower, limit))
        return _Part((line,), f"latency: {rule}, by medians, as there is no paired baseline in both")
    first, second = (
        of.faster_than(peer) for peer, of in zip(peers, (base.candidate, new.candidate), strict=True)
    )
    slower = Ratio(value=first.value / second.value, low=first.low / second.high, high=first.high / second.low)
    before, after = (f"{ratio.value:.3f}× ({ratio.low:.3f}–{ratio.high:.3f})" for ratio in (first, second))
    name = f"{peers[0].name} {peers[0].precision}"
    line = Line(name=f"faster than {name}", base=before, new=after, **_slower(slower, limit))
    note = "" if peers[0].program_sha256 == peers[1].program_sha256 else ", whose program changed"
    return _Part((medians, line), f"latency: {rule}, by pairs with {name}{note}")


def _slower(ratio: Ratio, limit: float) -> dict[str, Any]:
    """The fields of a line about how many times slower something is."""
    return {
        "change": ratio.value - 1,
        "ends": (ratio.low - 1, ratio.high - 1),
        "limit": limit,
        "failed": ratio.low - 1 > limit,
    }


def _footprint(base: Measured, new: Measured, limits: Limits) -> list[_Part]:
    sizes = {"program bytes": (base.footprint.program_bytes, new.footprint.program_bytes, limits.regression)}
    if base.peak_resident_bytes and new.peak_resident_bytes:
        sizes["peak memory, bytes"] = (base.peak_resident_bytes, new.peak_resident_bytes, limits.memory)
    parts = []
    for name, (then, now, limit) in sizes.items():
        line = Line(
            name=name,
            base=f"{then:,}",
            new=f"{now:,}",
            change=now / then - 1 if then else None,
            limit=limit,
            failed=now - then > then * limit,
        )
        parts.append(_Part((line,), f"{name}: {_at_most(limit)}"))
    return parts


def _at_most(limit: float) -> str:
    return f"at most {percent(limit)} more"


def _inferences(of: Measurement) -> tuple[Instructions, ...]:
    if of.candidate.instructions is None:
        raise UsageError("one of the measurements says that it counted instructions, and has none")
    return of.candidate.instructions.inferences


def _changed_tools(base: Measurement, new: Measurement) -> list[str]:
    """Which of those that determine a count are not the same."""
    one, two = base.candidate, new.candidate
    pairs = {
        PROGRAM: (one.program_sha256, two.program_sha256),
        "runtime": (one.runtime, two.runtime),
        "emulator": (base.place.system, new.place.system),
        "set of tools": (base.made.get("tools"), new.made.get("tools")),
    }
    return [name for name, (then, now) in pairs.items() if then != now]


def _peers(base: Measurement, new: Measurement) -> tuple[Measured, Measured] | None:
    """The baseline that both candidates were paired with, in their own precision if they can."""
    precisions: tuple[Precision, ...] = (new.candidate.precision, "float32", "int8")
    for precision in precisions:
        then, now = base.baseline(precision), new.baseline(precision)
        if then and now and then.name == now.name and _is_paired(base, then) and _is_paired(new, now):
            return then, now
    return None


def _is_paired(of: Measurement, baseline: Measured) -> bool:
    return of.protocol.interleaved and len(baseline.samples_ns) == len(of.candidate.samples_ns) > 0


def _median_ratio(base_ns: Sequence[int], new_ns: Sequence[int]) -> Ratio:
    """Median of new / median of base, with a percentile bootstrap interval of both, drawn apart."""
    random = np.random.default_rng(0)
    drawn = []
    for samples in (np.asarray(base_ns, np.float64), np.asarray(new_ns, np.float64)):
        medians: list[float] = []
        while len(medians) < RESAMPLES:
            draws = min(RESAMPLES - len(medians), max(1, _AT_ONCE // samples.size))
            places = random.integers(samples.size, size=(draws, samples.size))
            medians.extend(np.median(samples[places], axis=1))
        drawn.append(np.asarray(medians))
    low, high = np.quantile(drawn[1] / drawn[0], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Ratio(value=median(new_ns) / median(base_ns), low=float(low), high=float(high))


def percent(share: float) -> str:
    """0.5 %"""
    return f"{share * 100:.3g} %"
