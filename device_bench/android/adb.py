"""The real `adb`, called: which devices it sees, and what can be done on one of them.

The program and no library: a Session wants a process with standard input, output, error and an exit code, and
`adb shell -T` is one. adbutils speaks to the same server but gives no such stream; adb-shell is a second
implementation of the protocol. Everything here goes through `adb`, so what works there works here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_bench.session import DeviceError
from device_bench.toolchain import debian
from pipeline.types import MissingTool, Progress

SOURCE = debian.Source(suite="bookworm", architecture="amd64")
PACKAGES = ("adb",)
PROGRAM = "usr/lib/android-sdk/platform-tools/adb"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
OWN_LIBRARIES = ("libusb-1.0", "libbsd", "libmd", "libudev")
"""Of what adb depends on, the libraries that a system need not have; libc and libstdc++ are the system's."""
PATIENCE_SECONDS = 60.0
"""For a command that has little to do; what takes longer than that is not coming back."""
PUSH_SECONDS = 1800.0
TAIL = 300
SLACK_BYTES = 8 << 20
"""Room for what is written there besides what is pushed, and for file systems that round up."""

_STATE = re.compile(
    r"^(?P<serial>\S.*?)\s+(?P<state>device|offline|unauthorized|authorizing|connecting|bootloader|host|recovery"
    r"|rescue|sideload|detached|unknown|no device|no permissions(?: \([^)]*\))?)"
    r"(?:;? see \[[^\]]*\])?(?P<about>(?:\s+\w+:\S+)*)\s*$"
)
"""A line of `adb devices -l`: the serial, padded, the state, key:value pairs."""
_ADB_SAYS = re.compile(r"^(?:error|adb: error|adb): (?P<what>.+)$", re.M)
_FULL = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.I)
_REFUSED = re.compile(r"Permission denied|Read-only file system|Operation not permitted", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    model: str | None = None

    @property
    def why_not(self) -> str | None:
        """A sentence where the device cannot be used as it is."""
        return None if self.state == "device" else _why_not(self.serial, self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command on the device that came to its end."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adb:
    """The program, and what is added to the environment it is called in."""

    program: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def whole_environment(self) -> dict[str, str]:
        """Ours with what is added."""
        return {**os.environ, "LC_ALL": "C", **self.environment}

    def call(self, *arguments: str, timeout: float = PATIENCE_SECONDS) -> Ran:
        """Runs adb. Raises DeviceError where it cannot be started or does not end in time."""
        try:
            ran = subprocess.run(
                [str(self.program), *arguments],
                env=self.whole_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
            )
        except OSError as error:
            raise DeviceError(f"{self.program} cannot be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            words = shlex.join(arguments)[:80]
            raise DeviceError(f"adb did not answer within {timeout:.0f} s to: {words}") from None
        return Ran(
            code=ran.returncode,
            output=ran.stdout.decode("utf-8", "replace").replace("\r\n", "\n"),
            errors=ran.stderr.decode("utf-8", "replace").replace("\r\n", "\n"),
        )

    def version(self) -> str:
        """As `adb version` says in its second line, or its first."""
        lines = self.call("version").output.splitlines()
        return next((line.removeprefix("Version ") for line in lines if line.startswith("Version ")), lines[0])

    def devices(self) -> tuple[Seen, ...]:
        """What is attached, usable or not. Raises DeviceError where adb's server does not come up."""
        ran = self.call("devices", "-l")
        if ran.code:
            raise DeviceError(f"adb cannot list its devices: {_last(ran)}")
        return parse_devices(ran.output)

    def pick(self, serial: str = "") -> Connection:
        """The device of that serial; without one, $ANDROID_SERIAL, or the only one there is.

        Raises DeviceError, with what to do, where it is not there, not ready, or not the only one.
        """
        serial = serial or self.whole_environment().get("ANDROID_SERIAL", "")
        seen = self.devices()
        serials = ", ".join(device.serial for device in seen)
        if not seen:
            wanted = f"no device {serial}: adb sees none" if serial else "adb sees no device"
            raise DeviceError(
                f"{wanted}; connect a phone with USB debugging on, start an emulator, "
                "or run adb connect HOST:PORT"
            )
        if serial:
            found = next((device for device in seen if device.serial == serial), None)
            if found is None:
                raise DeviceError(f"no device {serial}; adb sees {serials}")
        elif len(ready := [device for device in seen if device.why_not is None]) > 1:
            several = ", ".join(f"adb:{device.serial}" for device in ready)
            raise DeviceError(f"adb sees several devices; say which: {several}")
        else:
            found = (ready or seen)[0]
        if found.why_not:
            raise DeviceError(found.why_not)
        return Connection(adb=self, serial=found.serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One device behind adb."""

    adb: Adb
    serial: str

    def shell(self, script: str, timeout: float = PATIENCE_SECONDS) -> Ran:
        """A script for the device's shell, to its end. Raises DeviceError where adb loses the device."""
        ran = self._call("shell", "-T", script, timeout=timeout)
        if ran.code and (said := _ADB_SAYS.search(ran.errors)) and (gone := self.why_gone()):
            raise DeviceError(f"{gone} (adb: {said['what'].strip()[:TAIL]})")
        return ran

    def check(self, script: str, timeout: float = PATIENCE_SECONDS) -> str:
        """What a script that must succeed prints. Raises DeviceError with its own words where it fails."""
        ran = self.shell(script, timeout)
        if ran.code:
            raise self.failure(f"{shlex.join(shlex.split(script)[:3])} failed", ran)
        return ran.output

    def command(self, script: str) -> list[str]:
        """What to start here so that `script` runs there, its standard streams and exit code being real."""
        return [str(self.adb.program), "-s", self.serial, "shell", "-T", script]

    @contextmanager
    def folder(self, template: str, cleanup: Callable[[str], str]) -> Iterator[str]:
        """A new folder on the device, named after mktemp's template; `cleanup` is the script that ends its use.

        Where the device is gone there is nothing more to do: what it then keeps is named in the sentence.
        """
        there = self.check(f"mktemp -d {template}").strip()
        if not there.startswith(template.rstrip("X")):
            raise DeviceError(f"device {self.serial}: mktemp said {there[:80]!r}, which is no folder")
        try:
            yield there
        except BaseException as error:
            try:
                self.shell(cleanup(there))
            except DeviceError:
                error.add_note(f"{there} was not removed")
            raise
        else:
            self.check(cleanup(there))

    def push(self, files: Sequence[Path], folder: str) -> None:
        """Files into a folder of the device. Raises DeviceError: full, refused, vanished."""
        ran = self._call("push", *map(str, files), folder, timeout=PUSH_SECONDS)
        if ran.code:
            raise self.failure(f"pushing to {folder} failed", ran)

    def pull(self, file: str, target: Path) -> None:
        """One file of the device. Raises DeviceError where it is not there, or the device is not."""
        ran = self._call("pull", file, str(target), timeout=PUSH_SECONDS)
        if ran.code or not target.is_file():
            raise self.failure(f"pulling {file} failed", ran)

    def check_room(self, folder: str, needed_bytes: int) -> None:
        """Raises DeviceError where a folder's file system has less. A df not understood is left to pushing."""
        lines = self.shell(f"df -k {folder}").output.splitlines()
        figures = re.search(r"\s(\d+)\s+(\d+)\s+(\d+)\s+\d+%", lines[-1]) if lines else None
        free = int(figures[3]) * 1024 if figures else None
        needed = needed_bytes + SLACK_BYTES
        if free is not None and free < needed:
            raise DeviceError(
                f"device {self.serial} is full: {free / 1e6:.0f} MB are free for {folder}, and the measurement "
                f"needs {needed / 1e6:.0f} MB; free some of its storage"
            )

    def supports_streams(self) -> bool:
        """Whether its shell keeps output and errors apart and gives exit codes: Android 7 and later."""
        return "shell_v2" in self._call("features").output.split()

    def why_gone(self) -> str | None:
        """A sentence where the device is no longer there as it was."""
        seen = {device.serial: device for device in self.adb.devices()}
        if self.serial not in seen:
            return f"device {self.serial} vanished: adb no longer lists it; connect it again"
        return seen[self.serial].why_not

    def failure(self, what: str, ran: Ran) -> DeviceError:
        """The sentence about a command that failed: the device's state first, then what was said."""
        said = f"{ran.errors}\n{ran.output}"
        if gone := self.why_gone():
            return DeviceError(gone)
        if _FULL.search(said):
            return DeviceError(f"device {self.serial} is full: {what}; free some of its storage")
        if _REFUSED.search(said):
            return DeviceError(f"device {self.serial}: {what}, permission denied: {_last(ran)}")
        return DeviceError(f"device {self.serial}: {what}: {_last(ran)}")

    def _call(self, *arguments: str, timeout: float = PATIENCE_SECONDS) -> Ran:
        return self.adb.call("-s", self.serial, *arguments, timeout=timeout)


def parse_devices(text: str) -> tuple[Seen, ...]:
    """The devices in the output of `adb devices -l`; the daemon's lines and the heading are none."""
    found = (_STATE.match(line) for line in text.splitlines() if not line.startswith("*"))
    return tuple(
        Seen(serial=line["serial"], state=line["state"], model=_about(line["about"]).get("model"))
        for line in found
        if line
    )


def find(cache: Path) -> Adb:
    """adb from PATH, or the one set up in the cache. Raises MissingTool where there is neither."""
    if program := shutil.which("adb"):
        return Adb(program=Path(program))
    root = debian.place(SOURCE, PACKAGES, cache)
    if not (root / PROGRAM).is_file():
        raise MissingTool(
            "adb is not installed; run python -m device_bench setup, or: apt-get install adb "
            "(Google's platform-tools have it too)"
        )
    return _cached(root)


def setup(cache: Path, progress: Progress | None = None, mirror: str | None = None) -> Adb:
    """adb from PATH; without one, Debian's goes into the cache. Raises MissingTool where it cannot be had."""
    if program := shutil.which("adb"):
        return Adb(program=Path(program))
    return _cached(debian.packages(replace(SOURCE, mirror=mirror), PACKAGES, cache, progress))


def _cached(root: Path) -> Adb:
    """Debian's adb where it was unpacked, with the few libraries a system may lack in one folder of its own."""
    libraries, own = root / LIBRARIES, root / "own"
    own.mkdir(exist_ok=True)
    for name in OWN_LIBRARIES:
        for library in libraries.glob(f"{name}.so*"):
            link = own / library.name
            if not link.is_symlink():
                link.symlink_to(library.resolve())
    return Adb(program=root / PROGRAM, environment={"LD_LIBRARY_PATH": f"{libraries / 'android'}:{own}"})


def _about(pairs: str) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in pairs.split())


def _why_not(serial: str, state: str) -> str:
    """What a state other than `device` means, and what to do."""
    if state in ("unauthorized", "authorizing"):
        return f"device {serial} is {state}: unlock it and allow USB debugging for this computer"
    if state.startswith("no permissions"):
        return (
            f"device {serial}: this user may not open it over USB ({state}); install udev rules "
            "(apt-get install android-sdk-platform-tools-common), join plugdev, and plug it in again"
        )
    if state == "offline":
        return f"device {serial} is offline: plug it in again, or run adb reconnect offline"
    if state in ("connecting", "detached", "unknown", "no device", "host"):
        return f"device {serial} is not ready (adb calls it {state!r}); wait a little, or plug it in again"
    return f"device {serial} is in {state} mode; start Android on it: adb -s {serial} reboot"


def _last(ran: Ran) -> str:
    lines = [line.strip() for line in f"{ran.output}\n{ran.errors}".splitlines() if line.strip()]
    return lines[-1][:TAIL] if lines else f"exit code {ran.code}"
