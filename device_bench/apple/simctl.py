"""iOS simulators through `xcrun simctl`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device_bench.apple import xcrun
from device_bench.session import DeviceError

BOOT_SECONDS = 600.0
_RUNTIME = re.compile(r"\.SimRuntime\.iOS-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """One simulated iPhone or iPad."""

    udid: str
    name: str
    version: tuple[int, int]
    """Of its iOS."""
    booted: bool

    @property
    def system(self) -> str:
        """iOS 18.2"""
        return f"iOS {self.version[0]}.{self.version[1]}"


def simulators() -> tuple[Simulator, ...]:
    """All usable iOS simulators, the newest iOS first, iPhones before iPads.

    Raises DeviceError where simctl fails or answers in another form.
    """
    done = xcrun.run(["simctl", "list", "devices", "available", "--json"], "simctl")
    if done.returncode:
        raise DeviceError(f"simctl: {xcrun.last_words(done)}")
    try:
        found = [
            Simulator(
                udid=device["udid"],
                name=device["name"],
                version=(int(runtime[1]), int(runtime[2])),
                booted=device["state"] == "Booted",
            )
            for key, devices in json.loads(done.stdout)["devices"].items()
            if (runtime := _RUNTIME.search(key))
            for device in devices
            if device.get("isAvailable", True)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DeviceError("simctl listed its devices in a form that is not known here") from None
    return tuple(
        sorted(found, key=lambda s: (-s.version[0], -s.version[1], "iPhone" not in s.name, s.name, s.udid))
    )


def boot(udid: str, who: str) -> None:
    """Boots a simulator and waits until it can run apps; one that runs already is left as it is."""
    _do(["bootstatus", udid, "-b"], who, BOOT_SECONDS)


def shut_down(udid: str, who: str) -> None:
    """Shuts a simulator down."""
    _do(["shutdown", udid], who)


def install(udid: str, app: Path, who: str) -> None:
    """Installs an .app that was built for simulators."""
    _do(["install", udid, str(app)], who)


def data_folder(udid: str, bundle_id: str, who: str) -> Path | None:
    """The app's data container, a folder on this Mac; None where the app is not installed."""
    done = xcrun.run(["simctl", "get_app_container", udid, bundle_id, "data"], who)
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def launch_command(udid: str, bundle_id: str, arguments: Sequence[str]) -> list[str]:
    """Starts the app anew, its output being ours, until it ends."""
    options = ["--console-pty", "--terminate-running-process"]
    return ["xcrun", "simctl", "launch", *options, udid, bundle_id, *arguments]


def _do(arguments: Sequence[str], who: str, seconds: float = xcrun.SECONDS) -> None:
    done = xcrun.run(["simctl", *arguments], who, seconds)
    if done.returncode:
        raise DeviceError(f"{who}: simctl {arguments[0]} failed: {xcrun.last_words(done)}")
