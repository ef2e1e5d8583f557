"""Measuring the measuring: what repeats, what does not, and what is kept of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_bench import __main__ as command_line
from device_bench import flags, measurement, repeating
from device_bench.devices.base import Request
from device_bench.measurement import Measurement, Validity
from tests.device_bench.fakes import Fake, Install
from tests.device_bench.test_validity import COUNTS, PLACE, PROTOCOL, counted, program, times
from tests.test_run import call


def timed(ratio: float, spread: float = 0.02, seed: int = 0, mode: str = "standard") -> Measurement:
    candidate = np.array(times(1e6, 0.1, 400, seed))
    noise = np.random.default_rng(seed + 100).lognormal(0, spread, 400)
    baseline = tuple(int(v) for v in candidate * ratio * noise)
    return Measurement(
        place=PLACE,
        protocol=PROTOCOL.model_copy(update={"mode": mode}),
        programs=(program(samples=tuple(candidate.tolist())), program("baseline", baseline)),
        validity=Validity(valid=True),
        made={},
    )


def counting(*totals: int) -> Measurement:
    return Measurement(
        place=PLACE.model_copy(update={"kind": "arm64-emulator", "emulated": True}),
        protocol=COUNTS,
        programs=(program(samples=(), lengths=(), instructions=counted(*totals)),),
        validity=Validity(valid=True),
        made={},
    )


def test_intervals_that_overlap_and_are_narrow() -> None:
    (found,) = repeating.ratios([timed(8), timed(8, seed=1)])
    assert found.holds
    assert found.what == "bert-base int8"
    assert found.verdict.startswith("intervals overlap, ± 0.")
    assert all(7.9 < float(text.split()[0]) < 8.1 for text in found.seen)


def test_intervals_that_do_not_overlap() -> None:
    (found,) = repeating.ratios([timed(8), timed(8.5, seed=1)])
    assert not found.holds
    assert found.verdict.startswith("intervals do not overlap")


def test_an_interval_that_is_too_wide_for_the_long_mode() -> None:
    wide = [timed(8, spread=0.5, mode="long"), timed(8, spread=0.5, seed=1, mode="long")]
    (found,) = repeating.ratios(wide)
    assert not found.holds
    assert found.verdict.startswith("intervals overlap, ± ")
    assert found.verdict.endswith("(3% is the most)")


def test_counts_that_are_equal_and_counts_that_are_not() -> None:
    (same,) = repeating.counts([counting(1000, 1000)] * 3)
    assert (same.holds, same.verdict, same.seen) == (True, "equal to the instruction", ("1,000",) * 3)
    (other,) = repeating.counts([counting(1000, 1000), counting(1000, 1001)])
    assert (other.holds, other.verdict) == (False, "differ by 0.0500 %")


def test_a_process_for_each_core_works_and_then_is_gone() -> None:
    told = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    before = set(told.read_text().split())
    with repeating.all_cores_busy():
        working = set(told.read_text().split()) - before
        assert len(working) == os.cpu_count()
    for pid in working:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.parametrize(
    ("totals", "code", "said"),
    [
        ([(7, 7), (7, 7), (7, 7)], 0, "equal to the instruction"),
        ([(7, 7), (7, 7), (8, 8)], 1, "error: does not repeat on counter"),
    ],
)
def test_the_verb_measures_again_and_again_and_keeps_everything(
    totals: list[tuple[int, int]],
    code: int,
    said: str,
    bundle: Path,
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = list(totals)

    def count(request: Request) -> Measurement:
        return counting(*left.pop(0))

    install("counter", Fake("counter", count))
    monkeypatch.setattr(flags, "COUNTERS", ("counter",))
    assert (
        call(command_line.main, "repeat", "--bundle", bundle, "--baseline", "none", "--device", "counter")
        == code
    )
    printed: Any = capsys.readouterr()
    assert said in printed.out + printed.err
    kept = sorted((bundle.parent / "measurements" / "repeat").iterdir())
    stem = "onnx-counter-instructions-fixed-64"
    assert [path.name for path in kept] == [f"{stem}-{name}.json" for name in ("1", "2", "busy")]
    for path, expected in zip(kept, totals, strict=True):
        counts = measurement.read(path).candidate.instructions
        assert counts is not None
        assert tuple(one.total for one in counts.inferences) == expected


def test_times_without_a_baseline_are_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command_line.main, "repeat", "--bundle", bundle, "--baseline", "none", "--no-peak") == 2
    assert "times alone do not repeat, ratios do; give a --baseline" in capsys.readouterr().err
