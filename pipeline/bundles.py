"""Bundles as others see them: written once, checked byte by byte before anything in them is used.

apps/README.md states the contract; this file is its Python reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import TypeAdapter

import exporters.base as exporters
from exporters.base import Runner
from pipeline.recipe import KINDS, AnyTask
from pipeline.store import MANIFEST, SEAL, hash_tree, seal
from pipeline.types import MissingTool, UsageError, VerificationFailed

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
    why_not_verified: str | None = None
    """None: its program was run and passed verification."""
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
    """The inverse of `lengths_field`. Raises ValueError for anything but ascending whole numbers from 1 on."""
    ends = field["fixed"] if "fixed" in field else [field["shortest"], field["longest"]]
    if not ends or not all(type(length) is int and length > 0 for length in ends):
        raise ValueError
    found = tuple(ends) if "fixed" in field else tuple(range(ends[0], ends[1] + 1))
    if not found or any(first >= second for first, second in pairwise(found)):
        raise ValueError
    return found


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """manifest.json over all files of a bundle folder, sealed: its own bytes count as well."""
    manifest = {"format": FORMAT, **fields, "files": hash_tree(folder)}
    (folder / MANIFEST).write_bytes(_bytes({**manifest, SEAL: seal(manifest)}))


def _bytes(manifest: Mapping[str, Any]) -> bytes:
    """The one way a manifest is written, so that any other byte is an alteration."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()


def read(folder: Path, wanted: str | None = None) -> Bundle:
    """Opens a bundle; with `wanted`, one of that task only.

    Raises UsageError when the folder is no bundle that this version reads, VerificationFailed when any
    file is missing, added or altered. After "bundle FOLDER: " the message is the contract's, word by word.
    """
    manifest = _manifest(folder, wanted)
    _check_files(folder, manifest["files"])
    try:
        bundle = Bundle(
            path=folder,
            name=_string(manifest["name"]),
            target=_string(manifest["target"]),
            program=folder / _inside(folder, _string(manifest["program"])),
            task=_task(manifest),
            metrics=_object(manifest["metrics"]),
            lengths=_lengths(manifest["lengths"]),
            seal=str(manifest[SEAL]),
            precision=manifest.get("precision"),
            why_not_verified=_why_not_verified(manifest),
            random_weights=bool(manifest.get("random_weights", False)),
            parameters=manifest.get("parameters"),
            multiply_adds=MultiplyAdds(**manifest["multiply_adds"]) if "multiply_adds" in manifest else None,
        )
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"bundle {folder}: {MANIFEST} lacks a field that a bundle needs; make the bundle again"
        ) from None
    program = str(manifest["program"])
    if not any(name == program or name.startswith(f"{program}/") for name in manifest["files"]):
        raise VerificationFailed(f"bundle {folder}: its program is missing; make the bundle again")
    return bundle


def other_task(kind: str, wanted: str) -> str:
    """Why a bundle is refused whose task is known and not the one that is asked of it."""
    return f"its task is {_shown(kind)}, and {_shown(wanted)} is wanted"


def _manifest(folder: Path, wanted: str | None) -> dict[str, Any]:
    if not folder.is_dir():
        raise UsageError(f"bundle {folder} does not exist; make one with python -m pipeline.run")
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
        known, task, files = _counting(manifest["format"]), manifest["task"], manifest["files"]
        written = _bytes(manifest)
    except FileNotFoundError:
        raise UsageError(f"bundle {folder}: it has no {MANIFEST}, so it is not a bundle") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise VerificationFailed(f"bundle {folder}: {MANIFEST} is damaged; make the bundle again") from None
    if known > FORMAT:
        raise UsageError(
            f"bundle {folder}: it has format {known}, newer than the {FORMAT} this software reads; "
            "update the software"
        )
    if task not in KINDS:
        raise UsageError(f"bundle {folder}: its task is {_shown(task)}, not one of {', '.join(KINDS)}")
    if wanted is not None and task != wanted:
        raise UsageError(f"bundle {folder}: {other_task(task, wanted)}")
    if manifest.get(SEAL) != seal(manifest) or raw != written or not _hashes(files):
        raise VerificationFailed(f"bundle {folder}: {MANIFEST} was altered; make the bundle again")
    return dict(manifest)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError when it names a key twice, which readers take in different ways."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError
    return made


def _shown(value: Any) -> str:
    """A value of the manifest inside of a sentence: JSON in ASCII, which every platform writes alike."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _counting(value: Any) -> int:
    """A whole number from 1 on; a bool is none."""
    if type(value) is not int or value < 1:
        raise TypeError
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _why_not_verified(manifest: Mapping[str, Any]) -> str | None:
    """Older bundles do not say; all of them were verified."""
    if manifest.get("verified", True):
        return None
    return str(manifest.get("why_not_verified", "its manifest does not say why"))


def _task(manifest: Mapping[str, Any]) -> AnyTask:
    """Raises ValueError when the settings are not those of the manifest's task, all of them and no others.

    Strict, and without defaults: what Python would fill in or convert, another reader would not.
    """
    settings = manifest["windows"]
    task: AnyTask = TypeAdapter(AnyTask).validate_json(json.dumps(settings), strict=True)
    if task.kind != manifest["task"] or set(settings) != set(type(task).model_fields):
        raise ValueError
    return task


def _hashes(files: Any) -> bool:
    return isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values())


def _check_files(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_symlink():
            name = path.relative_to(folder).as_posix()
            raise VerificationFailed(
                f"bundle {folder}: {name} is a symbolic link; a bundle holds plain files only"
            )
    found = hash_tree(folder)
    for name in sorted({*expected, *found}):
        _inside(folder, name)
        if name not in found:
            raise VerificationFailed(f"bundle {folder}: {name} is missing; make the bundle again")
        if name not in expected:
            raise VerificationFailed(f"bundle {folder}: {name} is not in its manifest; remove it")
        if found[name]["sha256"] != expected[name].get("sha256"):
            raise VerificationFailed(f"bundle {folder}: {name} was altered; make the bundle again")


def _inside(folder: Path, name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise VerificationFailed(
            f"bundle {folder}: {MANIFEST} names {_shown(name)}, which is outside of the bundle"
        )
    return name
