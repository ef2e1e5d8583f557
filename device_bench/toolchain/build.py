"""CMake builds of device_bench/native: each once for the same sources, tools and libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from device_bench.toolchain import once, tools
from device_bench.toolchain.wheels import Architecture
from pipeline.store import sha256_file
from pipeline.types import MissingTool

SOURCES = Path(__file__).parents[1] / "native"
BUILD_FILES = ("CMakeLists.txt", "aarch64-linux-gnu.cmake")
PIECES: Mapping[str, tuple[str, ...]] = {
    "litert": ("litert_runner.cpp", "litert.h", "runner.h"),
    "executorch": ("executorch_runner.cpp", "runner.h"),
    "count": ("count.c", "qemu_plugin.h"),
}
"""What each is made of."""


def why_unavailable(architecture: Architecture, cache: Path) -> str | None:
    """A sentence where nothing can be built for an architecture, or None."""
    if architecture == "arm64":
        return tools.why_unavailable(cache)
    if tools.compiler() is None:
        return "native runners are built with this machine's C++ compiler, and there is none; install g++"
    if _system() is None and (reason := tools.why_unavailable(cache)):
        return f"this machine has no cmake and ninja: install both, or else: {reason}"
    return None


def identity(piece: str, architecture: Architecture, cache: Path) -> str:
    """Changes with a piece's sources and with whatever builds them."""
    sources = {name: sha256_file(SOURCES / name) for name in (*BUILD_FILES, *PIECES[piece])}
    if architecture == "arm64":
        return once.key(sources, tools.here(cache).packages)
    compiler = tools.compiler()
    if compiler is None:
        raise MissingTool(why_unavailable(architecture, cache) or "")
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace")
    return once.key(sources, compiler, said.stdout)


def build(
    piece: str, product: str, architecture: Architecture, cache: Path, settings: Mapping[str, str], out: Path
) -> Path:
    """Builds one piece and copies its product into the folder `out`.

    Raises MissingTool with the compiler's first error.
    """
    if reason := why_unavailable(architecture, cache):
        raise MissingTool(reason)
    cmake, ninja, environment = _system() or _unpacked(cache)
    given: dict[str, str] = {"PIECE": piece, "CMAKE_MAKE_PROGRAM": ninja, **settings}
    if architecture == "arm64":
        # Its tools want libraries of their own, so all of them come from there.
        cmake, ninja, environment = _unpacked(cache)
        given |= {
            "CMAKE_MAKE_PROGRAM": ninja,
            "CMAKE_TOOLCHAIN_FILE": str(SOURCES / "aarch64-linux-gnu.cmake"),
            "TOOLS": str(tools.here(cache).root),
        }
    else:
        given["CMAKE_CXX_COMPILER"] = tools.compiler() or ""
    flags = [f"-D{name}={value}" for name, value in given.items()]
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".build.") as work:
        what = f"building device_bench/native ({piece}, {architecture})"
        tools.run([cmake, "-G", "Ninja", "-S", str(SOURCES), "-B", work, *flags], environment, what)
        tools.run([ninja, "-C", work], environment, what)
        return Path(shutil.copy2(Path(work) / product, out / product))


Builder = tuple[str, str, Mapping[str, str]]
"""cmake, ninja, and the environment that they are started with."""


def _system() -> Builder | None:
    """This machine's own, where it has both."""
    cmake, ninja = shutil.which("cmake"), shutil.which("ninja")
    return (cmake, ninja, os.environ) if cmake and ninja else None


def _unpacked(cache: Path) -> Builder:
    here = tools.here(cache)
    return here.program("cmake"), here.program("ninja"), here.environment
