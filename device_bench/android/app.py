"""The sample app's benchmark mode on an Android device: started through `am`, its measurement.json pulled.

apps/README.md has the contract. In short: bundles and queries are pushed into a new folder of the app's own
external files, the activity is told their names, and `measurement.json` appears there whole, or `failure.txt`
with a sentence.
"""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_bench import measurement
from device_bench.android import adb
from device_bench.android.looks import Look, look
from device_bench.devices.base import Contender, Request
from device_bench.measurement import Measurement, State, Validity
from device_bench.session import DeviceError
from device_bench.timing import warmed
from device_bench.validity import judge
from pipeline.types import Progress, UsageError

PACKAGE = "org.pocketdistil.app"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
FILES = f"/sdcard/Android/data/{PACKAGE}/files"
"""What the app calls getExternalFilesDir(null), and the shell may write to."""
RESULT, FAILURE = "measurement.json", "failure.txt"
GRACE_SECONDS = 1800.0
"""Beyond what the plan asks for: loading, warming up, slow phones."""
POLL_SECONDS = 0.5


def measure(connection: adb.Connection, looked: Look, request: Request, progress: Progress) -> Measurement:
    """What the app measured, with the device's state as adb sees it.

    Raises DeviceError where the app is not installed, gives up, ends or says nothing, or where its file is no
    measurement of these bundles.
    """
    if request.cpu:
        raise UsageError(
            "the app cannot be held to cores; give --runner native, or leave the choice of cores out"
        )
    if connection.shell(f"pm path {PACKAGE}").code:
        raise DeviceError(
            f"device {connection.serial}: the app {PACKAGE} is not installed; "
            "build apps/android, then adb install it"
        )
    with _folder(connection) as there, tempfile.TemporaryDirectory(prefix="device-bench-") as here:
        names = _push(connection, there, Path(here), request, progress)
        before = look(connection).state()
        _start(connection, there, names, request)
        _wait(connection, there, request, progress)
        after = look(connection).state()
        connection.pull(f"{there}/{RESULT}", Path(here) / RESULT)
        told = _read(connection, Path(here) / RESULT, request)
    return _whole(told, looked, before, after)


def _whole(told: Measurement, looked: Look, before: State, after: State) -> Measurement:
    """The app's measurement with what only adb sees, judged again: a reason of either side stands."""
    seen = looked.place()
    place = told.place.model_copy(
        update={
            "name": seen.name,
            "emulated": told.place.emulated or seen.emulated,
            "trend_only": told.place.trend_only or seen.trend_only,
        }
    )
    before, after = _merged(before, told.before), _merged(after, told.after)
    judged = judge(place, told.protocol, told.programs, before, after)
    reasons = tuple(dict.fromkeys((*told.validity.reasons, *judged.reasons)))
    return told.model_copy(
        update={
            "place": place,
            "before": before,
            "after": after,
            "validity": Validity(valid=told.validity.valid and not reasons, reasons=reasons),
            "made": {**told.made, "device": looked.about()},
        }
    )


def _merged(seen: State, told: State) -> State:
    """adb's view; the app's where adb has none."""
    ours = {name: value for name, value in seen.model_dump().items() if value is not None}
    return State(**{**told.model_dump(), **ours})


@contextmanager
def _folder(connection: adb.Connection) -> Iterator[str]:
    """A new folder among the app's external files; the app is stopped and the folder removed afterwards."""
    connection.check(f"mkdir -p {FILES}")
    stopped = f"am force-stop {PACKAGE}; rm -rf"
    with connection.folder(f"{FILES}/bench.XXXXXXXX", lambda there: f"{stopped} {there}") as there:
        # The app runs as another user than the shell that made the folder.
        connection.check(f"chmod 777 {there}")
        yield there


