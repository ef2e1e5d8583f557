"""When a measurement may not be used, and why. Every limit is a name here with its reason.

The limits are about the machine, not about the result: a measurement that misses one says nothing either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from device_bench import stats
from device_bench.agreement import unlike
from device_bench.measurement import Measured, Place, Protocol, State, Validity, Wish, speedups

NO_TIMES = "its processor is emulated: its times mean nothing"
MIN_WARMUP, MIN_RUNS, MIN_SECONDS = 5, 50, 10.0
"""The protocol's own floor: fewer samples have no 99th percentile, and a second is one phase of a clock's."""
MAX_COEFFICIENT_OF_VARIATION = 0.25
"""Of times at one length. A phone's benchmark was once found too noisy to gate on at 0.275."""
MAX_HALF_WIDTH = {"standard": 0.10, "long": 0.03}
"""Of the ratio's 95 % interval, as a share of the ratio: in the long mode the claim is ± 3 %."""
COOL = ("none", "nominal", "light", "fair")
"""Thermal states in which neither Android nor Apple slows a foreground app noticeably."""
MAX_CELSIUS: Mapping[str, float] = {"host": 95.0, "macos": 95.0, "adb": 45.0}
"""Processors of computers throttle at 95 to 105 °C; a phone whose battery or skin is at 45 °C does already."""
ANY = "all"
"""Asked for, leaves the choice to the runtime, which then cannot fall back."""
LOAD_SLACK = 0.5
"""Processes above one for each core, on the average of a minute, that count as nobody else's work."""
MAX_INSTRUCTIONS_APART = 1000
"""Between inferences of one length in one run: blocks of memory come back in another order, which was seen to
take 1 to 138 instructions. Another thread, or another kernel, takes far more."""
LOADED_KINDS = ("host", "macos")
"""Where a load average means work; Android counts threads that wait for its hardware as well."""


def judge(
    place: Place, protocol: Protocol, programs: Sequence[Measured], before: State, after: State
) -> Validity:
    """Whether the figures may be used; each reason is a sentence."""
    reasons = [reason for program in programs for reason in unlike(program)]
    if protocol.metric == "latency" and place.emulated:
        reasons.insert(0, NO_TIMES)
    else:
        reasons += [*_enough(protocol, programs), *_got(programs)]
        if protocol.metric == "instructions":
            reasons += _counts(protocol, programs)
        else:
            reasons += _spread(protocol, programs)
            reasons += [*_thermal(place, before, after), *_load(place, protocol, before, after)]
    return Validity(valid=not reasons, reasons=tuple(dict.fromkeys(reasons)))


def _name(program: Measured) -> str:
    return f"{program.name} {program.precision}"


def _enough(protocol: Protocol, programs: Sequence[Measured]) -> Iterator[str]:
    """Too few samples, or none that make pairs."""
    if protocol.metric == "instructions":
        yield from (f"{_name(program)} has no counts" for program in programs if program.instructions is None)
        return
    if protocol.warmup < MIN_WARMUP:
        yield f"{protocol.warmup} warm-up runs; {MIN_WARMUP} are the least"
    if protocol.seconds < MIN_SECONDS:
        yield f"asked for {protocol.seconds:g} s; {MIN_SECONDS:g} s are the least"
    least = max(protocol.runs, MIN_RUNS)
    for program in programs:
        if len(program.samples_ns) < least:
            yield f"{_name(program)} has {len(program.samples_ns)} samples; {least} are the least"
    lengths = {program.lengths for program in programs if program.role != "peak"}
    if len(lengths) > 1:
        yield "the programs did not run at equal lengths"


def _got(programs: Sequence[Measured]) -> Iterator[str]:
    """A fallback: something else than was asked for."""
    for program in programs:
        wishes: tuple[tuple[str, Wish | None], ...] = (
            ("delegate", program.delegate),
            ("compute unit", program.compute_unit),
        )
        for what, wish in wishes:
            if wish is None or wish.got is None or wish.asked.casefold() == ANY:
                continue
            if wish.got.casefold() != wish.asked.casefold():
                yield f"{_name(program)} ran on {wish.got} where the {what} asked for was {wish.asked}"
        threads = program.threads
        if threads.got is not None and threads.got != threads.asked:
            yield f"{_name(program)} ran with {threads.got} threads where {threads.asked} were asked for"


def _counts(protocol: Protocol, programs: Sequence[Measured]) -> Iterator[str]:
    """At one length every inference executes the same instructions, but for the allocator's."""
    if not protocol.queries.startswith("fixed:"):
        return
    for program in programs:
        counts = (
            {inference.total for inference in program.instructions.inferences} if program.instructions else ()
        )
        if counts and max(counts) - min(counts) > MAX_INSTRUCTIONS_APART:
            yield (f"{_name(program)} took {min(counts):,} to {max(counts):,} instructions at one length")


def _spread(protocol: Protocol, programs: Sequence[Measured]) -> Iterator[str]:
    """Noise. Where lengths vary on purpose, that is none: then each length is looked at by itself."""
    for program in programs:
        if len(program.samples_ns) < 2 or program.role == "peak":
            continue
        spread = within_lengths(program)
        if spread is not None and spread > MAX_COEFFICIENT_OF_VARIATION:
            yield (
                f"{_name(program)}: times of one length vary by {spread:.0%} (coefficient of variation; "
                f"{MAX_COEFFICIENT_OF_VARIATION:.0%} is the most)"
            )
    for program, ratio in speedups(protocol, programs):
        half_width, most = ratio.half_width, MAX_HALF_WIDTH[protocol.mode]
        if half_width > most:
            yield (
                f"the ratio to {_name(program)} is known to ± {half_width:.1%} only; {most:.0%} is the most "
                f"in {protocol.mode} mode"
            )


def within_lengths(program: Measured) -> float | None:
    """The coefficient of variation at one length, pooled over lengths; None where no length came twice.

    Pooled as the root of the mean square, weighted by degrees of freedom.
    """
    if len(program.lengths) != len(program.samples_ns):
        return stats.coefficient_of_variation(program.samples_ns)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for length, sample in zip(program.lengths, program.samples_ns, strict=True):
        groups[length].append(sample)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return None
    freedom = sum(len(group) - 1 for group in repeated)
    squares = sum((len(group) - 1) * stats.coefficient_of_variation(group) ** 2 for group in repeated)
    return float((squares / freedom) ** 0.5)


def _thermal(place: Place, before: State, after: State) -> Iterator[str]:
    most = MAX_CELSIUS.get(place.kind)
    for when, state in (("before", before), ("after", after)):
        if state.thermal is not None and state.thermal.casefold() not in COOL:
            yield f"the device's thermal state was {state.thermal} {when} the measurement"
        if most is not None and state.temperature_celsius is not None and state.temperature_celsius > most:
            yield f"{state.temperature_celsius:.0f} °C {when} the measurement; {most:.0f} °C is the most"


def _load(place: Place, protocol: Protocol, before: State, after: State) -> Iterator[str]:
    """Others' work on the cores that the measurement needs. Afterwards its own is part of the average."""
    if place.kind not in LOADED_KINDS:
        return
    limits = (("before", before, place.cores - protocol.threads), ("after", after, place.cores))
    for when, state, room in limits:
        if state.load_average is not None and state.load_average > room + LOAD_SLACK:
            yield (
                f"the machine was busy: load average {state.load_average:.1f} {when} the measurement on "
                f"{place.cores} cores, {protocol.threads} of them in use; {room + LOAD_SLACK:.1f} is the most"
            )
