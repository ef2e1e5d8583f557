"""Ratios, shares, sizes and memory by hand; what is judged, and the tables that say so."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from pipeline.speed import comparison, tables
from pipeline.speed.arithmetic import Shape, forward_flops
from pipeline.speed.comparison import Weighed
from pipeline.speed.inference import REAL, Case, Rates
from pipeline.speed.loading import Cost
from pipeline.speed.records import Program

SHAPE = Shape(layers=2, hidden=8, neurons=16, labels=2)
OURS, DEFAULT, PEER = "tflite ours", "tflite default", comparison.PEER


def case(
    name: str,
    ours: tuple[int, ...],
    default: tuple[int, ...],
    lengths: tuple[int, ...],
    *,
    runs_at: tuple[int, ...] | None = None,
    peer: tuple[int, ...] | None = None,
) -> Case:
    samples = {DEFAULT: default, OURS: ours, **({PEER: peer} if peer else {})}
    return Case(
        model="pocket",
        runtime="tflite",
        threads=1,
        name=name,
        lengths=lengths,
        samples_ns=samples,
        runs_at={label: (runs_at or lengths) if label == OURS else lengths for label in samples},
    )


def printed(table: Table) -> str:
    screen = Console(width=80, file=io.StringIO(), force_terminal=False)
    screen.print(table)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_an_equal_case_is_the_median_of_pairs() -> None:
    one = case("384", (1_000_000, 2_000_000, 4_000_000), (1_200_000, 2_400_000, 4_800_000), (384,) * 3)
    line = comparison.line_of(one, SHAPE, 1e12, judged=True)
    assert (line.ours_ms, line.default_ms) == (2.0, 2.4)
    assert line.times == pytest.approx((1.2, 1.2, 1.2))
    assert line.ours_share == pytest.approx(forward_flops(SHAPE, 384) / 2e-3 / 1e12)
    assert line.default_share == pytest.approx(line.ours_share / 1.2)
    assert (line.goal, line.verdict, line.times_peer) == (1.15, "met", None)


def test_real_lengths_are_the_ratio_of_total_times() -> None:
    one = case(REAL, (1_000_000, 3_000_000), (4_000_000, 4_000_000), (100, 300), peer=(2_000_000, 2_000_000))
    line = comparison.line_of(one, SHAPE, 1e12, judged=True)
    assert line.times[0] == pytest.approx(2.0)
    assert line.times[1] == pytest.approx(4 / 3)
    assert line.times[2] == pytest.approx(4.0)
    assert line.times_peer is not None
    assert line.times_peer[0] == pytest.approx(1.0)
    assert (line.ours_ms, line.default_ms) == (2.0, 4.0)
    work = (forward_flops(SHAPE, 100) + forward_flops(SHAPE, 300)) / 2
    assert line.ours_share == pytest.approx(work / 2e-3 / 1e12)
    assert (line.goal, line.verdict) == (2.0, "met")


@pytest.mark.parametrize(("default", "verdict"), [(1_150_000, "met"), (1_149_000, "missed")])
def test_the_goal_is_where_it_is_said_to_be(default: int, verdict: str) -> None:
    one = case("128", (1_000_000,) * 2, (default,) * 2, (128,) * 2)
    assert comparison.line_of(one, SHAPE, 1e12, judged=True).verdict == verdict


def test_what_is_not_of_equal_length_is_not_judged() -> None:
    one = case("128", (1_000_000,), (5_000_000,), (128,), runs_at=(384,))
    line = comparison.line_of(one, SHAPE, 1e12, judged=True)
    assert (line.equal, line.goal, line.verdict) == (False, None, None)
    assert "not judged: tflite at 128" in " ".join(printed(tables.speed_table("pocket", [line])).split())
    equal = case("128", (1_000_000,), (5_000_000,), (128,))
    assert comparison.line_of(equal, SHAPE, 1e12, judged=False).verdict is None


def test_the_interval_of_a_whole_set_is_around_it_and_repeats() -> None:
    slow = [300.0, 310.0, 290.0, 305.0] * 10
    fast = [100.0, 200.0, 150.0, 50.0] * 10
    first = comparison.whole_ratio(slow, fast)
    assert first.value == pytest.approx(sum(slow) / sum(fast))
    assert first.low < first.value < first.high
    assert comparison.whole_ratio(slow, fast) == first


def test_the_peak_is_the_highest_of_all_rates_at_as_many_threads() -> None:
    rates = [
        Rates(runtime="tflite", threads=1, linear=5.0, torch=3.0),
        Rates(runtime="executorch", threads=1, linear=2.0, torch=6.0),
        Rates(runtime="tflite", threads=2, linear=9.0, torch=4.0),
    ]
    assert comparison.peaks(rates) == {1: 6.0, 2: 9.0}


def weighed(maker: str, size: int, resident: list[int | None]) -> Weighed:
    program = Program(
        model="pocket", runtime="tflite", maker=maker, length=384, path=Path("a"), size_bytes=size
    )
    costs = [
        Cost(
            load_ms=10.0 + i,
            first_ms=20.0,
            loaded_bytes=held,
            fixed_bytes=held,
            real_bytes=None if held is None else 2 * held,
            peak_bytes=None if held is None else 3 * held,
            anonymous_bytes=held,
        )
        for i, held in enumerate(resident)
    ]
    return Weighed(program=program, costs=tuple(costs))


def test_sizes_and_memory_are_held_against_the_default() -> None:
    ours, default = weighed("ours", 101, [40, 60, 50]), weighed("default", 100, [30, 50, 49])
    found = {one.what: one for one in comparison.weights_of([default, ours], judged=True)}
    assert (found["file"].times, found["file"].verdict) == (1.01, "met")
    assert found["resident, fixed length"].ours == 50
    assert found["resident, fixed length"].verdict == "missed"
    assert list(found) == ["file", *comparison.WEIGHTS.values()]
    text = printed(tables.weight_table("pocket", [default, ours], list(found.values())))
    assert max(map(len, text.splitlines())) <= 80
    assert "tflite, file: 1.010 × the default's, goal ≤ 1.01: met" in text
    assert "11.0 ms" in text
    heavier = comparison.weights_of([weighed("ours", 102, [50]), default], judged=True)
    assert heavier[0].verdict == "missed"


def test_what_a_system_does_not_tell_is_left_out() -> None:
    ours, default = weighed("ours", 90, [None, None]), weighed("default", 100, [None, None])
    (one,) = comparison.weights_of([ours, default], judged=True)
    assert one.what == "file"
    assert "–" in printed(tables.weight_table("pocket", [ours, default], [one]))


def test_the_table_fits_a_terminal() -> None:
    lines = []
    for name in ("384", "128", REAL):
        one = case(name, (321_000_000,) * 3, (1_712_000_000,) * 3, (384,) * 3, peer=(999_000_000,) * 3)
        one = one.model_copy(
            update={
                "runtime": "executorch",
                "samples_ns": {k.replace("tflite", "executorch"): v for k, v in one.samples_ns.items()},
            }
        )
        lines.append(comparison.line_of(one, SHAPE, 1e6, judged=True))
    text = printed(tables.speed_table("DistilBERT-base, 1 thread", list(reversed(lines))))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    rows = [line.split()[0] for line in text.splitlines() if "executorch" in line]
    assert rows == ["384", "128", "SQuAD's"]
    assert "Goals: × default ≥ 1.15 at equal length, ≥ 2 over SQuAD's lengths." in " ".join(text.split())