def _push(
    connection: adb.Connection, there: str, here: Path, request: Request, progress: Progress
) -> dict[str, Contender]:
    """Bundles, whole, and queries; the bundles' names there."""
    needed = sum(
        file.stat().st_size
        for contender in request.contenders
        for file in contender.bundle.path.rglob("*")
        if file.is_file()
    )
    connection.check_room(FILES, needed)
    queries = here / "queries"
    request.queries.write(queries)
    connection.push([queries], f"{there}/queries")
    names = {f"{contender.role}-{number}": contender for number, contender in enumerate(request.contenders)}
    for done, (name, contender) in enumerate(names.items()):
        progress.update(done, len(names), f"pushing {contender.bundle.name}")
        connection.push([contender.bundle.path], f"{there}/{name}")
    return names


def _start(connection: adb.Connection, there: str, names: dict[str, Contender], request: Request) -> None:
    folder = there.rpartition("/")[2]
    candidate, *others = (f"{folder}/{name}" for name in names)
    extras = (
        *("--es", "bundle", candidate, "--es", "queries", f"{folder}/queries"),
        *("--es", "result", f"{folder}/{RESULT}", "--es", "failure", f"{folder}/{FAILURE}"),
        *(("--es", "baselines", ",".join(others)) if others else ()),
        *("--es", "source", request.queries.source),
        *(
            "--ei",
            "threads",
            str(request.threads),
            "--ei",
            "warmup",
            str(warmed(request.plan, request.queries)),
        ),
        *("--ei", "runs", str(request.plan.runs), "--ef", "seconds", f"{request.plan.seconds:g}"),
    )
    told = connection.shell(shlex.join(("am", "start", "-W", "-S", "-n", ACTIVITY, *extras)))
    said = f"{told.output}\n{told.errors}"
    wrong = re.search(r"^(?:Error: |.*Exception.*?: |Status: (?!ok|timeout))(.+)$", said, re.M)
    if told.code or wrong:
        last = wrong[0].strip() if wrong else (said.strip().splitlines() or ["no word of it"])[-1]
        raise DeviceError(f"device {connection.serial}: {ACTIVITY} did not start: {last[: adb.TAIL]}")


def _wait(connection: adb.Connection, there: str, request: Request, progress: Progress) -> None:
    """Until the result is there. The file is looked for after the process: it may end once it has written."""
    limit = GRACE_SECONDS + 10 * request.plan.seconds
    began = time.monotonic()
    script = f"echo pid:$(pidof {PACKAGE}); cd {there} && ls; [ -r {FAILURE} ] && cat {FAILURE}"
    while (passed := time.monotonic() - began) < limit:
        process, *told = connection.shell(script).output.splitlines() or [""]
        if RESULT in told:
            return
        if FAILURE in told:
            why = told[-1].strip()[: adb.TAIL] if told[-1] != FAILURE else "it does not say why"
            raise DeviceError(f"device {connection.serial}: the app gave up: {why}")
        if process.strip() == "pid:":
            raise DeviceError(
                f"device {connection.serial}: the app ended without a result; "
                f"adb -s {connection.serial} logcat -b crash says more"
            )
        progress.update(min(passed, limit), limit, "the app is measuring")
        time.sleep(POLL_SECONDS)
    raise DeviceError(f"device {connection.serial}: the app gave no result within {limit:.0f} s")


def _read(connection: adb.Connection, file: Path, request: Request) -> Measurement:
    """Raises DeviceError where the file is no measurement, or one of something else."""
    try:
        told = measurement.read(file)
    except UsageError as error:
        reason = str(error).partition(f"{file} ")[2] or str(error)
        raise DeviceError(f"device {connection.serial}: what the app wrote {reason}") from None
    asked = [contender.bundle.seal for contender in request.contenders]
    if [program.bundle_seal for program in told.programs] != asked or told.place.kind != "adb":
        raise DeviceError(f"device {connection.serial}: what the app wrote is a measurement of something else")
    if any(program.runner != "app" for program in told.programs):
        raise DeviceError(
            f"device {connection.serial}: what the app wrote does not say that an app measured it"
        )
    return told
