"""The emulator, the cross compiler and CMake: Debian 12's, unpacked in the cache folder and run from there.

QEMU's version is part of what is counted, and Debian 12's is the one whose cores were found to compute right,
so that the suite is the same on every system.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from device_bench.toolchain import debian, once
from pipeline.types import MissingTool, Progress

SETUP = "python -m device_bench setup"
SUITE, ARCHITECTURE = "bookworm", "amd64"
PACKAGES = ("cmake", "g++-aarch64-linux-gnu", "ninja-build", "qemu-user")
GLIBC = re.compile(
    r"(ld-linux.*|lib(BrokenLocale|anl|c|c_malloc_debug|dl|m|memusage|mvec|nsl|nss_\w+|pcprofile|pthread|resolv|rt"
    r"|thread_db|util))\.so\b"
)
"""Libraries that have to be the system's own, as its loader is; they are compatible with older ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The unpacked tools."""

    root: Path
    libraries: Path
    """A folder with all that the tools need and the system may not have."""

    @property
    def environment(self) -> dict[str, str]:
        """What the tools want to be started with."""
        return {"LD_LIBRARY_PATH": str(self.libraries), "LC_ALL": "C", "PATH": os.environ.get("PATH", "")}

    def program(self, name: str) -> str:
        """The path of one of them."""
        return str(self.root / "usr" / "bin" / name)

    @property
    def packages(self) -> tuple[str, ...]:
        """Names and versions of what they were unpacked from."""
        return debian.unpacked(self.root)

    @property
    def qemu(self) -> str:
        """The emulator's version: 7.2+dfsg-7+deb12u18."""
        (name,) = (name for name in self.packages if name.startswith("qemu-user_"))
        return name.split("_")[1].partition("%3a")[2] or name.split("_")[1]


def unsuited() -> str | None:
    """A sentence where this machine cannot run them, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return (
            f"the emulator and its compiler run on 64-bit x86 Linux; this is {platform.system()} on "
            f"{platform.machine()}"
        )
    return None


def why_unavailable(cache: Path) -> str | None:
    """A sentence where they are not there, with the command that fetches them, or None."""
    if reason := unsuited():
        return reason
    if _place(cache).is_dir():
        return None
    return debian.why_unavailable() or f"the arm64 tools are not set up; run: {SETUP}"


def here(cache: Path) -> Tools:
    """The tools, without asking anything of the network. Raises MissingTool where they are not there."""
    if reason := why_unavailable(cache):
        raise MissingTool(reason)
    return _tools(_place(cache), cache)


def unpack(cache: Path, progress: Progress, mirror: str | None = None) -> Tools:
    """The tools, fetched where they are not there yet."""
    if reason := unsuited():
        raise MissingTool(reason)
    source = debian.Source(suite=SUITE, architecture=ARCHITECTURE, mirror=mirror)
    return _tools(debian.packages(source, PACKAGES, cache, progress), cache)


def run(command: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    """A build step's output. Raises MissingTool with the first line that speaks of an error."""
    ran = subprocess.run(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if ran.returncode:
        lines = [line.strip() for line in ran.stdout.splitlines() if line.strip()]
        telling = next(
            (line for line in lines if "error" in line.lower()), lines[-1] if lines else "no word of it"
        )
        raise MissingTool(f"{what} failed: {telling}")
    return ran.stdout


def _place(cache: Path) -> Path:
    source = debian.Source(suite=SUITE, architecture=ARCHITECTURE)
    return debian.place(source, PACKAGES, cache).resolve()


def _tools(root: Path, cache: Path) -> Tools:
    root = root.resolve()

    def fill(folder: Path) -> None:
        for lib in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"):
            for file in sorted((root / lib).glob("*.so*")):
                if not GLIBC.match(file.name):
                    (folder / file.name).symlink_to(file)

    libraries = once.folder(cache.resolve() / "tools" / once.key(str(root)), fill)
    return Tools(root=root, libraries=libraries)


def compiler() -> str | None:
    """This machine's own C++ compiler, for what runs on it."""
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
