"""What a store does when a stage fails or is killed, or two processes want the same result."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.store import Store
from pipeline.types import PipelineError, Progress, Silent, UsageError

PROCESS = """
import json, sys, time
from pathlib import Path
from pipeline.store import Store

store, log, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

class Nothing:
    def manifest(self, key): return None
    def unpack(self, key, out): raise AssertionError

class Say:
    def update(self, done, total, note=""): pass
    def say(self, sentence): print(sentence, flush=True)

class Steps:
    name, version = "steps", 1
    def settings(self): return {"steps": 4}
    def parents(self): return {}
    def tools(self): return ()
    def run(self, out, work, progress):
        with log.open("a") as file: file.write("run\\n")
        assert list(out.iterdir()) == []
        kept = work / "done"
        before = len(kept.read_text()) if kept.exists() else 0
        for step in range(before, 4):
            (out / f"{step}.txt").write_text("x" * step)
            with kept.open("a") as file: file.write("x")
            if step == 1 and mode == "hang":
                print("ready", flush=True)
                time.sleep(120)
            while step == 1 and mode == "wait" and not (log.parent / "go").exists():
                print("ready", flush=True)
                time.sleep(0.05)
        for step in range(4): (out / f"{step}.txt").write_text("x" * step)
        return {"resumed_from": before}

made = Store(store, seed=0, shipped=Nothing()).make(Steps(), Say())
print(json.dumps([made.origin, made.sha256, dict(made.metrics)]), flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a process that makes a result of four steps; `mode` hang or wait stops it after two."""

    def run(mode: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / "store"), str(tmp_path / "log"), mode],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )

    return run


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def outcome(process: subprocess.Popen[str]) -> tuple[str, str, dict[str, float]]:
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    origin, sha256, metrics = json.loads(text.splitlines()[-1])
    return origin, sha256, metrics


def test_a_killed_stage_leaves_no_result_and_goes_on_from_its_work(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    whole = outcome(start("go"))
    (result,) = (tmp_path / "store" / "results").iterdir()
    result.rename(tmp_path / "whole")
    files = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir() if p.name != "manifest.json"}

    killed = start("hang")
    assert line(killed) == "ready"
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert os.listdir(tmp_path / "store" / "results") == []

    origin, sha256, metrics = outcome(start("go"))
    assert (origin, sha256) == ("made", whole[1])
    assert (whole[2], metrics) == ({"resumed_from": 0}, {"resumed_from": 2})
    assert {p.name: p.read_bytes() for p in result.iterdir() if p.name != "manifest.json"} == files
    assert os.listdir(tmp_path / "store" / "work") == []
    assert (tmp_path / "log").read_text() == "run\n" * 3


def test_two_processes_make_a_result_once(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = start("wait")
    assert line(first) == "ready"
    second = start("wait")
    assert line(second) == "another run is making steps; waiting for it"
    assert os.listdir(tmp_path / "store" / "results") == []
    (tmp_path / "go").touch()
    one, two = outcome(first), outcome(second)
    assert (one[0], two[0]) == ("made", "reused")
    assert one[1:] == two[1:]
    assert (tmp_path / "log").read_text() == "run\n"


def test_one_that_waits_takes_over_from_one_that_is_killed(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = start("hang")
    assert line(first) == "ready"
    second = start("go")
    assert line(second) == "another run is making steps; waiting for it"
    first.kill()
    first.communicate(timeout=60)
    assert outcome(second)[0] == "made"
    assert (tmp_path / "log").read_text() == "run\n" * 2


class Nothing:
    def manifest(self, key: str) -> dict[str, Any] | None:
        return None

    def unpack(self, key: str, out: Path) -> None:
        raise AssertionError


@dataclass
class Does:
    """Writes half a result, then does as told."""

    then: Callable[[Path], None]
    name: str = "does"
    version: int = 1

    def settings(self) -> Mapping[str, Any]:
        return {}

    def parents(self) -> Mapping[str, str]:
        return {}

    def tools(self) -> tuple[str, ...]:
        return ()

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        (out / "half.txt").write_text("half")
        self.then(out)
        return {}


def fails(error: BaseException) -> Callable[[Path], None]:
    def then(out: Path) -> None:
        raise error

    return then


def finish(out: Path) -> None:
    (out / "half.txt").rename(out / "whole.txt")


NO_FULL_DEVICE = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")


def fill_disk(out: Path) -> None:
    with Path("/dev/full").open("w") as file:
        file.write("no room")


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), PipelineError("a sentence"), PermissionError(errno.EACCES, "x"), KeyboardInterrupt()],
)
def test_a_stage_that_raises_leaves_nothing_and_keeps_its_error(error: BaseException, tmp_path: Path) -> None:
    stored = Store(tmp_path, seed=0, shipped=Nothing())
    with pytest.raises(type(error)) as caught:
        stored.make(Does(fails(error)), Silent())
    assert caught.value is error
    assert os.listdir(tmp_path / "results") == []
    assert stored.peek(Does(print)) is None
    # The lock is free again, and what the failed attempt wrote is not in the next one's result.
    made = stored.make(Does(finish), Silent())
    assert sorted(os.listdir(made.path)) == ["manifest.json", "whole.txt"]


@pytest.mark.parametrize(
    "then",
    [
        fails(OSError(errno.ENOSPC, "x")),
        fails(OSError(errno.EDQUOT, "x")),
        fails(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")),
        pytest.param(fill_disk, marks=NO_FULL_DEVICE),
    ],
)
def test_a_full_disk_is_a_sentence(then: Callable[[Path], None], tmp_path: Path) -> None:
    stored = Store(tmp_path, seed=0, shipped=Nothing())
    with pytest.raises(
        PipelineError, match=r"the disk is full: does needs more room under .*; free some and run"
    ):
        stored.make(Does(then), Silent())
    assert os.listdir(tmp_path / "results") == []


@pytest.mark.parametrize("target", ["half.txt", "/dev/null", "nowhere", "."])
def test_symbolic_links_are_refused(target: str, tmp_path: Path) -> None:
    stored = Store(tmp_path, seed=0, shipped=Nothing())
    with pytest.raises(PipelineError, match="link is a symbolic link; results hold plain files only"):
        stored.make(Does(lambda out: (out / "link").symlink_to(target)), Silent())
    assert os.listdir(tmp_path / "results") == []


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"store .*file/store cannot be written"):
        Store(tmp_path / "file" / "store", seed=0, shipped=Nothing()).make(Does(lambda _: None), Silent())
