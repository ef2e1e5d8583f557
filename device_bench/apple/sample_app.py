"""The sample app's benchmark mode on Apple's systems: how it is asked, what it says, what comes back.

It is handed a new folder in its documents, with the bundles, named by role and place, and the queries, a window
of token ids a line; then it is started with arguments. Their paths are relative to its documents, their names
are those of the extras that its Android twin takes:

    --bench --bundle bench-RUN/candidate-0 --baselines bench-RUN/baseline-1,bench-RUN/baseline-2
    --queries bench-RUN/queries --source fixed:128 --threads 1 --warmup 5 --runs 50 --seconds 10
    --units all --result bench-RUN/measurement.json

It says on stdout, a JSON object a line, flushed, and at least one of them every ten seconds; anything else that
it prints does not matter:

    {"bench": "progress", "done": 120, "total": 1029}
    {"bench": "done"}                                   the result is there, whole; exit code 0
    {"bench": "failed", "why": SENTENCE}                there is none; exit code 1

devicectl can remove nothing from a phone, so the app removes the bundles when it is done, and whenever it
starts every bench-* folder that it was not handed.
"""

from __future__ import annotations

import json
import queue
import secrets
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from device_bench import measurement
from device_bench.devices.base import Contender, Request
from device_bench.measurement import Measurement, Validity
from device_bench.session import TAIL, DeviceError
from device_bench.timing import warmed
from device_bench.validity import judge
from pipeline.types import Progress, UsageError

BUNDLE_ID = "org.pocketdistil.app"
RESULT = "measurement.json"
Units = Literal["cpu-only", "cpu-and-ne", "all"]
UNITS: tuple[Units, ...] = ("cpu-only", "cpu-and-ne", "all")
"""Compute units of Core ML, as `--device ios:UDID:UNITS` and the app's --units name them."""
SILENCE = 120.0
"""Seconds without a word after which an app is taken for hung."""
_ENDING = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One measurement by the app."""

    folder: str
    """In its documents, new for each."""
    bundles: Mapping[str, Contender]
    """By their names in the folder, the candidate first."""
    request: Request
    units: Units

    @property
    def result(self) -> str:
        """The measurement's path, relative to the documents."""
        return f"{self.folder}/{RESULT}"

    def arguments(self) -> list[str]:
        """What the app is started with."""
        candidate, *others = (f"{self.folder}/{name}" for name in self.bundles)
        plan, queries = self.request.plan, self.request.queries
        return [
            *("--bench", "--bundle", candidate),
            *(("--baselines", ",".join(others)) if others else ()),
            *("--queries", f"{self.folder}/queries", "--source", queries.source),
            *("--threads", str(self.request.threads), "--warmup", str(warmed(plan, queries))),
            *("--runs", str(plan.runs), "--seconds", f"{plan.seconds:g}"),
            *("--units", self.units, "--result", self.result),
        ]

    def stage(self, documents: Path) -> Path:
        """Writes the folder into `documents`."""
        folder = documents / self.folder
        folder.mkdir(parents=True)
        for name, contender in self.bundles.items():
            shutil.copytree(contender.bundle.path, folder / name)
        self.request.queries.write(folder / "queries")
        return folder


class AppEnded(DeviceError):
    """The app's console ended before it was done. `said` is its last line."""

    def __init__(self, who: str, said: str) -> None:
        self.said = said
        super().__init__(f"{who}: the app ended before it was done" + (f"; last said: {said}" if said else ""))


def ask(request: Request, units: Units, targets: Sequence[str]) -> Asked:
    """What the app is asked. Raises UsageError for what it cannot do."""
    if request.metric != "latency":
        raise UsageError("Apple's devices count no instructions; measure latency there")
    if request.runner != "app":
        raise UsageError(f"there is no {request.runner} runner on an iPhone; give --runner app")
    if request.cpu:
        raise UsageError("an iPhone's app cannot be held to cores; leave the choice of cores out")
    for contender in request.contenders:
        bundle = contender.bundle
        if bundle.target not in targets:
            raise UsageError(f"{bundle.path} is for {bundle.target}; this device runs {', '.join(targets)}")
    names = {f"{contender.role}-{place}": contender for place, contender in enumerate(request.contenders)}
    return Asked(folder=f"bench-{secrets.token_hex(4)}", bundles=names, request=request, units=units)


def follow(command: Sequence[str], who: str, progress: Progress, silence: float = SILENCE) -> None:
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
        _until_done(lines, who, progress, silence)
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


def read(path: Path, who: str, asked: Asked, kind: str) -> Measurement:
    """The app's measurement. Raises DeviceError where it is none, or not of what was asked."""
    try:
        found = measurement.read(path)
    except UsageError as error:
        raise DeviceError(f"{who}: what the app wrote cannot be used: {error}") from None
    request, protocol = asked.request, found.protocol
    wanted = [(contender.role, contender.bundle.seal) for contender in request.contenders]
    fewest = min(len(program.samples_ns) for program in found.programs)
    wrong = {
        f"of a device of kind {found.place.kind}": found.place.kind != kind,
        "of other bundles": [(one.role, one.bundle_seal) for one in found.programs] != wanted,
        "not of the app": any(one.runner != "app" for one in found.programs),
        "of other queries": (protocol.metric, protocol.queries) != ("latency", request.queries.source),
        f"of {fewest} runs instead of {request.plan.runs}": fewest < request.plan.runs,
    }
    for what, is_so in wrong.items():
        if is_so:
            raise DeviceError(f"{who}: the app's measurement is {what}; install the app of this version")
    return found


def placed(found: Measurement, **place: Any) -> Measurement:
    """With what only the Mac knows of the device, and judged again: a reason of either side stands."""
    where = found.place.model_copy(update=place)
    judged = judge(where, found.protocol, found.programs, found.before, found.after)
    reasons = tuple(dict.fromkeys((*found.validity.reasons, *judged.reasons)))
    validity = Validity(valid=found.validity.valid and not reasons, reasons=reasons)
    return found.model_copy(update={"place": where, "validity": validity})


def _read(console: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert console.stdout is not None
    for line in console.stdout:
        lines.put(line)
    lines.put(None)


def _until_done(lines: queue.Queue[str | None], who: str, progress: Progress, silence: float) -> None:
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
        elif word["bench"] == "done":
            return


def _word(line: str) -> dict[str, Any] | None:
    """The line's JSON object where it is the app's, else None: systems print into the same console."""
    try:
        word = json.loads(line)
    except ValueError:
        return None
    return word if isinstance(word, dict) and isinstance(word.get("bench"), str) else None
