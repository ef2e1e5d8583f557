"""The far end of session.py, for runners in Python: what differs is how a program is loaded and run."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np
from pydantic import BaseModel

from device_bench.session import Ended, Failed, Loaded, Ran
from pipeline.types import PipelineError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """One query answered: nanoseconds, tokens that the program ran at, logits without those of padding."""

    ns: int
    length: int
    logits: Sequence[np.ndarray]


class Program(Protocol):
    """A loaded program and the queries that it was loaded for."""

    loaded: Loaded

    def run(self, query: int) -> Inference:
        """Runs one query; only the runtime's own call lies between two readings of the clock."""

    def peak(self) -> int | None:
        """The highest resident memory so far, in bytes."""


def serve(load: Callable[[list[np.ndarray]], Program], queries: Path, outputs: Path | None) -> int:
    """Loads, then runs what it is told until it is told to end, or its reader is gone. The exit code."""
    channel = _own_stdout()
    try:
        _answer(load, queries, outputs, channel)
    except PipelineError as error:
        _say(channel, Failed(event="failed", why=str(error)))
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 1
    return 0


def _answer(
    load: Callable[[list[np.ndarray]], Program], queries: Path, outputs: Path | None, channel: TextIO
) -> None:
    windows = [np.array([line.split()], np.int32) for line in queries.read_text("ascii").splitlines()]
    program = load(windows)
    _say(channel, program.loaded)
    # A pause of Python's collector would be charged to whichever inference it hits.
    gc.collect()
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        if line.split() == ["end"]:
            _say(channel, Ended(event="ended", peak_resident_bytes=program.peak()))
            return
        word, _, number = line.strip().partition(" ")
        if word != "run" or not number.isdecimal() or int(number) >= len(windows):
            raise UsageError(f"told {line.strip()!r}; it takes run 0 to run {len(windows) - 1}, and end")
        ran = program.run(int(number))
        if outputs:
            with outputs.open("ab") as file:
                file.writelines(output.astype("<f4").tobytes() for output in ran.logits)
        _say(channel, Ran(event="ran", query=int(number), ns=ran.ns, length=ran.length))


def _own_stdout() -> TextIO:
    """Stdout for events alone: whatever a library prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, event: BaseModel) -> None:
    channel.write(event.model_dump_json() + "\n")
    channel.flush()
