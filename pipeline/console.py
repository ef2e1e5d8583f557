"""What a person sees while a verb works: stage lines, a progress bar, one sentence when something fails."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from pipeline import distributed
from pipeline.types import PipelineError, UsageError

EXIT_CODES = """exit codes:
  0  done
  1  anything not named below
  2  usage, recipe or data error: nothing was run
  3  a missing tool: the message says how to install it
  4  a failed verification: an artifact differs from its student, or a bundle was altered"""


class Bar:
    """A `pipeline.types.Progress` on the terminal: one bar that disappears when its work is done."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=None, note="")

    def update(self, done: float, total: float, note: str = "") -> None:
        """Moves the bar."""
        self.bar.update(self.task, completed=done, total=total, note=note)

    def say(self, sentence: str) -> None:
        """Prints a sentence above the bar."""
        self.console.print(f"    {sentence}", style="yellow", highlight=False, markup=False)


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """A running progress bar."""
    made = Bar(console, title)
    with made.bar:
        yield made


def seconds(value: float) -> str:
    """A duration for people: 0.3 s, 42 s, 3 min 05 s, 2 h 40 min."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 100:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{int(value) // 60} min {int(value) % 60:02d} s"
    return f"{int(value) // 3600} h {int(value) // 60 % 60:02d} min"


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yields a function that tells the seconds since the block was entered."""
    began = time.monotonic()
    yield lambda: time.monotonic() - began


def run(verb: Callable[[], None]) -> int:
    """Runs a verb and turns every failure into one sentence on stderr and the documented exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    try:
        verb()
    except PipelineError as error:
        rank = distributed.rank_at_launch()
        # What the user gave is the same for all processes, so the first one's sentence will do.
        if rank == 0 or not isinstance(error, UsageError):
            print(f"error: {f'process {rank}: ' if rank else ''}{error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        print(f"error: {error.filename or 'a file'} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run again to go on from here", file=sys.stderr)
        return 130
    return 0
