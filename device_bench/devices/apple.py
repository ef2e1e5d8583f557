"""iPhones, iPads and simulators on this Mac, which run the sample app's benchmark mode; and the Mac itself."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from device_bench.apple import devicectl, sample_app, simctl, xcrun
from device_bench.apple.devicectl import Phone
from device_bench.apple.sample_app import BUNDLE_ID, RESULT, AppEnded, Asked, Units
from device_bench.apple.simctl import Simulator
from device_bench.devices.base import Device, Request
from device_bench.measurement import Measurement
from device_bench.session import DeviceError
from pipeline.types import Progress, UsageError

TARGETS = ("coreml", "executorch", "executorch-coreml")
"""What the sample app can run."""


@dataclass(slots=True, kw_only=True)
class Absent:
    """A device that was asked for and is not there."""

    name: str
    why: str

    def why_unavailable(self) -> str | None:
        return self.why

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Raises DeviceError: there is nothing to measure on."""
        raise DeviceError(f"{self.name}: {self.why}")


@dataclass(slots=True, kw_only=True)
class IPhone:
    """An iPhone or iPad, by cable or in the same network."""

    name: str
    phone: Phone
    units: Units
    cache: Path

    def why_unavailable(self) -> str | None:
        return self.phone.why_unavailable()

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Hands the bundles to the app, runs it, fetches its measurement."""
        who = f"{self.phone.name} ({self.phone.model})"
        asked = sample_app.ask(request, self.units, TARGETS)
        if reason := self.why_unavailable():
            raise DeviceError(f"{self.name}: {reason}")
        self._install(who)
        with tempfile.TemporaryDirectory() as scratch:
            progress.update(0, 1, f"copying {len(asked.bundles)} bundles")
            staged = asked.stage(Path(scratch))
            devicectl.push(self.phone.udid, BUNDLE_ID, staged, f"Documents/{asked.folder}", who)
            answer, result = Path(scratch) / "launch.json", Path(scratch) / RESULT
            command = devicectl.launch_command(self.phone.udid, BUNDLE_ID, asked.arguments(), answer)
            try:
                sample_app.follow(command, who, progress)
            except AppEnded as ended:
                if refused := devicectl.why_refused(answer):
                    raise DeviceError(f"{who}: {refused}") from None
                raise ended from None
            devicectl.pull(self.phone.udid, BUNDLE_ID, f"Documents/{asked.result}", result, who)
            found = sample_app.read(result, who, asked, "ios")
        return sample_app.placed(found, name=self.phone.model, system=self.phone.system)

    def _install(self, who: str) -> None:
        if devicectl.is_installed(self.phone.udid, BUNDLE_ID, who):
            return
        app = _built(self.cache, "ios")
        if app is None:
            raise DeviceError(
                f"{who}: the sample app is not installed: install apps/ios from Xcode, or put its signed "
                f".app into {self.cache / 'apps' / 'ios'}"
            )
        devicectl.install(self.phone.udid, app, who)


@dataclass(slots=True, kw_only=True)
class Simulated:
    """A simulated iPhone: this Mac's processor, no Neural Engine, so its figures show a trend and no more."""

    name: str
    simulator: Simulator
    units: Units
    cache: Path

    def why_unavailable(self) -> str | None:
        return None

    def measure(self, request: Request, progress: Progress) -> Measurement:
        """Boots the simulator where need be, and leaves it as it was."""
        udid, who = self.simulator.udid, f"{self.simulator.name} (simulator)"
        asked = sample_app.ask(request, self.units, TARGETS)
        progress.update(0, 1, "booting the simulator")
        simctl.boot(udid, who)
        try:
            found = self._run(asked, who, progress)
        finally:
            if not self.simulator.booted:
                simctl.shut_down(udid, who)
        return sample_app.placed(found, name=who, system=self.simulator.system, trend_only=True)

    def _run(self, asked: Asked, who: str, progress: Progress) -> Measurement:
        documents = self._documents(who)
        try:
            asked.stage(documents)
            command = simctl.launch_command(self.simulator.udid, BUNDLE_ID, asked.arguments())
            sample_app.follow(command, who, progress)
            return sample_app.read(documents / asked.result, who, asked, "ios-simulator")
        finally:
            shutil.rmtree(documents / asked.folder, ignore_errors=True)

    def _documents(self, who: str) -> Path:
        """The app's documents, after installing it where it is not."""
        udid = self.simulator.udid
        data = simctl.data_folder(udid, BUNDLE_ID, who)
        app = _built(self.cache, "ios-simulator")
        if data is None and app is not None:
            simctl.install(udid, app, who)
            data = simctl.data_folder(udid, BUNDLE_ID, who)
        if data is None:
            raise DeviceError(
                f"{who}: the sample app is not installed: run apps/ios in it from Xcode, or put an .app "
                f"built for simulators into {self.cache / 'apps' / 'ios-simulator'}"
            )
        return data / "Documents"


