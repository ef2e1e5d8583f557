"""An Android device through the real adb: native runners pushed to it and timed there, and the app's own mode.

Everything a measurement needs goes into one new folder of the device, is checked there against its SHA-256 and
is removed again, however the measurement ends.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from device_bench import agreement, native_runners
from device_bench.android import adb
from device_bench.android import app as android_app
from device_bench.android import looks as android
from device_bench.devices.base import Contender, Request
from device_bench.measurement import Likeness, Measurement
from device_bench.native_runners import NativeRunner
from device_bench.protocol import Plan
from device_bench.python_runner import XNNPACK
from device_bench.records import assembled, check_pairs, footprint, protocol_of, timed_program
from device_bench.session import PATIENCE_SECONDS, DeviceError, Session
from device_bench.timing import STARTS, time_runners
from pipeline.types import PipelineError, Progress, UsageError

ROOM = "/data/local/tmp"
"""Where Android lets its shell write and execute."""
QUERIES, OUTPUTS = "queries", "outputs"
COMPARED = 4
"""Windows whose logits are held against the host's."""
EMULATED = Plan(warmup=1, runs=2)
"""For a device whose times mean nothing."""
ARM64 = "aarch64"

Runners = Callable[[str, Path], NativeRunner]
"""Target and cache folder → the arm64 runner."""


