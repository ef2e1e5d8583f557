"""Who is started when, who is asked what, and that nobody is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from device_bench.protocol import Plan
from device_bench.queries import Queries
from device_bench.session import DeviceError, Session
from device_bench.timing import time_runners, warmed
from pipeline.types import Silent
from tests.device_bench.conftest import OBEDIENT, command

LOGGED = """
name, log = sys.argv[1:3]
def note(what):
    with open(log, "a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
note("started")
loaded(load_ns=os.getpid())
while isinstance(query := asked(), int):
    note(f"run{query}")
    ran(query, ns=1000 + query)
note("ended")
say(event="ended", peak_resident_bytes=4096)
"""
FIXED = Queries(source="fixed:4", windows=((1, 2, 3, 4),) * 3)
VARIED = Queries(source="squad", windows=((1,), (1, 2), (1, 2, 3)))


def starts(log: Path, *names: str, script: str = LOGGED) -> dict[str, Callable[[], Session]]:
    def starting(name: str) -> Callable[[], Session]:
        return lambda: Session(command(script, name, log), name)

    return {name: starting(name) for name in names}


def test_programs_take_turns_each_in_a_process_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    timed = time_runners(starts(log, "A", "B"), Plan(warmup=1, runs=4), FIXED, Silent(), fresh=3)
    lines = [line.split() for line in log.read_text().splitlines()]
    short = [f"{what} {name}" for what, name, _ in lines]
    start = [f"{what} {name}" for name in "AB" for what in ("started", "run0", "ended")]
    long_session = [f"{what} {name}" for name in "AB" for what in ("started", "run0")]
    turns = [f"run{run % 3} {name}" for run in (0, 0, 1, 2, 3) for name in "AB"]
    assert short == start * 2 + long_session + turns + ["ended A", "ended B"]
    assert len({(name, process) for _, name, process in lines}) == 6
    assert len({process for _, _, process in lines}) == 6
    assert [ran.query for ran in timed["A"].runs] == [0, 1, 2, 0]
    assert timed["B"].first_ns == (1000,) * 3
    assert len(set(timed["B"].load_ns)) == 3
    assert timed["A"].peak_resident_bytes == 4096


def test_a_plan_is_dealt_to_fresh_processes_and_each_is_warmed_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plan = Plan(warmup=2, runs=5, processes=3)
    timed = time_runners(starts(log, "A", "B"), plan, FIXED, Silent(), fresh=2)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [name for what, name, _ in lines if what == "started"] == ["A", "B"] * 3
    assert len({process for _, _, process in lines}) == 6
    each = ["started", "run0", "run0", "run1", "run0", "run1", "ended"]
    assert [what for what, name, _ in lines if name == "A"] == each * 3
    assert timed["A"].runs_of == timed["B"].runs_of == (2, 2, 2)
    assert [ran.query for ran in timed["A"].runs] == [0, 1] * 3
    assert len(timed["A"].load_ns) == len(timed["A"].first_ns) == 3


def test_queries_of_many_lengths_are_warmed_up_each_and_asked_in_whole_passes(tmp_path: Path) -> None:
    timed = time_runners(starts(tmp_path / "log", "A"), Plan(warmup=2, runs=4), VARIED, Silent(), fresh=1)
    assert [ran.query for ran in timed["A"].runs] == [0, 1, 2, 0, 1, 2]
    asked = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()]
    once = ["run0", "run1", "run2"]
    assert asked == ["started", "run0", *once, *once, *once, "ended"]
    assert (warmed(Plan(warmup=2), VARIED), warmed(Plan(warmup=5), FIXED)) == (3, 5)


def test_when_one_fails_in_the_middle_no_other_is_left(tmp_path: Path) -> None:
    crashing = LOGGED.replace("ran(query,", "sys.exit(3) if query == 2 else ran(query,")
    seen: list[int] = []
    both = {**starts(tmp_path / "log", "A"), **starts(tmp_path / "log", "B", script=crashing)}
    with pytest.raises(DeviceError, match=r"B: the runner ended before it was told to \(exit code 3\)"):
        time_runners(
            both,
            Plan(warmup=0, runs=9),
            FIXED,
            Silent(),
            fresh=1,
            running=lambda name, session: seen.append(session.pid),
        )
    assert len(seen) == 2
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_long_session_is_shown_once(tmp_path: Path) -> None:
    seen: list[str] = []
    time_runners(
        starts(tmp_path / "log", "A", "B", script=OBEDIENT),
        Plan(warmup=0, runs=1),
        FIXED,
        Silent(),
        fresh=2,
        running=lambda name, session: seen.append(name),
    )
    assert seen == ["A", "B"]
