"""A runner that works is heard to the end; one that does anything else is one sentence, and is gone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from device_bench.session import LONGEST_LINE, DeviceError, Session
from tests.device_bench.conftest import OBEDIENT, command


def failure(script: str, *runs: int, patience: float = 30) -> str:
    """What a session of this script ends in."""

    def converse() -> None:
        with Session(command(script), "small on a fake", patience=patience) as session:
            for run in runs:
                session.run(run)
            session.end()

    with pytest.raises(DeviceError) as caught:
        converse()
    said = str(caught.value)
    assert said.startswith("small on a fake: ")
    assert "\n" not in said
    return said


def gone(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_whole_session() -> None:
    with Session(command(OBEDIENT), "small") as session:
        assert (session.loaded.runtime, session.loaded.load_ns, session.loaded.delegate) == (
            "Fake 1.0",
            7,
            None,
        )
        assert [session.run(query).query for query in (3, 0, 3)] == [3, 0, 3]
        assert session.end().peak_resident_bytes == 4096
    assert gone(session.pid)


@pytest.mark.parametrize(
    ("script", "runs", "said"),
    [
        (
            "sys.exit('no such library')",
            (),
            "ended before it was told to (exit code 1); its last words: no such",
        ),
        ("loaded(); asked(); os.kill(os.getpid(), signal.SIGSEGV)", (0,), "told to (killed by signal 11)"),
        ("loaded(); os.close(1); time.sleep(60)", (0,), "ended before it was told to"),
        ("print('Segmentation fault')", (), "said 'Segmentation fault', which is no event of a runner"),
        ("say(event='loaded', runtime='Fake')", (), "which is no event of a runner"),
        ("loaded(load_ns=0)", (), "which is no event of a runner"),
        ("loaded(colour='red')", (), "which is no event of a runner"),
        ("print('[1, 2]')", (), "which is no event of a runner"),
        ("os.write(1, b'\\xff\\xfe\\n')", (), "which is no event of a runner"),
        ('os.write(1, b\'{"event": "lo\')', (), "which is no event of a runner"),
        (f"print('x' * {2 * LONGEST_LINE}); time.sleep(60)", (), "which is no event of a runner"),
        ("loaded(); ran(asked() + 1)", (4,), "answered query 5 when asked for 4"),
        ("loaded(); asked(); loaded()", (0,), "said 'loaded' out of turn"),
        ("loaded(); asked(); ran(0)", (), "said 'ran' out of turn"),
        (
            "say(event='failed', why='no room for its tensors'); sys.exit(1)",
            (),
            "gave up: no room for its tensors",
        ),
        (
            "loaded(); asked(); say(event='failed', why='a query is too long')",
            (0,),
            "gave up: a query is too long",
        ),
        ("loaded(); sys.exit(0)", (0, 1), "ended before it was told to"),
    ],
)
def test_whatever_goes_wrong_is_a_sentence(script: str, runs: tuple[int, ...], said: str) -> None:
    assert said in failure(script, *runs)


def test_a_runner_that_says_nothing_is_given_up() -> None:
    assert "said nothing for 0.2 s" in failure("loaded(); time.sleep(60)", 0, patience=0.2)


def test_one_that_does_not_end_is_given_up() -> None:
    script = OBEDIENT + "time.sleep(60)"
    assert "did not end within 0.5 s of saying so" in failure(script, patience=0.5)


def test_what_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be started: No such file or directory"):
        Session([str(tmp_path / "runner")], "small")


def test_two_events_in_one_piece_are_two_events() -> None:
    script = """
loaded(); asked()
os.write(1, (json.dumps({"event": "ran", "query": 0, "ns": 5, "length": 8}) + "\\n"
             + json.dumps({"event": "ran", "query": 1, "ns": 6, "length": 8}) + "\\n").encode())
asked(); asked()
say(event="ended")
"""
    with Session(command(script), "small") as session:
        assert [session.run(0).ns, session.run(1).ns] == [5, 6]
        assert session.end().peak_resident_bytes is None


def test_what_it_prints_on_stderr_is_not_an_event() -> None:
    with Session(command("sys.stderr.write('hello ' * 20000)\n" + OBEDIENT), "small") as session:
        assert session.run(1).query == 1


def test_leaving_early_leaves_no_process() -> None:
    with Session(command("loaded(); time.sleep(60)"), "small") as session:
        assert not gone(session.pid)
    assert gone(session.pid)
    session.close()


def test_a_stop_while_it_loads_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C comes while the session waits for its first event."""
    script = (
        "open(sys.argv[1], 'w').write(str(os.getpid())); os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"
    )
    with pytest.raises(KeyboardInterrupt):
        Session(command(script, tmp_path / "pid"), "small")
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_runner_whose_reader_is_gone_ends_by_itself() -> None:
    """As an obedient one does at the end of its input, should this process be killed."""
    session = Session(command(OBEDIENT), "small")
    assert session._process.stdin is not None
    session._process.stdin.close()
    until = time.monotonic() + 20
    while session._process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert session._process.poll() == 0
    session.close()