def find(kind: str, which: str, cache: Path) -> tuple[Device, ...]:
    """`which`: a UDID or name, compute units (cpu-only, cpu-and-ne, all), both, a colon between, or neither.

    Without a UDID `ios` stands for every phone that is paired, `ios-simulator` for those that run, or for one
    iPhone of the newest iOS where none does, `macos` without units for all three of them.
    """
    wanted, units = _split(which)
    name = f"{kind}:{which}" if which else kind
    if kind == "macos":
        return _mac(name, wanted, units)
    tool = "devicectl" if kind == "ios" else "simctl"
    if reason := xcrun.why_missing(tool):
        return (Absent(name=name, why=reason),)
    try:
        return (_phones if kind == "ios" else _simulators)(name, wanted, units or "all", cache)
    except DeviceError as error:
        return (Absent(name=name, why=str(error)),)


def _mac(name: str, wanted: str, units: Units | None) -> tuple[Device, ...]:
    from device_bench.devices import macos
    from exporters import coreml

    if wanted:
        raise UsageError(f"{wanted!r} are no compute units; give {', '.join(sample_app.UNITS)}")
    if reason := coreml.why_not_core_ml():
        return (Absent(name=name, why=reason),)
    return macos.find(units)


def _phones(name: str, wanted: str, units: Units, cache: Path) -> tuple[Device, ...]:
    known = devicectl.phones()
    chosen = [
        phone for phone in known if not wanted or wanted.lower() in (phone.udid.lower(), phone.name.lower())
    ]
    if not chosen:
        there = f"; this Mac knows {', '.join(f'{p.name} ({p.udid})' for p in known)}" if known else ""
        why = f"no device {wanted}{there}" if wanted else "no iPhone or iPad: connect one, unlock it, tap Trust"
        return (Absent(name=name, why=why),)
    return tuple(
        IPhone(name=_name("ios", phone.udid, units), phone=phone, units=units, cache=cache) for phone in chosen
    )


def _simulators(name: str, wanted: str, units: Units, cache: Path) -> tuple[Device, ...]:
    known = simctl.simulators()
    if wanted:
        chosen = [s for s in known if wanted.lower() in (s.udid.lower(), s.name.lower())][:1]
    else:
        chosen = [s for s in known if s.booted] or list(known[:1])
    if not chosen:
        why = f"no simulator {wanted}: xcrun simctl list devices names them" if wanted else None
        return (Absent(name=name, why=why or "no iOS simulator: xcodebuild -downloadPlatform iOS fetches one"),)
    return tuple(
        Simulated(name=_name("ios-simulator", s.udid, units), simulator=s, units=units, cache=cache)
        for s in chosen
    )


def _split(which: str) -> tuple[str, Units | None]:
    """A UDID or name, and compute units."""
    head, _, tail = which.rpartition(":")
    units = next((units for units in sample_app.UNITS if units == tail), None)
    return (head, units) if units else (which, None)


def _name(kind: str, udid: str, units: Units) -> str:
    return f"{kind}:{udid}" if units == "all" else f"{kind}:{udid}:{units}"


def _built(cache: Path, folder: str) -> Path | None:
    """The .app that the user, or a workflow, has put into the cache folder."""
    return next(iter(sorted((cache / "apps" / folder).glob("*.app"))), None)
