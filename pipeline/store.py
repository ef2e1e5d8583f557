"""Content-addressed stage results: keyed from inputs, hashed from bytes, committed by rename.

STORE/results/KEY/manifest.json + files      one committed result
STORE/work/KEY/                              where a stage writes, and keeps its checkpoints, until then
STORE/locks/KEY                              held while a result is being made
STORE/logs/KEY.json                          how a training stage's loss went, where it was made here

Several processes that make a result together share the store: the first looks, commits and tells the others,
which run the stage with it and throw away what they write.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from device_bench import machine
from pipeline import distributed
from pipeline.types import Artifact, PipelineError, Progress, Silent, UsageError

MANIFEST = "manifest.json"
SEAL = "seal"
HISTORY = "history.json"
"""What a stage may leave in its work folder about how it went; kept beside the results, part of none."""
ROOM_LEFT = 2**20
"""Free bytes below which a failed write is put down to a full disk."""


class Stage(Protocol):
    """Turns artifacts into one artifact. Raise `version` when the same settings would give other bytes."""

    name: str
    version: int

    def settings(self) -> Mapping[str, Any]:
        """Everything from the recipe that shapes the result, as JSON values."""

    def parents(self) -> Mapping[str, str]:
        """What it is made from: a name → sha256 (or another identity) each."""

    def tools(self) -> tuple[str, ...]:
        """Packages whose version shapes the bytes."""

    def run(self, out: Path, work: Path, progress: Progress) -> Mapping[str, float]:
        """Writes the result's files into `out` and returns its metrics; `work` outlives a kill."""


class Shipped(Protocol):
    """Results that come with the package."""

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of the shipped result with this key, if there is one."""

    def unpack(self, key: str, out: Path) -> None:
        """Writes its files into `out`, exactly as its stage did."""


def key_of(stage: Stage, seed: int) -> str:
    """SHA-256 over all that determines a stage's result."""
    return hashlib.sha256(_canonical(_identity(stage, seed))).hexdigest()


