"""Every reason on a measurement made for it, and none on a quiet one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device_bench import validity
from device_bench.measurement import (
    Counted,
    Footprint,
    Instructions,
    Measured,
    Place,
    Protocol,
    State,
    Validity,
    Wish,
)

PLACE = Place(kind="host", name="desk", emulated=False, processor="Z80", cores=4, system="CP/M 2.2")
PROTOCOL = Protocol(
    metric="latency", warmup=5, runs=50, seconds=10, queries="fixed:128", threads=1, interleaved=True
)
COUNTS = PROTOCOL.model_copy(update={"metric": "instructions", "warmup": 1, "runs": 2, "seconds": 0.0})
QUIET = State(load_average=0.4, temperature_celsius=31, thermal="none")


def times(mean: float, spread: float, count: int = 60, seed: int = 0) -> tuple[int, ...]:
    return tuple(int(v) for v in mean * np.random.default_rng(seed).lognormal(0, spread, count))


def program(role: str = "candidate", samples: tuple[int, ...] = times(1e6, 0.02), **other: Any) -> Measured:
    fields: dict[str, Any] = {
        "role": role,
        "name": "pocket" if role == "candidate" else "bert-base",
        "target": "tflite",
        "precision": "int8",
        "bundle_seal": "0" * 64,
        "program_sha256": "1" * 64,
        "runner": "native",
        "runtime": "LiteRT 2.3.0",
        "threads": Wish(asked="1", got="1"),
        "delegate": Wish(asked="xnnpack", got="XNNPACK"),
        "footprint": Footprint(program_bytes=1, bundle_bytes=2),
        "samples_ns": samples,
        "lengths": (128,) * len(samples),
    }
    return Measured(**{**fields, **other})


def counted(*totals: int) -> Counted:
    made = tuple(
        Instructions(total=total, dot_product=0, fma=0, load_store=0, branch=0, other=total) for total in totals
    )
    return Counted(loading=made[0], inferences=made)


def judged(
    *programs: Measured,
    place: Place = PLACE,
    protocol: Protocol = PROTOCOL,
    before: State = QUIET,
    after: State = QUIET,
) -> Validity:
    return validity.judge(place, protocol, programs, before, after)


def only_reason(made: Validity) -> str:
    assert not made.valid
    (reason,) = made.reasons
    return reason


def test_a_quiet_measurement_is_valid() -> None:
    pair = program(), program("baseline", times(8e6, 0.02, seed=1))
    assert judged(*pair) == Validity(valid=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warmup": 4}, "4 warm-up runs; 5 are the least"),
        ({"seconds": 1.0}, "asked for 1 s; 10 s are the least"),
        ({"runs": 100}, "pocket int8 has 60 samples; 100 are the least"),
    ],
)
def test_too_little_was_asked_for_or_came(change: dict[str, Any], said: str) -> None:
    assert only_reason(judged(program(), protocol=PROTOCOL.model_copy(update=change))) == said


def test_a_writer_that_asks_for_little_does_not_get_away_with_it() -> None:
    asked = PROTOCOL.model_copy(update={"runs": 3})
    assert "has 3 samples; 50 are the least" in only_reason(judged(program(samples=(5, 5, 5)), protocol=asked))


def test_times_that_vary_at_one_length() -> None:
    reason = only_reason(judged(program(samples=times(1e6, 0.5, 500))))
    assert reason.startswith("pocket int8: times of one length vary by 5")
    assert reason.endswith("(coefficient of variation; 25% is the most)")


def test_times_of_different_lengths_may_vary() -> None:
    lengths = tuple([64, 128, 256, 384] * 20)
    noise = times(1.0e4, 0.02, len(lengths))
    samples = tuple(length * each for length, each in zip(lengths, noise, strict=True))
    protocol = PROTOCOL.model_copy(update={"queries": "squad"})
    made = program(samples=samples, lengths=lengths)
    assert np.std(samples) / np.mean(samples) > 2 * validity.MAX_COEFFICIENT_OF_VARIATION
    assert validity.within_lengths(made) == pytest.approx(0.02, rel=0.3)
    assert judged(made, protocol=protocol).valid


def test_noise_within_the_lengths_is_noticed_all_the_same() -> None:
    lengths = tuple([64, 384] * 200)
    samples = tuple(n * each for n, each in zip(lengths, times(1e4, 0.5, 400), strict=True))
    assert "times of one length vary" in only_reason(judged(program(samples=samples, lengths=lengths)))


def test_lengths_that_each_came_once_say_nothing_of_spread() -> None:
    lengths = tuple(range(10, 70))
    made = program(samples=tuple(1000 * length for length in lengths), lengths=lengths)
    assert validity.within_lengths(made) is None
    assert judged(made, protocol=PROTOCOL.model_copy(update={"queries": "squad"})).valid


def test_a_ratio_that_is_not_known_well_enough() -> None:
    candidate, baseline = program(samples=times(1e6, 0.2, 50)), program("baseline", times(8e6, 0.2, 50, seed=1))
    assert judged(candidate, baseline).valid  # ± 7 %, which will do in standard mode
    protocol = PROTOCOL.model_copy(update={"mode": "long"})
    reason = only_reason(judged(candidate, baseline, protocol=protocol))
    assert reason.startswith("the ratio to bert-base int8 is known to ± ")
    assert reason.endswith("3% is the most in long mode")


def test_a_slowdown_of_both_leaves_the_ratio_alone() -> None:
    slow = np.repeat([1.0, 1.2], 40)
    both = [tuple(int(v) for v in mean * slow) for mean in (1e6, 8e6)]
    assert judged(program(samples=both[0]), program("baseline", both[1])).valid


def test_programs_at_unequal_lengths_are_no_pair() -> None:
    other = program("baseline", times(8e6, 0.02), lengths=(384,) * 60)
    assert only_reason(judged(program(), other)) == "the programs did not run at equal lengths"
    assert judged(program(), program("peak", times(8e6, 0.02), lengths=(64,) * 60)).valid


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"delegate": Wish(asked="gpu", got="xnnpack")}, "ran on xnnpack where the delegate asked for was gpu"),
        ({"compute_unit": Wish(asked="ane", got="cpu")}, "ran on cpu where the compute unit asked for was ane"),
        ({"threads": Wish(asked="4", got="2")}, "ran with 2 threads where 4 were asked for"),
    ],
)
def test_a_fallback(change: dict[str, Any], said: str) -> None:
    assert only_reason(judged(program(**change))) == f"pocket int8 {said}"


def test_a_runtime_that_does_not_tell_is_not_accused() -> None:
    assert judged(program(delegate=Wish(asked="xnnpack", got=None), threads=Wish(asked="1", got=None))).valid


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        ("adb", State(thermal="severe"), QUIET, "thermal state was severe before"),
        ("ios", QUIET, State(thermal="Serious"), "thermal state was Serious after"),
        ("adb", State(), State(temperature_celsius=46), "46 °C after the measurement; 45 °C is the most"),
        ("host", State(temperature_celsius=97), State(), "97 °C before the measurement; 95 °C is the most"),
        ("host", State(load_average=3.6), State(), "load average 3.6 before the measurement on 4 cores"),
        ("host", State(), State(load_average=4.7), "load average 4.7 after the measurement on 4 cores"),
    ],
)
def test_a_hot_or_busy_device(kind: str, before: State, after: State, said: str) -> None:
    place = PLACE.model_copy(update={"kind": kind})
    assert said in only_reason(judged(program(), place=place, before=before, after=after))


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("adb", State(load_average=9.0)),  # Android counts threads that wait for hardware
        ("adb", State(thermal="light")),
        ("ios", State(thermal="fair")),
        ("host", State(load_average=3.5)),
        ("host", State()),
    ],
)
def test_what_is_usual_on_a_device_is_no_reason(kind: str, state: State) -> None:
    assert judged(program(), place=PLACE.model_copy(update={"kind": kind}), before=state, after=state).valid


def test_any_compute_unit_will_do_where_all_were_allowed() -> None:
    assert judged(program(compute_unit=Wish(asked="all", got="cpu"))).valid


def test_counts_do_not_care_about_heat_or_load() -> None:
    hot = State(load_average=40, temperature_celsius=99, thermal="critical")
    made = program(samples=(), lengths=(), instructions=counted(1000, 1000))
    assert judged(made, protocol=COUNTS, before=hot, after=hot).valid


def test_counts_that_differ_at_one_length() -> None:
    made = program(samples=(), instructions=counted(1000, 1001))
    assert (
        only_reason(judged(made, protocol=COUNTS))
        == "pocket int8 took 1,000 to 1,001 instructions at one length"
    )
    varied = COUNTS.model_copy(update={"queries": "squad"})
    assert judged(made, protocol=varied).valid


def test_no_counts_where_counts_were_asked_for() -> None:
    assert only_reason(judged(program(samples=()), protocol=COUNTS)) == "pocket int8 has no counts"
