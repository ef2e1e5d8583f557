"""The sample app's benchmark mode, which is the same on iOS and Android: what it is handed, what comes back.

The app is handed a folder, bench-RUN, in its documents, and started with `--bench bench-RUN`:

    bench-RUN/request.json        AppRequest, below
    bench-RUN/0, bench-RUN/1 …    the bundles of its contenders

It says on stdout, a JSON object a line, flushed, and at least one of them every ten seconds; anything else that
it prints does not matter:

    {"bench": "started", "run": RUN}
    {"bench": "progress", "done": 120, "total": 1029}
    {"bench": "done", "run": RUN}                        measurement.json is there, whole; exit code 0
    {"bench": "failed", "run": RUN, "why": SENTENCE}     there is none; exit code 1

It leaves bench-RUN/measurement.json, whose made.run is RUN, and removes the rest of the folder; whenever it
starts it removes every other bench-* folder.
"""

from __future__ import annotations

import json
import queue
import secrets
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from device_bench import measurement
from device_bench.devices.base import Request
from device_bench.measurement import Count, Measurement, Precision, Record, Role
from device_bench.session import TAIL, DeviceError
from pipeline.types import Progress, UsageError

BUNDLE_ID = "org.pocketdistil.app"
REQUEST, RESULT = "request.json", "measurement.json"
UNITS = ("cpu-only", "cpu-and-ne", "all")
"""Compute units of Core ML, as `--device ios:UDID:UNITS` and the app's request name them."""
Units = Literal["cpu-only", "cpu-and-ne", "all"]
SILENCE = 120.0
"""Seconds without a word after which an app is taken for hung."""
_ENDING = 10.0


class AppContender(Record):
    """A bundle beside the request."""

    role: Role
    folder: str
    name: str
    target: str
    precision: Precision | None
    bundle_seal: str


class AppRequest(Record):
    """What the app has to measure: batch 1, contenders in turns, query i mod count in round i."""

    format: Literal[1] = 1
    run: str
    metric: Literal["latency"] = "latency"
    warmup: Count
    runs: Count
    seconds: float
    threads: Count
    compute_units: Units
    queries: str
    windows: tuple[tuple[int, ...], ...]
    """Token ids; the mask is 1 for each."""
    contenders: tuple[AppContender, ...]


class AppEnded(DeviceError):
    """The app's console ended before it was done. `said` is its last line."""

    def __init__(self, who: str, said: str) -> None:
        self.said = said
        super().__init__(f"{who}: the app ended before it was done" + (f"; last said: {said}" if said else ""))


def ask(request: Request, units: Units, targets: Sequence[str]) -> AppRequest:
    """What the app is asked. Raises UsageError for what it cannot do."""
    if request.metric != "latency":
        raise UsageError("Apple's devices count no instructions; measure latency there")
    for contender in request.contenders:
        bundle = contender.bundle
        if bundle.target not in targets:
            raise UsageError(f"{bundle.path} is for {bundle.target}; this device runs {', '.join(targets)}")
    return AppRequest(
        run=secrets.token_hex(4),
        warmup=request.plan.warmup,
        runs=request.plan.runs,
        seconds=request.plan.seconds,
        threads=request.threads,
        compute_units=units,
        queries=request.queries.source,
        windows=request.queries.windows,
        contenders=tuple(
            AppContender(
                role=contender.role,
                folder=str(number),
                name=contender.bundle.name,
                target=contender.bundle.target,
                precision=contender.bundle.precision,
                bundle_seal=contender.bundle.seal,
            )
            for number, contender in enumerate(request.contenders)
        ),
    )


def folder_of(asked: AppRequest) -> str:
    """The folder's name in the app's documents."""
    return f"bench-{asked.run}"


def stage(request: Request, asked: AppRequest, parent: Path) -> Path:
    """Writes the folder that the app is handed into `parent`."""
    folder = parent / folder_of(asked)
    folder.mkdir(parents=True)
    for contender, copy in zip(request.contenders, asked.contenders, strict=True):
        shutil.copytree(contender.bundle.path, folder / copy.folder)
    (folder / REQUEST).write_text(asked.model_dump_json(indent=1), encoding="utf-8")
    return folder


def follow(
    command: Sequence[str], who: str, asked: AppRequest, progress: Progress, silence: float = SILENCE
) -> None:
    """Starts the app and reads its console until it says that it is done.

    Raises DeviceError with the app's own sentence where it failed, where it is silent for too long, and
    AppEnded where its console ends too early: the app crashed, was not launched, or the device is gone.
    """
    try:
        console = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise DeviceError(f"{who}: {command[0]} cannot be started: {error.strerror}") from None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(console, lines), daemon=True)
    reader.start()
    try:
        _until_done(lines, who, asked.run, progress, silence)
        console.wait(timeout=_ENDING)
    except subprocess.TimeoutExpired:
        pass  # It is done; that it does not end is no reason to throw its figures away.
    finally:
        if console.poll() is None:
            console.kill()
        console.wait()
        reader.join()
        assert console.stdout is not None
        console.stdout.close()


def read(path: Path, who: str, asked: AppRequest, kind: str) -> Measurement:
    """The app's measurement. Raises DeviceError where it is none, or not of what was asked."""
    try:
        found = measurement.read(path)
    except UsageError as error:
        raise DeviceError(f"{who}: what the app wrote cannot be used: {error}") from None
    wanted = [(contender.role, contender.bundle_seal) for contender in asked.contenders]
    got = [(program.role, program.bundle_seal) for program in found.programs]
    protocol = found.protocol
    wrong = (
        "of another run"
        if found.made.get("run") != asked.run
        else f"of a {found.place.kind}"
        if found.place.kind != kind
        else "of other bundles"
        if got != wanted
        else "of other queries"
        if protocol.queries != asked.queries or protocol.metric != asked.metric
        else f"of {min(len(program.samples_ns) for program in found.programs)} runs instead of {asked.runs}"
        if any(len(program.samples_ns) < asked.runs for program in found.programs)
        else f"after {protocol.warmup} warm-ups instead of {asked.warmup}"
        if protocol.warmup < asked.warmup
        else None
    )
    if wrong:
        raise DeviceError(
            f"{who}: the app's measurement is {wrong}; install the app that belongs to this version"
        )
    return found


def _read(console: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert console.stdout is not None
    for line in console.stdout:
        lines.put(line)
    lines.put(None)


def _until_done(lines: queue.Queue[str | None], who: str, run: str, progress: Progress, silence: float) -> None:
    last = ""
    while True:
        try:
            line = lines.get(timeout=silence)
        except queue.Empty:
            raise DeviceError(f"{who}: the app said nothing for {silence:g} s") from None
        if line is None:
            raise AppEnded(who, last)
        word = _word(line)
        if not word:
            last = line.strip()[:TAIL] or last
        elif word["bench"] == "progress":
            progress.update(float(word.get("done", 0)), float(word.get("total", 0)))
        elif word["bench"] == "failed":
            raise DeviceError(f"{who}: {str(word.get('why', 'the app gave up and did not say why'))[:TAIL]}")
        elif word["bench"] == "done" and word.get("run") == run:
            return


def _word(line: str) -> dict[str, Any] | None:
    """The line's JSON object where it is the app's, else None: systems print into the same console."""
    try:
        word = json.loads(line)
    except ValueError:
        return None
    return word if isinstance(word, dict) and isinstance(word.get("bench"), str) else None
