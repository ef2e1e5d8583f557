"""How several programs are timed so that they can be compared: warmed up, interleaved, one clock.

Round i runs every program once, in the same order: A B C A B C … A machine that throttles, or is lent to
somebody else for a while, then slows all of them, and ratios taken within a round stay true.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Samples = dict[str, tuple[int, ...]]
"""Program → nanoseconds, one for each round, in the order of the rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`warmup` rounds that are not kept (first calls pack weights and fill caches), then `runs` that are.

    With `seconds`, rounds go on until those, too, have passed since the warm-up.
    """

    warmup: int = 5
    runs: int = 20
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.runs < 1:
            raise ValueError(f"warmup must be ≥ 0 and runs ≥ 1, got {self.warmup} and {self.runs}")

    @property
    def mode(self) -> Literal["standard", "long"]:
        """Long where it asks for as much as LONG does."""
        return "long" if self.runs >= LONG.runs and self.seconds >= LONG.seconds else "standard"

    @property
    def rounds(self) -> int:
        """All rounds, warm-up included."""
        return self.warmup + self.runs


STANDARD = Plan(warmup=5, runs=50, seconds=10.0)
LONG = Plan(warmup=5, runs=1024, seconds=60.0)


def measure(
    programs: Mapping[str, Callable[[], object]],
    plan: Plan,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    step: Callable[[int], None] = lambda rounds: None,
) -> Samples:
    """Times programs that take no arguments and returns every raw sample.

    Only the call lies between two readings of `clock` (nanoseconds, monotonic); `step` hears of every
    finished round, outside of them. A call that raises ends the measurement: part of one is none.
    """
    if not programs:
        raise ValueError("nothing to measure: give at least one program")
    samples: dict[str, list[int]] = {name: [] for name in programs}
    with _no_garbage_collection():
        for done in range(plan.rounds):
            for name, program in programs.items():
                began = clock()
                program()
                took = clock() - began
                if done >= plan.warmup:
                    samples[name].append(took)
            step(done + 1)
    return {name: tuple(taken) for name, taken in samples.items()}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Python's collector waits: its pauses would be charged to whichever program they hit."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
