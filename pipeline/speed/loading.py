"""What a program costs to load and to keep: in a process of its own, with nothing else in it.

Resident memory is what the system counts (/proc, so Linux), less what interpreter and imported runtime held
before. The parts of the program's file that have been read count as well: a runtime may map it.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import numpy as np

from pipeline.recipe import Record
from pipeline.speed import runtimes
from pipeline.speed.records import Program

SMAPS, STATUS = Path("/proc/self/smaps_rollup"), Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
CHUNK = 1 << 20
FORGET_PEAK = "5"
"""Written to CLEAR, starts the peak anew (proc(5))."""


class LoadPlan(Record):
    """One program, and the windows it runs after its first inference."""

    program: Program
    threads: int
    fixed: int
    """Inferences at the program's longest length, the first included."""
    lengths: tuple[int, ...]
    """Of windows that follow these."""


class Cost(Record):
    """Times in milliseconds; bytes above what the process held before it loaded the program."""

    load_ms: float
    first_ms: float
    loaded_bytes: int | None
    fixed_bytes: int | None
    """After the inferences at the longest length."""
    real_bytes: int | None
    """After those of `lengths` as well."""
    peak_bytes: int | None
    """The highest until then."""
    anonymous_bytes: int | None
    """At the end, without what is only read from files."""


class Memory:
    """Resident memory above that of the moment it was made; None where the system does not tell."""

    def __init__(self) -> None:
        gc.collect()
        if CLEAR.exists():
            CLEAR.write_text(FORGET_PEAK)
        self.before, self.anonymous_before = _rollup("Rss"), _rollup("Anonymous")

    def resident(self) -> int | None:
        """Bytes."""
        return _above(_rollup("Rss"), self.before)

    def anonymous(self) -> int | None:
        """Bytes of it that belong to no file."""
        return _above(_rollup("Anonymous"), self.anonymous_before)

    def peak(self) -> int | None:
        """The highest since then, in bytes."""
        return _above(_field(STATUS, "VmHWM"), self.before)


def measure(plan: LoadPlan) -> Cost:
    """Loads the program and runs it; to be called once, in a fresh process."""
    program = plan.program
    runtimes.imported(program.runtime)
    read_through(program.path)
    windows = [ones(length) for length in (*[program.length] * plan.fixed, *plan.lengths)]
    memory = Memory()
    began = time.perf_counter()
    call, _ = program.load(plan.threads)
    loaded = time.perf_counter()
    loaded_bytes = memory.resident()
    second = time.perf_counter()
    call(*windows[0])
    first_ms = (time.perf_counter() - second) * 1e3
    for window in windows[1 : plan.fixed]:
        call(*window)
    fixed_bytes = memory.resident()
    for window in windows[plan.fixed :]:
        call(*window)
    return Cost(
        load_ms=(loaded - began) * 1e3,
        first_ms=first_ms,
        loaded_bytes=loaded_bytes,
        fixed_bytes=fixed_bytes,
        real_bytes=memory.resident(),
        peak_bytes=memory.peak(),
        anonymous_bytes=memory.anonymous(),
    )


def read_through(path: Path) -> None:
    """Puts a file into the page cache as reading does.

    A file that was just written lies there in larger pieces, of which a mapping brings in more at a touch.
    """
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(CHUNK):
            pass


def ones(length: int) -> tuple[np.ndarray, np.ndarray]:
    """A window of one token over and over: ids and mask, int32 (1, length)."""
    return np.ones((1, length), np.int32), np.ones((1, length), np.int32)


def _rollup(name: str) -> int | None:
    return _field(SMAPS, name)


def _field(path: Path, name: str) -> int | None:
    """A line `Name:   12 kB` of /proc, in bytes."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return None
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _above(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before
