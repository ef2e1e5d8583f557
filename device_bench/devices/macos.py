"""This Mac, through Core ML: contenders in turns, for one choice of compute units."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_bench import machine
from device_bench.apple.sample_app import UNITS, Units
from device_bench.devices.base import Contender, Device, Request
from device_bench.measurement import Measurement, Place, State, Wish
from device_bench.records import check_pairs, footprint, made, protocol_of, timed_program
from device_bench.session import TAIL, Session
from device_bench.texts import time_texts
from device_bench.timing import time_runners
from device_bench.validity import judge
from pipeline.types import Progress, UsageError

DELEGATE = "Core ML"
VIEW_SECONDS = 600.0


@dataclass(slots=True)
class Mac:
    """The Mac that this runs on, with these compute units allowed."""

    units: Units
    name: str = ""

    def __post_init__(self) -> None:
        self.name = f"macos:{self.units}"

    def why_unavailable(self) -> str | None:
        from exporters import coreml

        return coreml.why_not_core_ml()

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Times the contenders in turns, then asks coremltools for its view of each.

        Raises UsageError or DeviceError; leaves nothing behind.
        """
        _check(request)
        # Whatever was asked for, a session in Python is what calls Core ML here.
        request = dataclasses.replace(request, runner="python")
        with tempfile.TemporaryDirectory(prefix="device-bench-") as folder:
            queries = Path(folder) / "queries"
            request.queries.write(queries)
            flags = {
                f"{contender.role} {contender.bundle.path}": (
                    *("--bundle", str(contender.bundle.path), "--units", self.units),
                    *("--compiled", str(Path(folder) / f"{number}.mlmodelc"), "--queries", str(queries)),
                )
                for number, contender in enumerate(request.contenders)
            }
            before = state()
            timed = time_runners(
                {key: _start(key, given) for key, given in flags.items()},
                request.plan,
                request.queries,
                progress,
            )
            after = state()
            progress.update(1, 1, "coremltools' own view")
            views = {key: view(given) for key, given in flags.items()}
        tokenizing, decoding = time_texts(request.contenders[0].bundle)
        programs = tuple(
            timed_program(
                contender,
                request,
                timed[key],
                delegate=DELEGATE,
                size=footprint(contender.bundle),
                compute_unit=Wish(asked=self.units, got=units_got(self.units, views[key].get("placement"))),
                tokenize_ns=tokenizing if contender.role == "candidate" else (),
                decode_ns=decoding if contender.role == "candidate" else (),
            )
            for key, contender in zip(flags, request.contenders, strict=True)
        )
        place, protocol = _place(), protocol_of(request)
        return Measurement(
            place=place,
            before=before,
            after=after,
            protocol=protocol,
            programs=programs,
            validity=judge(place, protocol, programs, before, after),
            made={**made(), "coremltools": _by_program(request.contenders, views)},
        )


def find(units: Units | None) -> tuple[Device, ...]:
    """The Mac with those compute units, or with each choice of them."""
    return tuple(Mac(one) for one in ([units] if units else UNITS))


def state() -> State:
    """What may disturb a measurement on a Mac; None where `pmset` does not tell."""
    percent, charging = power(_pmset("batt"))
    return State(
        thermal=thermal(_pmset("therm")),
        battery_percent=percent,
        charging=charging,
        load_average=machine.load_average(),
    )


def thermal(told: str) -> str | None:
    """`pmset -g therm`: nominal where nothing is recorded or limited, else the level or the limit that is."""
    levels = re.findall(r"(?:[Tt]hermal|[Pp]erformance) [Ww]arning [Ll]evel\D*?[:=]\s*(\d+)", told)
    limits = re.findall(r"CPU_(?:Speed|Scheduler)_Limit\s*=\s*(\d+)", told)
    if any(int(level) for level in levels):
        return f"warning level {max(map(int, levels))}"
    if any(int(limit) < 100 for limit in limits):
        return f"processor limited to {min(map(int, limits))} %"
    if levels or limits or re.search(r"No thermal warning level has been recorded", told):
        return "nominal"
    return None


def power(told: str) -> tuple[float | None, bool | None]:
    """`pmset -g batt`: per cent of the battery, and whether the Mac is on mains; None where it has none."""
    percent = re.search(r"\t(\d+)%", told)
    source = re.search(r"Now drawing from '(.+?)'", told)
    return float(percent[1]) if percent else None, source[1] == "AC Power" if source else None


def units_got(asked: Units, placement: Mapping[str, int] | None) -> str | None:
    """What was asked, unless Core ML plans nothing for the Neural Engine that was; None where it does not tell.

    With all units allowed the choice is Core ML's, so whatever it chooses is what was asked for.
    """
    if placement is None:
        return None
    if asked == "all":
        return asked
    return "cpu-and-ne" if "neural engine" in placement else "cpu-only"


def _check(request: Request) -> None:
    if request.metric != "latency":
        raise UsageError("a Mac measures latency; instructions are counted with --device arm64-emulator")
    if request.cpu:
        raise UsageError("Core ML cannot be held to cores; leave the choice of cores out")
    if request.runner == "native":
        raise UsageError("Core ML has no native runner here; give --runner python")
    for contender in request.contenders:
        if contender.bundle.target != "coreml":
            raise UsageError(
                f"{contender.bundle.path} is for {contender.bundle.target}; macos runs bundles for coreml, "
                "--device host the others"
            )
    check_pairs(request.contenders, request.queries)


def _start(key: str, flags: tuple[str, ...]) -> Callable[[], Session]:
    command = [sys.executable, "-m", "device_bench.apple.coreml_runner", *flags]
    return lambda: Session(command, f"{key} on this Mac")


def view(flags: tuple[str, ...]) -> dict[str, Any]:
    """coremltools' view of one program, or why there is none: the times taken in turns stand without it."""
    command = [sys.executable, "-m", "device_bench.apple.coreml_view", *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=VIEW_SECONDS)
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"why_not": f"no answer within {VIEW_SECONDS:g} s"}
    except (ValueError, IndexError):
        return {"why_not": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:TAIL]}
    return told


def _by_program(contenders: tuple[Contender, ...], views: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(contenders, views.values(), strict=True)
    return [{"role": contender.role, "name": contender.bundle.name, **view} for contender, view in pairs]


def _place() -> Place:
    version = platform.mac_ver()[0]
    return Place(
        kind="macos",
        name=f"Mac, {machine.processor()}",
        emulated=False,
        processor=machine.processor(),
        cores=os.cpu_count() or 1,
        system=f"macOS {version}" if version else f"{platform.system()} {platform.release()}",
    )


def _pmset(what: str) -> str:
    try:
        return subprocess.run(
            ["pmset", "-g", what], capture_output=True, text=True, errors="replace", timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
