"""The runtimes' shared libraries and headers, out of their Python wheels: the installed ones, and arm64's."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from device_bench.toolchain import once
from device_bench.toolchain.tools import SETUP
from pipeline.types import MissingTool, Progress, UsageError

Architecture = Literal["host", "arm64"]
GLIBC_TAGS = tuple(f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 17))
"""Oldest glibc that a wheel may ask for, newest first; Debian 12's is 2.36."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a target's programs are run with."""

    target: str
    package: str
    module: str
    called: str
    libraries: tuple[str, ...]
    """Paths in the wheel."""
    headers: tuple[str, ...] = ()
    """Folders in the wheel."""

    @property
    def version(self) -> str | None:
        """Of the installed package, or None."""
        try:
            return importlib.metadata.version(self.package).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            return None


RUNTIMES: Mapping[str, Runtime] = {
    "tflite": Runtime(
        target="tflite",
        package="ai-edge-litert",
        module="ai_edge_litert",
        called="LiteRT",
        libraries=("ai_edge_litert/libLiteRt.so",),
    ),
    "executorch": Runtime(
        target="executorch",
        package="executorch",
        module="executorch",
        called="ExecuTorch",
        libraries=(
            "executorch/lib/libexecutorch.so",
            "executorch/lib/libexecutorch_threadpool.so",
            "executorch/lib/libexecutorch_backend_xnnpack.so",
            "executorch/lib/libexecutorch_kernels_optimized.so",
        ),
        headers=("executorch/include/",),
    ),
}
"""Targets that there is a native runner for."""


def runtime(target: str) -> Runtime:
    """The runtime of a target. Raises UsageError where there is no native runner for it."""
    if target not in RUNTIMES:
        raise UsageError(
            f"there is no native runner for the target {target}; there is one for {' and '.join(RUNTIMES)}"
        )
    return RUNTIMES[target]


def why_unavailable(of: Runtime, architecture: Architecture, cache: Path) -> str | None:
    """A sentence where the runtime's libraries are not there, or None."""
    if of.version is None:
        return f"{of.package} is not installed; run: pip install -c constraints.txt -e '.[{of.target}]'"
    if architecture == "arm64" and not _place(of, cache).is_dir():
        return f"{of.called}'s libraries for arm64 are not set up; run: {SETUP}"
    return None


def folder(of: Runtime, architecture: Architecture, cache: Path) -> Path:
    """Where the wheel's files are. Raises MissingTool where they are not there."""
    if reason := why_unavailable(of, architecture, cache):
        raise MissingTool(reason)
    if architecture == "arm64":
        return _place(of, cache)
    spec = importlib.util.find_spec(of.module)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))).parent


def fetch(of: Runtime, cache: Path, progress: Progress) -> Path:
    """arm64's libraries of the installed version, downloaded by pip where they are not there yet.

    Raises MissingTool where the package is not installed, or there is no such wheel.
    """
    if of.version is None:
        raise MissingTool(why_unavailable(of, "arm64", cache) or "")

    def fill(place: Path) -> None:
        progress.say(f"fetching {of.package} {of.version} for arm64 from the package index")
        wheel = _downloaded(of, place)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name in of.libraries or name.startswith(of.headers):
                    archive.extract(name, place)
        wheel.unlink()
        missing = [name for name in of.libraries if not (place / name).is_file()]
        if missing:
            raise MissingTool(f"{wheel.name} lacks {missing[0]}, which the native runner needs")

    return once.folder(_place(of, cache), fill)


def _place(of: Runtime, cache: Path) -> Path:
    kept = once.key(of.libraries, of.headers)
    return cache / "wheels" / f"{of.package}-{of.version}-aarch64-{kept}"


def _downloaded(of: Runtime, into: Path) -> Path:
    major, minor, _ = platform.python_version_tuple()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(into), "--python-version", f"{major}.{minor}"]
    command += [part for tag in GLIBC_TAGS for part in ("--platform", tag)]
    ran = subprocess.run(
        [*command, f"{of.package}=={of.version}"], capture_output=True, text=True, errors="replace"
    )
    wheels = list(into.glob("*.whl"))
    if ran.returncode or len(wheels) != 1:
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        last = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else "no word of it")
        raise MissingTool(
            f"pip cannot download {of.package} {of.version} for arm64: {last.removeprefix('ERROR: ')}"
        )
    return wheels[0]
