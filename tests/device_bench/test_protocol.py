"""Order, warm-up and bookkeeping of a measurement, on a clock that only the programs move."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from device_bench.protocol import LONG, STANDARD, Plan, in_turns, measure


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
    with pytest.raises(ValueError, match=f"got {warmup}, {runs} and 1"):
        Plan(warmup=warmup, runs=runs)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one program"):
        measure({}, Plan())


@pytest.mark.parametrize(
    ("plan", "each_ns", "rounds"),
    [
        (Plan(warmup=0, runs=3, seconds=1), 200_000_000, 3),  # 2 × 0.2 s a round: 1.2 s after 3 rounds
        (Plan(warmup=0, runs=3, seconds=1), 100_000_000, 5),  # 3 rounds are only 0.6 s
        (Plan(warmup=2, runs=3, seconds=1), 100_000_000, 5),  # the warm-up's time does not count
        (Plan(warmup=0, runs=3), 1, 3),
        (STANDARD, 100_000, 50_000),
        (STANDARD, 200_000_000, 50),
        (LONG, 25_000_000, 1200),
        (LONG, 100_000_000, 1024),
    ],
)
def test_it_stops_when_both_runs_and_seconds_are_there(plan: Plan, each_ns: int, rounds: int) -> None:
    clock = FakeClock()
    samples = measure({name: clock.program(name, each_ns) for name in "AB"}, plan, clock=clock)
    assert {len(taken) for taken in samples.values()} == {rounds}
    assert len(clock.calls) == 2 * (plan.warmup + rounds)


def test_the_protocols_are_what_they_are_called() -> None:
    assert (STANDARD.mode, LONG.mode) == ("standard", "long")
    assert (STANDARD.warmup, STANDARD.runs, STANDARD.seconds) == (5, 50, 10)
    assert (LONG.warmup, LONG.runs, LONG.seconds) == (5, 1024, 60)


def test_every_program_is_asked_the_same_and_counting_starts_anew_after_the_warm_up() -> None:
    asked: list[tuple[str, int]] = []

    def program(name: str) -> Callable[[int], str]:
        def run(number: int) -> str:
            asked.append((name, number))
            return f"{name}{number}"

        return run

    kept = in_turns({name: program(name) for name in "AB"}, Plan(warmup=2, runs=3))
    assert kept == {"A": ("A0", "A1", "A2"), "B": ("B0", "B1", "B2")}
    assert asked == [(name, number) for number in (0, 1, 0, 1, 2) for name in "AB"]


@pytest.mark.parametrize(("passes_of", "runs"), [(1, 5), (2, 6), (5, 5), (8, 8)])
def test_every_query_of_a_list_is_asked_equally_often(passes_of: int, runs: int) -> None:
    kept = in_turns({"A": lambda number: number}, Plan(warmup=0, runs=5), passes_of=passes_of)
    assert kept["A"] == tuple(range(runs))


def test_the_listener_hears_how_much_is_done() -> None:
    clock = FakeClock()
    work = clock.program("A", 250_000_000)
    heard: list[tuple[int, float]] = []
    in_turns(
        {"A": lambda number: work()},
        Plan(warmup=1, runs=2, seconds=1),
        clock=clock,
        step=lambda rounds, share: heard.append((rounds, share)),
    )
    assert heard == [(1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75), (5, 1.0)]
