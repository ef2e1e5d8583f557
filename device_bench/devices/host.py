"""This machine: bundles in their Python runtimes, or in native runners as a phone has them."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_bench import machine
from device_bench.devices.base import Contender, Request
from device_bench.measurement import Measurement, Place, State
from device_bench.python_runner import XNNPACK, runtime_of
from device_bench.records import check_pairs, footprint, made, protocol_of, timed_program
from device_bench.session import Session
from device_bench.texts import time_texts
from device_bench.timing import STARTS, time_runners
from device_bench.validity import judge
from pipeline.types import Progress, UsageError

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
ZONES = Path("/sys/class/thermal")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that this runs on."""

    name: str = "host"

    def why_unavailable(self) -> str | None:
        """It is always here; a runtime that is missing is a sentence of its own."""
        return None

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Times the contenders in turns, and leaves nothing behind. Raises PipelineError in a sentence."""
        _check(request)
        runners = {_key(contender): _launcher(contender, request) for contender in request.contenders}
        libraries: dict[str, int | None] = {}
        with tempfile.TemporaryDirectory(prefix="device-bench-") as folder:
            queries = Path(folder) / "queries"
            request.queries.write(queries)
            before = state()
            timed = time_runners(
                {key: runner.starting(queries) for key, runner in runners.items()},
                request.plan,
                request.queries,
                progress,
                fresh=STARTS,
                running=lambda key, session: libraries.update({key: runners[key].libraries(session.pid)}),
            )
            after = state()
        progress.update(1, 1, "tokenizing and decoding")
        tokenizing, decoding = time_texts(request.contenders[0].bundle)
        programs = tuple(
            timed_program(
                contender,
                request,
                timed[key],
                delegate=runners[key].delegate,
                size=footprint(contender.bundle, libraries[key], _on_disk(contender.bundle.path)),
                tokenize_ns=tokenizing if contender.role == "candidate" else (),
                decode_ns=decoding if contender.role == "candidate" else (),
            )
            for contender in request.contenders
            for key in [_key(contender)]
        )
        place, protocol = _place(), protocol_of(request)
        return Measurement(
            place=place,
            before=before,
            after=after,
            protocol=protocol,
            programs=programs,
            validity=judge(place, protocol, programs, before, after),
            made=made(),
        )


def find(kind: str, which: str, cache: Path) -> tuple[Host, ...]:
    """The one host. Raises UsageError where something follows the colon."""
    if which:
        raise UsageError(f"there is only one host; give --device host, not {kind}:{which}")
    return (Host(),)


def state() -> State:
    """What may disturb a measurement here; None where the system does not tell."""
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return State(
        temperature_celsius=_hottest(),
        governor=_read(GOVERNOR),
        pinned_to=tuple(affinity) if affinity and len(affinity) < (os.cpu_count() or 1) else None,
        load_average=machine.load_average(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launcher:
    """How one contender's runner is started."""

    who: str
    command: tuple[str, ...]
    delegate: str
    libraries: Callable[[int], int | None]
    """Bytes of the runtime's libraries, of the process that has loaded them."""

    libraries_in: Path | None = None
    """Where the system's loader is to look first."""

    def starting(self, queries: Path) -> Callable[[], Session]:
        first = {"LD_LIBRARY_PATH": str(self.libraries_in)} if self.libraries_in else {}
        command = [*self.command, "--queries", str(queries)]
        return lambda: Session(command, self.who, environment={**os.environ, **first})


def _launcher(contender: Contender, request: Request) -> _Launcher:
    bundle = contender.bundle
    who = f"{bundle.name} ({contender.role}) on the host"
    threads = ("--threads", str(request.threads))
    if request.runner == "native":
        from device_bench import native_runners

        native = native_runners.runner(bundle.target, "host", request.cache)
        return _Launcher(
            who=who,
            command=(*native.command(), "--program", str(bundle.program), *threads),
            delegate=XNNPACK,
            libraries=lambda pid: native.runtime_bytes,
            libraries_in=native.binary.parent,
        )
    runtime = runtime_of(bundle.target)
    return _Launcher(
        who=who,
        command=(sys.executable, "-m", "device_bench.python_runner", "--bundle", str(bundle.path), *threads),
        delegate=runtime.delegate,
        libraries=lambda pid: _mapped(pid, runtime.packages),
    )


def _mapped(pid: int, packages: tuple[str, ...]) -> int | None:
    """Bytes of these packages' libraries that the process has mapped; None where the system does not tell."""
    try:
        lines = (PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    fields = [line.split(None, 5) for line in lines]
    code = {Path(field[5]) for field in fields if len(field) == 6 and "x" in field[1]}
    return sum(path.stat().st_size for path in code if set(packages) & set(path.parts) and path.is_file())


def _check(request: Request) -> None:
    if request.metric != "latency":
        raise UsageError("the host measures latency; instructions are counted with --device arm64-emulator")
    if request.cpu:
        raise UsageError("the host has no big and little cores to choose from; leave --cores out")
    if request.runner == "app":
        raise UsageError("the host has no app to run; give --runner python or --runner native")
    check_pairs(request.contenders, request.queries)


def _key(contender: Contender) -> str:
    return f"{contender.role} {contender.bundle.path}"


def _place() -> Place:
    return Place(
        kind="host",
        name=platform.node() or "this machine",
        emulated=False,
        processor=machine.processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
    )


def _on_disk(folder: Path) -> int | None:
    """Bytes of the blocks that the folder's files take; None where the system counts no blocks."""
    sizes = [getattr(file.stat(), "st_blocks", None) for file in folder.rglob("*") if file.is_file()]
    return None if None in sizes else 512 * sum(size for size in sizes if size is not None)


def _hottest() -> float | None:
    """Of the system's thermal zones, in °C."""
    read = [_read(zone / "temp") for zone in sorted(ZONES.glob("thermal_zone*"))]
    found = [int(text) / 1000 for text in read if text and text.lstrip("-").isdecimal()]
    return max(found) if found else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
