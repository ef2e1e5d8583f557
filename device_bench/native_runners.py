"""The native runners: which files each consists of, built where they are not there yet.

For arm64 they come with glibc, its loader included, and are started through it:

    ./ld-linux-aarch64.so.1 --library-path . ./runner …

The wheels' libraries are made for glibc, which Android does not have. Beside its own loader and libraries a
runner needs nothing but an arm64 Linux kernel, so that the same files run under QEMU and in a phone's shell
(`adb push`, `chmod +x`, in a folder that allows execution such as /data/local/tmp). Where a phone forbids
that, or its apps' libraries are what is to be measured, the sample app's benchmark mode is the way.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from device_bench.toolchain import build, once, tools, wheels
from device_bench.toolchain.wheels import Architecture
from pipeline.types import MissingTool

PIECES = {"tflite": "litert", "executorch": "executorch"}
BINARY = "runner"
LOADER = "ld-linux-aarch64.so.1"
GLIBC = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libgcc_s.so.1",
    "libstdc++.so.6",
)
"""What the wheels' libraries ask for, of the compiler's own arm64 libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRunner:
    """A built runner; all its files lie in one folder."""

    binary: Path
    libraries: tuple[Path, ...]
    """Of the runtime; for arm64 glibc's as well, without its loader."""
    loader: Path | None
    """The program that starts the binary; None where the system's own does."""
    runtime: str
    """LiteRT 2.3.0"""
    runtime_bytes: int
    """Size of the runtime's own libraries: what an app would add to itself."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that has to lie in the folder it is started from."""
        return (self.binary, *self.libraries, *((self.loader,) if self.loader else ()))

    def command(self, folder: str | None = None) -> tuple[str, ...]:
        """How it is started: where it is, or as it lies in `folder` of another system (`.`: the current)."""
        at = str(self.binary.parent) if folder is None else folder
        binary = f"{at}/{self.binary.name}"
        return (f"{at}/{self.loader.name}", "--library-path", at, binary) if self.loader else (binary,)


def why_unavailable(target: str, architecture: Architecture, cache: Path) -> str | None:
    """A sentence where there can be no runner, with the command that helps, or None.

    Raises UsageError for a target that has none.
    """
    runtime = wheels.runtime(target)
    return build.why_unavailable(architecture, cache) or wheels.why_unavailable(runtime, architecture, cache)


def runner(target: str, architecture: Architecture, cache: Path) -> NativeRunner:
    """The runner of a target, built where it is not there yet; asks nothing of the network.

    Raises MissingTool where something is missing, UsageError for a target that has no native runner.
    """
    if reason := why_unavailable(target, architecture, cache):
        raise MissingTool(reason)
    runtime, piece = wheels.runtime(target), PIECES[target]
    wheel = wheels.folder(runtime, architecture, cache)
    libraries = [wheel / name for name in runtime.libraries]
    sizes = [file.stat().st_size for file in libraries]
    arm64 = architecture == "arm64"
    if arm64:
        glibc = tools.here(cache).root / "usr" / "aarch64-linux-gnu" / "lib"
        libraries += [glibc / name for name in GLIBC]
    identity = once.key(build.identity(piece, architecture, cache), runtime.version, sizes)

    def fill(place: Path) -> None:
        settings = {"WHEEL": str(wheel), "RUNTIME_VERSION": runtime.version or ""}
        build.build(piece, BINARY, architecture, cache, settings, place)
        for file in [*libraries, *([glibc / LOADER] if arm64 else [])]:
            shutil.copy(file, place / file.name)
        if arm64:
            (place / LOADER).chmod(0o755)

    place = once.folder(cache.resolve() / "runners" / f"{target}-{architecture}-{identity}", fill)
    return NativeRunner(
        binary=place / BINARY,
        libraries=tuple(place / file.name for file in libraries),
        loader=place / LOADER if arm64 else None,
        runtime=f"{runtime.called} {runtime.version}",
        runtime_bytes=sum(sizes),
    )
