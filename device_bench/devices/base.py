"""What every device can do, and how one is found by what the user calls it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from device_bench.measurement import Measurement, Metric, Role
from device_bench.protocol import Plan
from device_bench.queries import Queries
from pipeline.bundles import Bundle
from pipeline.types import Progress, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A bundle and the part it plays in a measurement."""

    role: Role
    bundle: Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure, the same for every device."""

    contenders: tuple[Contender, ...]
    """The candidate first; all of one target."""
    metric: Metric
    plan: Plan
    queries: Queries
    threads: int = 1
    runner: Literal["native", "python", "app"] = "native"
    cpu: str | None = None
    """The cores to be held to on a phone: big, little."""
    cache: Path = Path()
    """Where set-up tools and built runners are kept."""


class Device(Protocol):
    """One place where programs can be run."""

    @property
    def name(self) -> str:
        """What `--device` calls it."""

    def why_unavailable(self) -> str | None:
        """A sentence that says what is missing and how to get it, or None."""

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Runs the contenders. Raises DeviceError, and leaves nothing on the device, where one fails."""


Finder = Callable[[str, str, Path], tuple[Device, ...]]
"""What each device's module has as `find`: the kind, what followed the colon, the cache folder → devices."""

KINDS: Mapping[str, str] = {
    "host": "this machine",
    "arm64-emulator": "arm64 cores under QEMU, for counting instructions (:cortex-a76 or :i8mm for one)",
    "adb": "an Android device or emulator: adb:SERIAL, or adb where there is one",
    "ios": "an iPhone or iPad on this Mac: ios:UDID",
    "ios-simulator": "a simulator on this Mac: ios-simulator:UDID",
    "macos": "this Mac, through Core ML",
}
"""What `--device` takes, before a colon."""


def find(name: str, cache: Path) -> tuple[Device, ...]:
    """The devices of that name, whether or not they are there; a name may stand for several.

    Raises UsageError for an unknown kind.
    """
    kind, _, which = name.partition(":")
    if kind not in KINDS:
        raise UsageError(f"unknown device {name!r}; devices are {', '.join(KINDS)}")
    module = "apple" if kind in ("ios", "ios-simulator", "macos") else kind.replace("-", "_")
    make: Finder = importlib.import_module(f"device_bench.devices.{module}").find
    return make(kind, which, cache)


def parse(names: Sequence[str], cache: Path) -> tuple[Device, ...]:
    """Devices from flags, each of which may be a comma list; each device once."""
    parts = dict.fromkeys(part.strip() for name in names for part in name.split(","))
    found = {device.name: device for part in parts for device in find(part, cache)}
    return tuple(found.values())
