"""Bundles as others see them: written once, checked byte by byte before anything in them is used.

apps/README.md states the contract; this file is its Python reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import TypeAdapter

import exporters.base as exporters
from exporters.base import Runner
from pipeline.recipe import KINDS, AnyTask
from pipeline.store import MANIFEST, SEAL, hash_tree, seal
from pipeline.types import MissingTool, PipelineError, UsageError, VerificationFailed

FORMAT = 1
GOLDEN = "golden.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplyAdds:
    """Multiplications of one inference's matrix products, each with its addition, as a function of length."""

    per_token: int
    """Of linears: one for each weight."""
    per_pair: int
    """Of attention, for each pair of tokens."""
    per_window: int = 0
    """Of a classifier, which reads one token."""

    def of(self, length: int) -> int:
        """At `length` tokens."""
        return self.per_window + self.per_token * length + self.per_pair * length * length


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A checked bundle."""

    path: Path
    name: str
    target: str
    program: Path
    task: AnyTask
    metrics: Mapping[str, float]
    lengths: tuple[int, ...]
    """Sequence lengths that the program takes, ascending."""
    seal: str
    precision: Literal["int8", "float32"] | None = None
    """Of its linears; None in bundles made before manifests said so."""
    random_weights: bool = False
    """True: made for size and latency only, its answers mean nothing."""
    parameters: int | None = None
    multiply_adds: MultiplyAdds | None = None

    def runner(self, threads: int = 1) -> Runner:
        """The program, loaded with what this machine has; MissingTool when it has nothing for it."""
        if why_not := exporters.find(self.target).why_not_run():
            raise MissingTool(
                f"bundle {self.path}: all files are as in the manifest, but its program was not run: {why_not}"
            )
        return exporters.get(self.target).runner(self.program, threads=threads)


def lengths_field(lengths: Sequence[int]) -> dict[str, Any]:
    """How a manifest states which sequence lengths a program takes: a list, or a whole range."""
    if len(lengths) > 1 and len(lengths) == lengths[-1] - lengths[0] + 1:
        return {"shortest": lengths[0], "longest": lengths[-1]}
    return {"fixed": list(lengths)}


def _lengths(field: Mapping[str, Any]) -> tuple[int, ...]:
    """The inverse of `lengths_field`."""
    if "fixed" in field:
        return tuple(int(length) for length in field["fixed"])
    return tuple(range(int(field["shortest"]), int(field["longest"]) + 1))


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """manifest.json over all files of a bundle folder, sealed: its own bytes count as well."""
    manifest = {"format": FORMAT, **fields, "files": hash_tree(folder)}
    (folder / MANIFEST).write_bytes(_bytes({**manifest, SEAL: seal(manifest)}))


def _bytes(manifest: Mapping[str, Any]) -> bytes:
    """The one way a manifest is written, so that any other byte is an alteration."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()


def read(folder: Path) -> Bundle:
    """Opens a bundle.

    Raises UsageError when the folder is no bundle that this version reads, VerificationFailed when any
    file is missing, added or altered.
    """
    manifest = _manifest(folder)
    _check_files(folder, manifest["files"])
    try:
        bundle = Bundle(
            path=folder,
            name=str(manifest["name"]),
            target=str(manifest["target"]),
            program=folder / _inside(manifest["program"]),
            task=_task(manifest),
            metrics=manifest["metrics"],
            lengths=_lengths(manifest["lengths"]),
            seal=str(manifest[SEAL]),
            precision=manifest.get("precision"),
            random_weights=bool(manifest.get("random_weights", False)),
            parameters=manifest.get("parameters"),
            multiply_adds=MultiplyAdds(**manifest["multiply_adds"]) if "multiply_adds" in manifest else None,
        )
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{folder}/{MANIFEST} lacks a field that a bundle needs; make the bundle again"
        ) from None
    if not bundle.program.exists():
        raise VerificationFailed(f"bundle {folder}: its program is missing; make the bundle again")
    return bundle


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise UsageError(f"bundle {folder} does not exist; make one with python -m pipeline.run")
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = json.loads(raw.decode("utf-8"))
        known, task, files = manifest["format"], manifest["task"], manifest["files"]
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise VerificationFailed(f"{folder}/{MANIFEST} is damaged; make the bundle again") from None
    if not isinstance(known, int) or known > FORMAT:
        raise UsageError(
            f"{folder} has bundle format {known}, newer than the {FORMAT} this version reads; update it"
        )
    if task not in KINDS:
        raise UsageError(f"{folder} is a bundle for the task {task!r}, not one of {', '.join(KINDS)}")
    if manifest.get(SEAL) != seal(manifest) or raw != _bytes(manifest) or not _hashes(files):
        raise VerificationFailed(f"{folder}/{MANIFEST} was altered; make the bundle again")
    return dict(manifest)


def _task(manifest: Mapping[str, Any]) -> AnyTask:
    """Raises ValueError when the settings are not those of the manifest's task."""
    task: AnyTask = TypeAdapter(AnyTask).validate_python(manifest["windows"])
    if task.kind != manifest["task"]:
        raise ValueError
    return task


def _hashes(files: Any) -> bool:
    return isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values())


def _check_files(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        found = hash_tree(folder)
    except PipelineError as error:
        raise VerificationFailed(str(error)) from None
    for name in sorted({*expected, *found}):
        _inside(name)
        if name not in found:
            raise VerificationFailed(f"bundle {folder}: {name} is missing; make the bundle again")
        if name not in expected:
            raise VerificationFailed(f"bundle {folder}: {name} is not in its manifest; remove it")
        if found[name]["sha256"] != expected[name].get("sha256"):
            raise VerificationFailed(f"bundle {folder}: {name} was altered; make the bundle again")


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise VerificationFailed(f"the manifest names {name!r}, which is outside of the bundle")
    return name
