"""Swift on Linux: Debian 13's, unpacked in the cache folder and run inside of it."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from device_bench.toolchain import chroot, debian
from pipeline.types import MissingTool, Progress

SETUP = "python -m device_bench setup"
SUITE = "trixie"
PACKAGES = ("base-files", "libc6-dev", "libstdc++-14-dev", "swiftlang")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SWIFT = "/usr/libexec/swift/bin/swift"
SWIFTC = f"{SWIFT}c"


def unsuited() -> str | None:
    """A sentence where this machine cannot run it, or None."""
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        return "Debian's Swift runs on 64-bit Linux; on a Mac, Xcode brings one: run swift test in apps/ios"
    return None


def here(cache: Path) -> Path:
    """The unpacked root, without asking anything of the network. Raises MissingTool where it is not there."""
    if reason := unsuited():
        raise MissingTool(reason)
    root = debian.place(_source(None), PACKAGES, cache)
    if not root.is_dir():
        raise MissingTool(f"Swift is not set up; run: {SETUP}")
    return root


def unpack(cache: Path, progress: Progress, mirror: str | None = None) -> Path:
    """The root, fetched where it is not there yet."""
    if reason := unsuited():
        raise MissingTool(reason)
    return debian.packages(_source(mirror), PACKAGES, cache, progress)


def run(
    root: Path, shared: Sequence[Path], scratch: Path, arguments: Sequence[str], program: str = SWIFT
) -> subprocess.CompletedProcess[str]:
    """`swift ARGUMENTS` in the first of these folders, all at their own paths; its home is `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {"HOME": str(scratch), "PATH": f"{Path(SWIFT).parent}:/usr/bin:/bin"}
    return chroot.run(root, [*shared, scratch], [program, *arguments], environment)


def _source(mirror: str | None) -> debian.Source:
    return debian.Source(suite=SUITE, architecture=ARCHITECTURES[platform.machine()], mirror=mirror)