def _identity(stage: Stage, seed: int) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "version": stage.version,
        "seed": seed,
        "settings": dict(stage.settings()),
        "parents": dict(stage.parents()),
        "tools": {name: tool_version(name) for name in stage.tools()},
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def tool_version(package: str) -> str:
    """Installed version without its local part (2.13.0+cpu and 2.13.0 make the same weights)."""
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tree(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative path → {sha256, size_bytes} of every file below a folder but its own manifest.

    Raises PipelineError for a symbolic link: what it points to is not part of the result.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise PipelineError(f"{path} is a symbolic link; results hold plain files only")
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            found[name] = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    return found


def tree_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 for a whole result, from its files' names and hashes."""
    return hashlib.sha256(_canonical({name: f["sha256"] for name, f in files.items()})).hexdigest()


def provenance() -> dict[str, Any]:
    """Where and when a result is made: git commit and dirty flag, machine, time, command."""
    return {
        "git": _git(),
        "machine": {
            "system": platform.platform(),
            "architecture": platform.machine(),
            "processor": machine.processor(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *(_shown(arg) for arg in sys.argv[1:])]),
    }


def commit() -> str:
    """The code's short commit hash, with +dirty where files differ from it; unknown outside a checkout."""
    git = _git()
    return f"{git['commit'][:12]}{'+dirty' * git['dirty']}" if git["commit"] else "unknown"


def _shown(argument: str) -> str:
    """Absolute paths are shortened to their last two parts: a manifest travels, a home folder does not."""
    return "/".join(Path(argument).parts[-2:]) if argument.startswith("/") else argument


def _git() -> dict[str, Any]:
    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


class Store:
    """Results of one folder. `fresh` ignores what is stored or shipped when first asked for."""

    def __init__(self, root: Path, *, seed: int, shipped: Shipped, fresh: bool = False) -> None:
        self.root, self.seed, self.shipped, self.fresh = root, seed, shipped, fresh
        self._made: set[str] = set()

    def peek(self, stage: Stage) -> Artifact | None:
        """The stored result, or None; unlike `make` it neither runs a stage nor verifies bytes."""
        key = key_of(stage, self.seed)
        if self.fresh and key not in self._made:
            return None
        manifest = self._manifest(key)
        if manifest is not None:
            return self._artifact(key, manifest, "reused")
        shipped = self.shipped.manifest(key)
        return self._artifact(key, shipped, "shipped") if shipped else None

    def make(self, stage: Stage, progress: Progress) -> Artifact:
        """The stage's result: reused, taken from the package, or made now and committed."""
        key = key_of(stage, self.seed)
        if not distributed.is_first():
            return self._help(stage, key)
        self._make_folders()
        if self.fresh and key not in self._made:
            shutil.rmtree(self.root / "work" / key, ignore_errors=True)
        lock = FileLock(self.root / "locks" / key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"another run is making {stage.name}; waiting for it")
            lock.acquire()
        try:
            found = distributed.agreed(self._existing(stage, key, progress))
            artifact = found or distributed.agreed(self._run(stage, key, progress))
        except Exception as error:
            if not _disk_is_full(error, self.root):
                raise
            raise PipelineError(
                f"the disk is full: {stage.name} needs more room under {self.root}; free some and run again"
            ) from None
        finally:
            lock.release()
        self._made.add(key)
        return artifact

    def _help(self, stage: Stage, key: str) -> Artifact:
        """What another than the first process does in `make`: the same work, where it is done together."""
        told: Artifact | None = distributed.agreed(None)
        if told is None:
            with tempfile.TemporaryDirectory() as scratch:
                stage.run(Path(scratch), self.root / "work" / key, Silent())
            told = distributed.agreed(None)
        assert told is not None
        return told

    def history(self, key: str) -> list[dict[str, float]]:
        """Step, loss and learning rate of every logged step; empty for a result that was not trained here."""
        path = self._log(key)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def _log(self, key: str) -> Path:
        return self.root / "logs" / f"{key}.json"

    def _make_folders(self) -> None:
        try:
            for name in ("results", "work", "locks", "logs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"store {self.root} cannot be written: {error.strerror}") from None

    def _existing(self, stage: Stage, key: str, progress: Progress) -> Artifact | None:
        if self.fresh and key not in self._made:
            return None
        folder = self.root / "results" / key
        if folder.exists():
            manifest = self._manifest(key)
            problem = _damage(folder, manifest)
            if manifest is not None and problem is None:
                return self._artifact(key, manifest, "reused")
            progress.say(f"the stored result of {stage.name} is damaged ({problem}); making it again")
            shutil.rmtree(folder)
        manifest = self.shipped.manifest(key)
        if manifest is None:
            return None

        def unpack(out: Path) -> dict[str, Any]:
            self.shipped.unpack(key, out)
            if tree_digest(hash_tree(out)) != manifest["sha256"]:
                raise PipelineError(f"the shipped result of {stage.name} is damaged; install the package again")
            return manifest

        return self._artifact(key, self._commit(key, unpack), "shipped")

    def _run(self, stage: Stage, key: str, progress: Progress) -> Artifact:
        began = time.monotonic()

        def run(out: Path) -> dict[str, Any]:
            metrics = dict(stage.run(out, self.root / "work" / key, progress))
            files = hash_tree(out)
            return {
                "kind": stage.name,
                "key": key,
                "sha256": tree_digest(files),
                "inputs": _identity(stage, self.seed),
                "metrics": metrics,
                "files": files,
                "seconds": round(time.monotonic() - began, 2),
                "made": provenance(),
            }

        return self._artifact(key, self._commit(key, run), "made")

    def _commit(self, key: str, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Fills a scratch folder and renames it into place: a result is there whole or not at all."""
        work = self.root / "work" / key
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        manifest = fill(out)
        manifest = {**manifest, SEAL: seal(manifest)}
        _write_synced(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        final = self.root / "results" / key
        if final.exists():
            shutil.rmtree(final)
        os.replace(out, final)
        if (work / HISTORY).is_file():
            os.replace(work / HISTORY, self._log(key))
        shutil.rmtree(work, ignore_errors=True)
        return manifest

    def _manifest(self, key: str) -> dict[str, Any] | None:
        return read_manifest(self.root / "results" / key)

    def _artifact(self, key: str, manifest: Mapping[str, Any], origin: Any) -> Artifact:
        return Artifact(
            kind=manifest["kind"],
            path=self.root / "results" / key,
            key=key,
            sha256=manifest["sha256"],
            parents=tuple(manifest["inputs"]["parents"].values()),
            metrics=manifest["metrics"],
            origin=origin,
            seconds=manifest["seconds"],
        )


def seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over everything a manifest says but the seal itself."""
    return hashlib.sha256(_canonical({k: v for k, v in manifest.items() if k != SEAL})).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """A result's manifest; None when it is missing, unreadable or not what was sealed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and manifest.get(SEAL) == seal(manifest)
    return manifest if whole else None


def _disk_is_full(error: BaseException, root: Path) -> bool:
    """Whether this failure, or what caused it, is a full disk; some writers do not raise OSError for it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "os error 28" in str(error).lower() or "no space left" in str(error).lower():
        return True
    return not isinstance(error, PipelineError) and shutil.disk_usage(root).free < ROOM_LEFT


def _damage(folder: Path, manifest: Mapping[str, Any] | None) -> str | None:
    """What is wrong with a committed result, or None."""
    if manifest is None:
        return "its manifest cannot be read or has changed"
    try:
        found = hash_tree(folder)
    except PipelineError as error:
        return str(error)
    for name in sorted(set(found) | set(manifest["files"])):
        if name not in found:
            return f"{name} is missing"
        if name not in manifest["files"]:
            return f"{name} does not belong to it"
        if found[name]["sha256"] != manifest["files"][name]["sha256"]:
            return f"{name} has changed"
    return None


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
