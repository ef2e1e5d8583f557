"""A phone without one: Debian's arm64 `adbd` under QEMU, for the real `adb` to talk to.

Its shell and tools are Android's own, mksh and toybox. It is a real device to adb: push, shell with exit codes,
pull. It is no real device to a stopwatch: its processor is emulated, its milliseconds mean nothing.

    python -m device_bench.toolchain.phone -- python -m device_bench run --device adb --bundle …

starts one and runs a command that finds it, alone, in its `adb`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from device_bench.android import adb
from device_bench.session import DeviceError
from device_bench.toolchain import debian, once
from pipeline import console
from pipeline.types import MissingTool, Progress, Silent

SYSTEM = debian.Source(suite="trixie", architecture="arm64")
SYSTEM_PACKAGES = ("adbd", "mksh", "toybox")
QEMU = debian.Source(suite="trixie", architecture="amd64")
QEMU_PACKAGES = ("qemu-user",)
"""Of version 10: earlier ones do not run adbd. Linked statically, so the system's libraries do not matter."""
CPU = "cortex-a76"
STORAGE_BYTES = 1 << 30
INIT = Path(__file__).with_name("phone_init.py")
NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "--mount", "--net"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)
PROBE = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && test -w /proc/sys/fs/binfmt_misc/register"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What phones are made of, in the cache: never written to."""

    folder: Path
    adb: adb.Adb

    @property
    def system(self) -> Path:
        return self.folder / "system"

    @property
    def tools(self) -> tuple[str, ...]:
        """The commands that toybox has."""
        return tuple((self.folder / "tools").read_text(encoding="ascii").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A running phone, connected to an adb server."""

    connection: adb.Connection
    process: subprocess.Popen[str]

    @property
    def serial(self) -> str:
        return self.connection.serial

    def kill(self) -> None:
        """Takes its power away."""
        self.process.kill()
        self.process.wait()


def why_unavailable() -> str | None:
    """A sentence where this machine cannot run a phone, or None."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"the emulated phone needs Linux on x86-64; this is {platform.system()} on {platform.machine()}"
    for tool, package in (("unshare", "util-linux"), ("setpriv", "util-linux"), ("mount", "mount")):
        if shutil.which(tool) is None:
            return f"the emulated phone needs {tool}; run: apt-get install {package}"
    tried = subprocess.run([*NAMESPACES, "sh", "-c", PROBE], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    said = (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
    if "binfmt" in said:
        return (
            "the emulated phone needs binfmt_misc in a user namespace: Linux 6.7 or later, and a container "
            f"that leaves /proc unmasked ({said})"
        )
    return (
        "the emulated phone needs user namespaces, which this system does not allow; as its administrator run "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu) or kernel.unprivileged_userns_clone=1 "
        f"(older Debian), or in a container allow unshare ({said})"
    )


def setup(cache: Path, progress: Progress | None = None, mirror: str | None = None) -> Parts:
    """Fetches what phones are made of where the cache lacks it; offline and at once where it does not.

    Raises MissingTool where packages cannot be had.
    """
    progress = progress or Silent()

    def fill(folder: Path) -> None:
        # qemu-user unpacks to 450 MB of emulators, of which one is wanted.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacked.") as scratch:
            qemu = debian.packages(replace(QEMU, mirror=mirror), QEMU_PACKAGES, Path(scratch), progress)
            shutil.copy2(qemu / "usr/bin/qemu-aarch64", folder / "qemu-aarch64")
            unpacked = debian.packages(replace(SYSTEM, mirror=mirror), SYSTEM_PACKAGES, Path(scratch), progress)
            shutil.copytree(unpacked, folder / "system", symlinks=True)
        for unread in ("doc", "man", "locale"):
            shutil.rmtree(folder / "system/usr/share" / unread, ignore_errors=True)
        (folder / "mountpoint").mkdir()
        (folder / "system/lib").symlink_to("usr/lib")
        system = folder / "system"
        toybox = [str(folder / "qemu-aarch64"), "-L", str(system), str(system / "usr/bin/toybox")]
        said = subprocess.run(toybox, capture_output=True, text=True, check=True).stdout
        (folder / "tools").write_text(said, encoding="ascii")

    return Parts(folder=once.folder(place(cache), fill), adb=adb.setup(cache, progress, mirror))


def find(cache: Path) -> Parts:
    """What `setup` left there. Raises MissingTool where it has not been run."""
    if not place(cache).is_dir():
        raise MissingTool("the emulated phone is not set up; run: python -m device_bench setup")
    return Parts(folder=place(cache), adb=adb.find(cache))


def place(cache: Path) -> Path:
    """Where the parts are, or will be."""
    made_of = once.key([SYSTEM.suite, *SYSTEM_PACKAGES, *QEMU_PACKAGES])
    return cache.resolve() / "phone" / made_of


@contextmanager
def server(parts: Parts) -> Iterator[adb.Adb]:
    """An adb server of our own on a free port: a developer's is not touched, nor what is plugged in here.

    It ends with us, however we end: the kernel kills it with the thread that started it.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="adb-"))
        quiet = {"ADB_USB": "0", "ADB_EMU": "0", "ADB_MDNS": "0", "ADB_LIBUSB": "0", "HOME": home}
        serve = (str(parts.adb.program), "-L", f"acceptfd:{listener.fileno()}", "server", "nodaemon")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *serve],
            env={**parts.adb.whole_environment(), **quiet},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = listener.getsockname()[1]
            socket_of = {"ANDROID_ADB_SERVER_PORT": str(port), "ADB_SERVER_SOCKET": f"tcp:{port}"}
            # What a developer set for a phone on the desk is not meant for this one.
            ours = {**socket_of, "ANDROID_SERIAL": ""}
            yield replace(parts.adb, environment={**parts.adb.environment, **ours})
        finally:
            process.kill()
            process.wait()


@contextmanager
def started(
    parts: Parts, client: adb.Adb, *, storage_bytes: int = STORAGE_BYTES, files: Sequence[Path] = ()
) -> Iterator[Phone]:
    """A phone, connected to `client`'s server under a serial of its own; all of it is gone afterwards.

    `storage_bytes` is the room in /data/local/tmp; the trees in `files` are laid over its file system. Raises
    MissingTool where this machine cannot run one, DeviceError where it does not start.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        log = stack.enter_context(tempfile.TemporaryFile())
        wish = {
            "mountpoint": str(parts.folder / "mountpoint"),
            "qemu": str(parts.folder / "qemu-aarch64"),
            "system": str(parts.system),
            "tools": parts.tools,
            "overlays": [str(tree.resolve()) for tree in files],
            "storage_bytes": storage_bytes,
            "listener": listener.fileno(),
            "cpu": CPU,
        }
        try:
            process = subprocess.Popen(
                [*NAMESPACES, sys.executable, str(INIT), json.dumps(wish)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[listener.fileno()],
                text=True,
            )
        except OSError:
            raise MissingTool(why_unavailable() or "unshare cannot be started") from None
        stack.enter_context(process)
        stack.callback(process.kill)
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            if reason := why_unavailable():
                raise MissingTool(reason)
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            raise DeviceError(f"the emulated phone did not start: {lines[-1] if lines else 'no word of it'}")
        serial = f"127.0.0.1:{listener.getsockname()[1]}"
        connected = client.call("connect", serial)
        if "connected to" not in connected.output:
            said = f"{connected.output} {connected.errors}".strip()
            raise DeviceError(f"the emulated phone started, and adb did not connect: {said}")
        stack.callback(client.call, "disconnect", serial)
        yield Phone(connection=adb.Connection(adb=client, serial=serial), process=process)


def main() -> None:
    """Runs a command with one phone started, its serial and server in the environment as adb reads them."""
    cache = Path(platformdirs.user_cache_dir("pocket-distil"))
    parser = argparse.ArgumentParser(
        prog="python -m device_bench.toolchain.phone",
        description="Starts an emulated arm64 phone, runs a command that sees it in adb, and ends the phone.",
        epilog=console.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cache", type=Path, default=cache, help=f"where its parts are kept ({cache})")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --, with its own flags")
    flags = parser.parse_args()
    parts = setup(flags.cache.resolve())
    with server(parts) as client, started(parts, client) as phone:
        path = f"{parts.adb.program.parent}:{os.environ.get('PATH', os.defpath)}"
        environment = {**client.whole_environment(), "PATH": path, "ANDROID_SERIAL": phone.serial}
        code = subprocess.run(flags.command, env=environment, check=False).returncode
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(console.run(main))
