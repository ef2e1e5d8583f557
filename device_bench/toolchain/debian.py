"""Debian packages, unpacked into the cache folder: for other suites and architectures than the system's.

apt works on a root of its own there: no file of the system is changed and no right of root needed. Packages are
what the mirror's signed lists say, checked against Debian's archive keys on this machine; their scripts are not
run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from device_bench.toolchain import once
from pipeline.types import MissingTool, Progress, Silent

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RECORD = "packages.json"
"""In every unpacked root: what it was unpacked from."""
STABLE = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where packages come from."""

    suite: str
    """bookworm, trixie …"""
    architecture: str
    """As Debian calls it: amd64, arm64."""
    mirror: str | None = None
    """URL of a Debian archive; None: what the system's own apt uses."""
    alone: bool = False
    """Without what packages depend on: where they are data, or run on something that is there anyway."""


def why_unavailable() -> str | None:
    """A sentence where this machine cannot unpack Debian packages, or None."""
    for tool, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if shutil.which(tool) is None:
            return (
                f"the arm64 tools are unpacked from Debian's packages, and this machine has no {tool}; "
                f"use a Debian or Ubuntu system or container, or install {package}"
            )
    if not KEYRING.is_file():
        return f"Debian's archive keys are not at {KEYRING}; run: apt-get install debian-archive-keyring"
    return None


def place(source: Source, names: Sequence[str], cache: Path) -> Path:
    """Where `packages` puts these packages, whether or not they are there."""
    named = once.key(sorted(names), *(["alone"] if source.alone else []))
    return cache / "debian" / f"{source.suite}-{source.architecture}-{named}"


def packages(source: Source, names: Sequence[str], cache: Path, progress: Progress | None = None) -> Path:
    """The root folder into which the packages are unpacked, with what they depend on unless it is left out.

    Where it is there already nothing is asked of the network. Raises MissingTool, with apt's own words, where
    packages cannot be had.
    """
    say = (progress or Silent()).say
    root = place(source, names, cache)
    if root.is_dir():
        return root
    if reason := why_unavailable():
        raise MissingTool(reason)

    def fill(root: Path) -> None:
        apt = _Apt(source, cache)
        with FileLock(cache / "debian" / f"{source.suite}-{source.architecture}.apt.lock"):
            say(f"fetching {', '.join(names)} for {source.architecture} from Debian {source.suite}")
            files = apt.fetch_alone(names) if source.alone else apt.fetch(names)
            for file in files:
                _checked(["dpkg-deb", "-x", str(file), str(root)])
            record = {"names": sorted(names), "files": sorted(file.name for file in files)}
            (root / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            for file in files:
                file.unlink()

    return once.folder(root, fill)


def unpacked(root: Path) -> tuple[str, ...]:
    """The packages that a root was unpacked from, as file names: name, version, architecture."""
    return tuple(json.loads((root / RECORD).read_text(encoding="utf-8"))["files"])


class _Apt:
    """apt with state, lists and configuration of its own under CACHE/apt."""

    def __init__(self, source: Source, cache: Path) -> None:
        self._folder = (cache / "apt" / f"{source.suite}-{source.architecture}").resolve()
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        line = f"deb [signed-by={KEYRING}] {source.mirror or mirror()} {source.suite} main\n"
        (self._folder / "sources.list").write_text(line, encoding="utf-8")
        (self._folder / "apt.conf").write_text(self._configuration(source.architecture), encoding="utf-8")

    def fetch(self, names: Sequence[str]) -> list[Path]:
        """Downloads packages and what they depend on; the files, sorted."""
        self._run("update")
        plan = ["install", "--no-install-recommends", "--yes"]
        self._run(*plan, "--download-only", *names)
        wanted = re.findall(r"^Inst (\S+) \((\S+)", self._run(*plan, "--simulate", *names), re.M)
        archives = self._folder / "cache" / "archives"
        files = [file for name, version in wanted for file in archives.glob(_file_pattern(name, version))]
        if len(files) != len(wanted) or not files:
            raise MissingTool(f"apt did not download all of {', '.join(names)}; run it again")
        return sorted(files)

    def fetch_alone(self, names: Sequence[str]) -> list[Path]:
        """Downloads these packages and nothing else; the files, sorted."""
        self._run("update")
        archives = self._folder / "cache" / "archives"
        for stale in (file for name in names for file in archives.glob(f"{name}_*.deb")):
            stale.unlink()
        self._run("download", *names, folder=archives)
        return sorted(file for name in names for file in archives.glob(f"{name}_*.deb"))

    def _configuration(self, architecture: str) -> str:
        """The system's settings for downloads (proxies, retries) and none of its hooks."""
        dumped = _checked(["apt-config", "dump"])
        theirs = [line for line in dumped.splitlines() if line.startswith("Acquire::") and _plain(line)]
        here = self._folder
        ours = {
            "Dir::State": here / "state",
            "Dir::State::status": here / "status",
            "Dir::Cache": here / "cache",
            "Dir::Etc::sourcelist": here / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Install-Recommends": "false",
            # As root, apt would download as a user who may not be let into the cache folder.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return "\n".join([*theirs, *(f'{name} "{value}";' for name, value in ours.items())]) + "\n"

    def _run(self, *arguments: str, folder: Path | None = None) -> str:
        settings = {"APT_CONFIG": str(self._folder / "apt.conf")}
        return _checked(["apt-get", "-q", *arguments], settings, folder)


def mirror() -> str:
    """The archive that the system's own apt takes its packages from.

    Raises MissingTool where the system is no Debian, or its apt names none.
    """
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    if system.get("ID") == "debian":
        targets = _checked(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"])
        suites = {system.get("VERSION_CODENAME", ""), *STABLE}
        for line in targets.splitlines():
            uri, _, release = line.partition(" ")
            if release in suites:
                return uri.rstrip("/")
    raise MissingTool(
        "this system's apt names no Debian archive; give one: python -m device_bench setup --mirror URL"
    )


def _plain(line: str) -> bool:
    """Whether a line of apt's settings is one that can be given back to it: scalars that are set."""
    return not line.endswith(' "";') and "::IndexTargets::" not in line


def _file_pattern(name: str, version: str) -> str:
    """How apt names a downloaded file; it escapes the colon of an epoch."""
    return f"{name.partition(':')[0]}_{version.replace(':', '%3a')}_*.deb"


def _checked(
    command: Sequence[str], environment: dict[str, str] | None = None, folder: Path | None = None
) -> str:
    """A command's output. Raises MissingTool with its last error."""
    ran = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        last = next((line for line in said if line.startswith("E:")), said[-1] if said else "no word of it")
        raise MissingTool(f"{' '.join(command[:3])} failed: {last.removeprefix('E: ')}")
    return ran.stdout
