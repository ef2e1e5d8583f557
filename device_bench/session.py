"""A runner in a process of its own, here or behind adb or an emulator, driven a query at a time.

The runner says one JSON object a line on stdout and reads commands on stdin, so that two of them can take
turns (A B A B) while each keeps its process to itself. Times are taken inside the runner.

    runner --program FILE --queries FILE --threads N [--outputs FILE] [--marks]

    → {"event": "loaded", "runtime": "LiteRT 2.3.0", "load_ns": 41, "threads": 1, "delegate": "xnnpack"}
    ← run 7                                     query 7 of the queries file, from 0
    → {"event": "ran", "query": 7, "ns": 12345, "length": 128}
    ← end
    → {"event": "ended", "peak_resident_bytes": 31000000}

QUERIES holds one window a line: its token ids, separated by spaces; the mask is 1 for each. `length` is what
the program ran at, padding included. With --outputs each run appends its logits, without those of padding,
to FILE: start then end, float32 little-endian. With --marks the runner makes the system call 5000 before each
run's inference and 5001 after it; it does not exist, and an instruction counter takes note. `threads` and
`delegate` are null where the runtime does not tell. A failure is {"event": "failed", "why": SENTENCE} and exit
code 1.
"""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from device_bench.measurement import Count, Nanoseconds, Record
from pipeline.types import PipelineError

TAIL = 300
"""Characters of what a runner last said that a sentence repeats."""
PATIENCE_SECONDS = 900.0
"""Silence after which a runner is given up. BERT-base in float32 takes minutes under an emulator."""
LONGEST_LINE = 1 << 16
"""Bytes; every event is far shorter."""


class DeviceError(PipelineError):
    """A device or its runner failed: it vanished, crashed, ran out of room or talked rubbish."""


class Loaded(Record):
    """The runner has loaded its program."""

    event: Literal["loaded"]
    runtime: str
    load_ns: Nanoseconds
    threads: int | None = None
    delegate: str | None = None


class Ran(Record):
    """One inference."""

    event: Literal["ran"]
    query: Count
    ns: Nanoseconds
    length: Count


class Ended(Record):
    """The runner is done."""

    event: Literal["ended"]
    peak_resident_bytes: Count | None = None


class Failed(Record):
    """The runner gives up."""

    event: Literal["failed"]
    why: str


Event = TypeVar("Event", Loaded, Ran, Ended)
_EVENTS: TypeAdapter[Loaded | Ran | Ended | Failed] = TypeAdapter(
    Annotated[Loaded | Ran | Ended | Failed, Field(discriminator="event")]
)


class Session:
    """One started runner. `who` names program and device in every sentence about it."""

    def __init__(
        self,
        command: Sequence[str],
        who: str,
        environment: Mapping[str, str] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.who, self.patience = who, patience
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self._said = b""
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=None if environment is None else dict(environment),
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            raise DeviceError(f"{who}: {command[0]} cannot be started: {error.strerror}") from None
        try:
            self.loaded = self._expect(Loaded)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def run(self, query: int) -> Ran:
        """Runs one query. Raises DeviceError where the runner fails, vanishes or says something else."""
        self._say(f"run {query}")
        ran = self._expect(Ran)
        if ran.query != query:
            raise self._failure(f"answered query {ran.query} when asked for {query}")
        return ran

    def end(self) -> Ended:
        """Lets the runner end."""
        self._say("end")
        ended = self._expect(Ended)
        try:
            self._process.wait(timeout=self.patience)
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {self.patience:g} s of saying so") from None
        return ended

    def close(self) -> None:
        """Stops the runner, however far it is. Safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            try:
                stream.close()
            except OSError:
                continue

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode("ascii"))
        except OSError:
            raise self._failure("ended before it was told to") from None

    def _expect(self, kind: type[Event]) -> Event:
        line = self._line()
        try:
            event = _EVENTS.validate_python(json.loads(line))
        except (ValueError, ValidationError):
            said = line.decode("utf-8", "replace").strip()[:TAIL]
            raise self._failure(f"said {said!r}, which is no event of a runner") from None
        if isinstance(event, Failed):
            raise self._failure(f"gave up: {event.why}")
        if not isinstance(event, kind):
            raise self._failure(f"said {event.event!r} out of turn")
        return event

    def _line(self) -> bytes:
        """What it says next, up to the end of the line, or more than any event is long."""
        assert self._process.stdout is not None
        while b"\n" not in self._said and len(self._said) < LONGEST_LINE:
            if not select.select([self._process.stdout], [], [], self.patience)[0]:
                raise self._failure(f"said nothing for {self.patience:g} s")
            piece = self._process.stdout.read(LONGEST_LINE)
            if not piece:
                if not self._said:
                    raise self._failure("ended before it was told to")
                break
            self._said += piece
        line, _, self._said = self._said.partition(b"\n")
        return line

    def _failure(self, what: str) -> DeviceError:
        """The sentence, with the exit code or signal and the last line of stderr, where there are any."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        ended = "" if not code else f" (exit code {code})" if code > 0 else f" (killed by signal {-code})"
        last = f"; its last words: {said[-1][:TAIL]}" if said else ""
        self.close()
        return DeviceError(f"{self.who}: the runner {what}{ended}{last}")
