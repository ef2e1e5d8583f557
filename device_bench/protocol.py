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
from typing import Literal, TypeVar

Samples = dict[str, tuple[int, ...]]
"""Program → nanoseconds, one for each round, in the order of the rounds."""
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`warmup` rounds that are not kept (first calls pack weights and fill caches), then `runs` that are.

    With `seconds`, rounds go on until those, too, have passed since the warm-up. Runs and seconds are dealt
    to so many fresh `processes` of each program, warmed up each: where memory came to lie makes one process
    faster than another for as long as it lives, which more runs of it would not show (Kalibera and Jones 2013).
    """

    warmup: int = 5
    runs: int = 20
    seconds: float = 0.0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.runs < 1 or self.processes < 1:
            given = f"{self.warmup}, {self.runs} and {self.processes}"
            raise ValueError(f"warmup must be ≥ 0, runs and processes ≥ 1, got {given}")

    def dealt(self, warmup: int) -> Plan:
        """What each process has to do, with a warm-up of its own."""
        share = self.processes
        return Plan(warmup=warmup, runs=-(-self.runs // share), seconds=self.seconds / share)

    @property
    def mode(self) -> Literal["standard", "long"]:
        """Long where it asks for as much as LONG does."""
        return "long" if self.runs >= LONG.runs and self.seconds >= LONG.seconds else "standard"

    @property
    def rounds(self) -> int:
        """All rounds, warm-up included, where no seconds ask for more."""
        return self.warmup + self.runs

    def share(self, runs: int, passed_ns: int) -> float:
        """How much of what it asks for is there, 0 to 1, after so many runs and so long since the warm-up."""
        by_time = passed_ns / (self.seconds * 1e9) if self.seconds else 1.0
        return min(1.0, runs / self.runs, by_time)


STANDARD = Plan(warmup=5, runs=50, seconds=10.0)
LONG = Plan(warmup=5, runs=1024, seconds=60.0, processes=10)


def in_turns(
    programs: Mapping[str, Callable[[int], Outcome]],
    plan: Plan,
    *,
    passes_of: int = 1,
    clock: Callable[[], int] = time.monotonic_ns,
    step: Callable[[int, float], None] = lambda rounds, share: None,
) -> dict[str, tuple[Outcome, ...]]:
    """Runs every program once a round until the plan has what it asks for; what each kept run gave.

    A program is called with the number of its run, which starts anew at 0 after the warm-up. Runs come in
    whole passes of `passes_of`, so that each query of a list is asked equally often. `clock` gives
    nanoseconds; `step` hears of every finished round and of the share of the plan that is done. A call that
    raises ends the measurement: part of one is none.
    """
    if not programs:
        raise ValueError("nothing to measure: give at least one program")
    for done in range(plan.warmup):
        for program in programs.values():
            program(done)
        step(done + 1, 0.0)
    kept: dict[str, list[Outcome]] = {name: [] for name in programs}
    began, done = clock(), 0
    while done % passes_of or plan.share(done, clock() - began) < 1:
        for name, program in programs.items():
            kept[name].append(program(done))
        done += 1
        step(plan.warmup + done, plan.share(done, clock() - began))
    return {name: tuple(outcomes) for name, outcomes in kept.items()}


def measure(
    programs: Mapping[str, Callable[[], object]],
    plan: Plan,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    step: Callable[[int], None] = lambda rounds: None,
) -> Samples:
    """Times programs of this process, which take no arguments, and returns every raw sample.

    Only the call lies between two readings of `clock` (nanoseconds, monotonic); `step` hears of every
    finished round, outside of them. A call that raises ends the measurement: part of one is none.
    """

    def timed(program: Callable[[], object]) -> Callable[[int], int]:
        def run(_: int) -> int:
            began = clock()
            program()
            return clock() - began

        return run

    with _no_garbage_collection():
        return in_turns(
            {name: timed(program) for name, program in programs.items()},
            plan,
            clock=clock,
            step=lambda rounds, _: step(rounds),
        )


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
