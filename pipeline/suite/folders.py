"""A bundle's folder as a case describes it: a good one, what differs from it, and what Python says of it."""

from __future__ import annotations

import base64
import copy
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import bundles
from pipeline.recipe import AnyTask, Classification, Regression, Task
from pipeline.store import MANIFEST, SEAL, seal
from pipeline.types import PipelineError

FILES = {
    "README.md": "A small bundle.\n",
    "golden.json": "{}",
    "model.bin": "not a model",
    "package/weights.bin": "weights",
    "package/inner/manifest.json": "{}",
    "tokenizer.json": "{}",
    "vocab.txt": "[PAD]\n[UNK]\n",
}
TASKS: tuple[AnyTask, ...] = (
    Task(),
    Classification(kind="text-classification", labels=("no", "yes"), metrics=("accuracy", "f1")),
    Regression(kind="regression", agree_within=0.25),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One case."""

    name: str
    manifest: bytes | None
    """None: there is none."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """What differs from FILES; None where a file is not there."""
    links: Mapping[str, str] = field(default_factory=dict)
    wanted: str | None = None
    """The task that the reader is for."""


@dataclass(frozen=True, slots=True)
class Put:
    """A change of a manifest: a value put where the keys lead."""

    keys: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Drop:
    """A change of a manifest: what the keys lead to taken away."""

    keys: tuple[str, ...]


def put(value: Any, *keys: str) -> Put:
    """The value at these keys."""
    return Put(keys, value)


def manifest(*changes: Put | Drop, task: AnyTask = TASKS[0]) -> bytes:
    """A manifest over FILES with changes, sealed as if they belonged to it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _fill(folder, FILES)
        fields = {
            "name": "small",
            "target": "tflite",
            "program": "model.bin",
            "task": task.kind,
            "windows": task.model_dump(mode="json"),
            "lengths": {"fixed": [128, 384]},
            "verified": True,
            "precision": "int8",
            "metrics": {"em": 71.25, "f1": 80.0, "questions": 500},
        }
        bundles.write_manifest(folder, fields)
        made = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    changed = copy.deepcopy(made)
    for change in changes:
        *path, last = change.keys
        place = changed
        for key in path:
            place = place[key]
        if isinstance(change, Put):
            place[last] = change.value
        else:
            del place[last]
    return written({**changed, SEAL: seal(changed)})


def written(fields: Mapping[str, Any]) -> bytes:
    """The bytes that a manifest must have."""
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode()


def outcome(folder: Path, given: Given) -> dict[str, Any]:
    """The case in bundles.json: what is given, and what Python says of it or reads."""
    folder.mkdir()
    _fill(folder, {**FILES, **given.files})
    for link, target in given.links.items():
        (folder / link).symlink_to(target)
    if given.manifest is not None:
        (folder / MANIFEST).write_bytes(given.manifest)
    case = {
        "id": given.name,
        "files": dict(given.files),
        "links": dict(given.links),
        "wanted": given.wanted,
        **_readable(given.manifest),
    }
    try:
        read = bundles.read(folder, given.wanted)
    except PipelineError as error:
        return {**case, "says": str(error).removeprefix(f"bundle {folder}: ")}
    described = {
        "name": read.name,
        "target": read.target,
        "program": read.program.relative_to(folder).as_posix(),
        "lengths": list(read.lengths),
        "windows": read.task.model_dump(mode="json"),
        "seal": read.seal,
    }
    return {**case, "reads": described}


def _fill(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode())


def _readable(content: bytes | None) -> dict[str, Any]:
    """The manifest as text, or in base64 where it is no UTF-8."""
    if content is None:
        return {}
    try:
        return {"manifest": content.decode()}
    except UnicodeDecodeError:
        return {"manifest_base64": base64.b64encode(content).decode()}