def built(target: str, cache: Path) -> NativeRunner:
    """The project's own. Raises MissingTool where set-up has not been run, UsageError for a target without."""
    return native_runners.runner(target, "arm64", cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class Android:
    """A device behind adb, there or not."""

    name: str
    """adb, or adb:SERIAL."""
    cache: Path
    client: adb.Adb | None = None
    """None: adb from PATH, or the one set up in the cache."""
    runners: Runners = built
    patience: float = PATIENCE_SECONDS
    """Seconds in which a runner has to say something."""

    @property
    def serial(self) -> str:
        return self.name.partition(":")[2]

    def why_unavailable(self) -> str | None:
        """What adb says of it, as a sentence with what to do; None where it is ready."""
        try:
            self.connect()
        except PipelineError as error:
            return str(error)
        return None

    def connect(self) -> adb.Connection:
        """Raises MissingTool without adb, DeviceError where the device is not there or not ready."""
        connection = (self.client or adb.find(self.cache)).pick(self.serial)
        if not connection.supports_streams():
            raise DeviceError(
                f"device {connection.serial}: its adbd keeps no exit codes, so Android 7 or later is needed"
            )
        return connection

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Runs the contenders there in turns.

        Raises UsageError, MissingTool or DeviceError; the device is left as it was, and nothing is returned
        that is not whole.
        """
        _check(request)
        connection = self.connect()
        looked = android.look(connection)
        cores = looked.pick_cores(request.cpu, request.threads) if request.cpu else None
        if request.runner == "app":
            return android_app.measure(connection, looked, request, progress)
        if looked.machine != ARM64:
            raise UsageError(
                f"device {connection.serial} has a processor {looked.machine}, native runners are for {ARM64}; "
                "give --runner app"
            )
        native = self.runners(request.contenders[0].bundle.target, request.cache)
        if looked.under_qemu:
            request = replace(request, plan=EMULATED)
            progress.say(f"{android.EMULATED_NAME}: its times mean nothing, so few runs are made")
        with _losses_named(connection), tempfile.TemporaryDirectory(prefix="device-bench-") as here:
            queries = Path(here) / QUERIES
            request.queries.write(queries)
            files = [*native.files, queries]
            with connection.folder(f"{ROOM}/pocket-distil.XXXXXXXX", _ended) as there:
                names = [f"program-{number}" for number in range(len(request.contenders))]
                contenders = dict(zip(names, request.contenders, strict=True))
                _push(connection, there, files, contenders, progress)
                run = _Run(self, connection, native, there, Path(here), contenders, cores)
                return run.measure(request, looked, progress)


@dataclass(frozen=True, slots=True)
class _Run:
    """One measurement in a folder that holds everything it needs."""

    device: Android
    connection: adb.Connection
    native: NativeRunner
    there: str
    here: Path
    contenders: Mapping[str, Contender]
    """The names of their programs there → what they are."""
    cores: tuple[int, ...] | None

    def measure(self, request: Request, looked: android.Look, progress: Progress) -> Measurement:
        got: dict[str, tuple[int, ...] | None] = {}
        before = looked.state(self.cores)
        timed = time_runners(
            {name: self.starting(name, request) for name in self.contenders},
            request.plan,
            request.queries,
            progress,
            fresh=1 if looked.under_qemu else STARTS,
            running=lambda name, session: got.update({name: self.allowed_cores(name)} if self.cores else {}),
        )
        after_look = android.look(self.connection)
        after = after_look.state(self.cores)
        likenesses = {name: self.likeness(name, request) for name in self.contenders}
        sizes = self.on_device_bytes()
        records = tuple(
            timed_program(
                contender,
                request,
                timed[name],
                delegate=XNNPACK,
                size=footprint(contender.bundle, self.native.runtime_bytes, sizes.get(name)),
                likeness=likenesses[name],
            )
            for name, contender in self.contenders.items()
        )
        return assembled(
            looked.place(),
            protocol_of(request),
            records,
            before,
            after,
            also=_pinning(self.cores, got.values()),
            adb=self.connection.adb.version(),
            device_before=looked.about(),
            device_after=after_look.about(),
        )

    def likeness(self, program: str, request: Request) -> Likeness | None:
        """Its logits for the first windows beside the host's; None where the host cannot run it."""
        windows = request.queries.windows[:COMPARED]
        with self.starting(program, request, "--outputs", f"./{program}.{OUTPUTS}")() as session:
            for number in range(len(windows)):
                session.run(number)
            session.end()
        outputs = f"{program}.{OUTPUTS}"
        self.connection.pull(f"{self.there}/{outputs}", self.here / outputs)
        return agreement.likeness(self.contenders[program].bundle, windows, self.here / outputs)

    def starting(self, program: str, request: Request, *more: str) -> Callable[[], Session]:
        """Starts a runner there; its process number is left in a file beside its program."""
        pinned = ("taskset", _mask(self.cores)) if self.cores else ()
        flags = ("--program", f"./{program}", "--queries", f"./{QUERIES}", "--threads", str(request.threads))
        command = shlex.join((*pinned, *self.native.command("."), *flags, *more))
        script = f"cd {self.there} && echo $$ > {program}.pid && exec {command}"
        contender = self.contenders[program]
        who = f"{contender.bundle.name} ({contender.role}) on {self.connection.serial}"
        return lambda: Session(
            self.connection.command(script),
            who,
            environment=self.connection.adb.whole_environment(),
            patience=self.device.patience,
        )

    def allowed_cores(self, program: str) -> tuple[int, ...] | None:
        """The cores that a running runner may use, as the kernel says; None where it does not."""
        told = self.connection.shell(f"cd {self.there} && read -r p < {program}.pid && cat /proc/$p/status")
        found = re.search(r"^Cpus_allowed_list:\s*(\S+)", told.output, re.M)
        return parse_list(found[1]) if found else None

    def on_device_bytes(self) -> dict[str, int]:
        """What each program takes there, in whole blocks; empty where the device cannot tell."""
        told = self.connection.shell(f"cd {self.there} && stat -c '%b %B %n' {shlex.join(self.contenders)}")
        found = re.findall(r"^(\d+) (\d+) (\S+)$", told.output, re.M)
        return {name: int(blocks) * int(size) for blocks, size, name in found}


def find(kind: str, which: str, cache: Path) -> tuple[Android, ...]:
    """The device of that serial, or the only one."""
    return (Android(name=f"{kind}:{which}" if which else kind, cache=cache),)


def serials(cache: Path) -> tuple[adb.Seen, ...]:
    """What adb sees. Raises MissingTool without adb, DeviceError where its server does not come up."""
    return adb.find(cache).devices()


def _ended(there: str) -> str:
    """The script that kills the processes whose folder this is, and removes it."""
    return (
        f'for f in {there}/*.pid; do [ -r "$f" ] && read -r p < "$f" && '
        f'[ "$(readlink /proc/$p/cwd)" = {there} ] && kill -9 "$p"; done; rm -rf {there}'
    )


def parse_list(text: str) -> tuple[int, ...]:
    """The kernel's lists of CPUs: `0-3,6` → 0 1 2 3 6."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


@contextmanager
def _losses_named(connection: adb.Connection) -> Iterator[None]:
    """Where a runner failed because its device went away, says the latter."""
    try:
        yield
    except DeviceError as error:
        gone = connection.why_gone()
        if gone and gone not in str(error):
            raise DeviceError(f"{gone}; that was in the middle of the measurement: nothing is kept") from None
        raise


def _push(
    connection: adb.Connection,
    there: str,
    files: Sequence[Path],
    contenders: Mapping[str, Contender],
    progress: Progress,
) -> None:
    """Pushes everything and checks it there."""
    programs = {name: contender.bundle.program for name, contender in contenders.items()}
    whole = {**{file.name: file for file in files}, **programs}
    connection.check_room(there, sum(file.stat().st_size for file in whole.values()))
    for done, (name, file) in enumerate(whole.items()):
        progress.update(done, len(whole), f"pushing {name}")
        connection.push([file], f"{there}/{name}")
    _verify(connection, there, whole)


def _verify(connection: adb.Connection, there: str, files: Mapping[str, Path]) -> None:
    """Makes files executable, and takes the device's SHA-256 of each where it has the tool (Android 6 on)."""
    names = shlex.join(files)
    told = connection.shell(f"cd {there} && chmod 755 {names} && sha256sum {names}", timeout=adb.PUSH_SECONDS)
    found = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})\s+\*?(\S+)$", told.output, re.M)}
    if told.code == 127:
        return
    for name, file in files.items():
        with file.open("rb") as opened:
            if found.get(name) != hashlib.file_digest(opened, "sha256").hexdigest():
                raise DeviceError(f"device {connection.serial}: {name} differs there from what was pushed")


def _mask(cores: Sequence[int]) -> str:
    """taskset's mask: hexadecimal, without 0x, as toybox and util-linux both read it."""
    return f"{sum(1 << core for core in cores):x}"


def _pinning(asked: tuple[int, ...] | None, got: Iterable[tuple[int, ...] | None]) -> Iterator[str]:
    for cores in dict.fromkeys(got) if asked else ():
        if cores is not None and cores != asked:
            yield f"asked for cores {asked}, and a runner was let onto {cores}"


def _check(request: Request) -> None:
    if request.metric != "latency":
        raise UsageError("a phone measures latency; instructions are counted with --device arm64-emulator")
    if request.runner == "python":
        raise UsageError("an Android device has no Python runtime; give --runner native or --runner app")
    if request.contenders[0].bundle.program.is_dir():
        raise UsageError(f"programs for {request.contenders[0].bundle.target} do not run on Android")
    check_pairs(request.contenders, request.queries)
