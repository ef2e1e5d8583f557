"""The same request again: do counts repeat to the instruction, do the ratios' intervals overlap."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from device_bench.measurement import Instructions, Measurement, Role, speedups
from device_bench.stats import Ratio
from device_bench.validity import MAX_HALF_WIDTH

BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""
"""Work without end, which ends with whoever started it."""
Program = tuple[Role, str, str]
"""Role, name and precision."""


@contextmanager
def all_cores_busy() -> Iterator[None]:
    """As many processes as there are cores work while this lasts."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """One comparison over all repetitions, in words, and whether it holds."""

    what: str
    seen: tuple[str, ...]
    """One a repetition."""
    holds: bool
    verdict: str


def counts(repetitions: Sequence[Measurement]) -> tuple[Repeated, ...]:
    """Each program's instructions, class by class, inference by inference."""
    by_run = [_counts(measurement) for measurement in repetitions]
    found = []
    for program in by_run[0]:
        seen = [counted[program] for counted in by_run]
        equal = all(one == seen[0] for one in seen)
        totals = [sum(inference.total for inference in one) / len(one) for one in seen]
        widest = max(totals) / min(totals) - 1
        found.append(
            Repeated(
                what=" ".join(program[1:]),
                seen=tuple(f"{total:,.0f}" for total in totals),
                holds=equal,
                verdict="equal to the instruction" if equal else f"differ by {100 * widest:.4f} %",
            )
        )
    return tuple(found)


def ratios(repetitions: Sequence[Measurement]) -> tuple[Repeated, ...]:
    """Each baseline's time over the candidate's, with its interval: overlapping, and narrow enough."""
    by_run = [_ratios(measurement) for measurement in repetitions]
    most = MAX_HALF_WIDTH[repetitions[0].protocol.mode]
    found = []
    for program in by_run[0]:
        seen = [ratio[program] for ratio in by_run]
        overlap = max(one.low for one in seen) <= min(one.high for one in seen)
        width = max(one.half_width for one in seen)
        found.append(
            Repeated(
                what=" ".join(program[1:]),
                seen=tuple(f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in seen),
                holds=overlap and width <= most,
                verdict=f"intervals {'overlap' if overlap else 'do not overlap'}, ± {width:.1%} "
                f"({most:.0%} is the most)",
            )
        )
    return tuple(found)


def _counts(measurement: Measurement) -> Mapping[Program, tuple[Instructions, ...]]:
    return {
        (program.role, program.name, program.precision): program.instructions.inferences
        for program in measurement.programs
        if program.instructions
    }


def _ratios(measurement: Measurement) -> Mapping[Program, Ratio]:
    return {
        (program.role, program.name, program.precision): ratio
        for program, ratio in speedups(measurement.protocol, measurement.programs)
    }
