"""Training loops that advance in turns, so that whole steps of several can be timed side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.types import PipelineError

Tick = Callable[[], None]
"""What a loop calls after each of its optimizer steps."""


class _Closed(Exception):
    """Leaves a loop that nobody will advance any more."""


class Paced:
    """A training loop, unchanged, in a thread of its own: it goes on by so many steps when it is told to.

    Only one loop runs at any time. Setting up belongs to the first step, so warm up before timing.
    """

    def __init__(self, loop: Callable[[Tick], object]) -> None:
        self._loop, self._go, self._done = loop, threading.Semaphore(0), threading.Semaphore(0)
        self._closing = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._closing:
                self._loop(self._tick)
                self._failure = PipelineError("a training loop ended before its measurement did")
        except _Closed:
            pass
        except BaseException as error:
            self._failure = error
        self._done.release()

    def _tick(self) -> None:
        self._done.release()
        self._go.acquire()
        if self._closing:
            raise _Closed

    def advance(self, steps: int = 1) -> None:
        """Lets the loop take so many optimizer steps. Raises what the loop raised."""
        for _ in range(steps):
            if self._failure is None:
                self._go.release()
                self._done.acquire()
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """Ends the loop and its thread."""
        self._closing = True
        self._go.release()
        self._thread.join()
