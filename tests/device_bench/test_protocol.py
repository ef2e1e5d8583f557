"""Order, warm-up and bookkeeping of a measurement, on a clock that only the programs move."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from device_bench.protocol import Plan, measure


class FakeClock:
    """Nanoseconds that pass only when a program works; remembers which program worked when."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []

    def __call__(self) -> int:
        return self.now

    def program(self, name: str, *durations_ns: int) -> Callable[[], None]:
        """A program that takes these times in turn, the last one for ever."""
        left = list(durations_ns)

        def work() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_programs_are_interleaved_in_the_order_given() -> None:
    clock = FakeClock()
    programs = {name: clock.program(name, 1) for name in "ABC"}
    measure(programs, Plan(warmup=2, runs=3), clock=clock)
    assert "".join(clock.calls) == "ABC" * 5


def test_only_the_runs_after_warm_up_are_kept_each_with_its_own_time() -> None:
    clock = FakeClock()
    programs = {"A": clock.program("A", 900, 800, 1, 2, 3), "B": clock.program("B", 70)}
    assert measure(programs, Plan(warmup=2, runs=3), clock=clock) == {"A": (1, 2, 3), "B": (70, 70, 70)}


def test_samples_of_one_round_stand_at_one_index() -> None:
    """A machine that slows down in the third round slows both there."""
    clock = FakeClock()
    programs = {"A": clock.program("A", 10, 10, 50, 10), "B": clock.program("B", 20, 20, 100, 20)}
    samples = measure(programs, Plan(warmup=0, runs=4), clock=clock)
    assert [b / a for a, b in zip(samples["A"], samples["B"], strict=True)] == [2, 2, 2, 2]


def test_what_the_listener_does_is_not_timed() -> None:
    clock = FakeClock()
    heard: list[int] = []

    def step(rounds: int) -> None:
        heard.append(rounds)
        clock.now += 10_000

    samples = measure({"A": clock.program("A", 5)}, Plan(warmup=1, runs=2), clock=clock, step=step)
    assert samples == {"A": (5, 5)}
    assert heard == [1, 2, 3]


def test_the_default_clock_counts_real_nanoseconds() -> None:
    samples = measure({"work": lambda: sum(range(20_000))}, Plan(warmup=0, runs=3))
    assert len(samples["work"]) == 3
    assert all(10_000 < sample < 10_000_000_000 for sample in samples["work"])


def test_garbage_collection_waits_and_comes_back() -> None:
    seen: list[bool] = []
    measure({"A": lambda: seen.append(gc.isenabled())}, Plan(warmup=0, runs=1))
    assert seen == [False]
    assert gc.isenabled()


def test_a_program_that_fails_ends_the_measurement() -> None:
    def broken() -> None:
        raise RuntimeError("no such operator")

    with pytest.raises(RuntimeError, match="no such operator"):
        measure({"A": broken}, Plan())
    assert gc.isenabled()


@pytest.mark.parametrize(("warmup", "runs"), [(-1, 5), (0, 0)])
def test_a_plan_without_runs_is_refused(warmup: int, runs: int) -> None:
    with pytest.raises(ValueError, match=f"got {warmup} and {runs}"):
        Plan(warmup=warmup, runs=runs)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one program"):
        measure({}, Plan())
