"""What lies in a .mlpackage: its files, what its description says of it, the lengths it takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.base import DESCRIPTIONS

DATE_KEY = "com.github.apple.coremltools.conversion_date"
_OWN_FIELDS = ("author", "licence", "license", "description", "version")
"""Entries that Core ML has fields for."""
# Identifiers only have to differ inside a package; Core ML draws them at random, which would change the bytes.
_MODEL_ID, _WEIGHTS_ID = "6A1B7A0C-2F55-4E0B-9D0E-3C5D51B1F0A1", "6A1B7A0C-2F55-4E0B-9D0E-3C5D51B1F0A2"
_MANIFEST = {
    "fileFormatVersion": "1.0.0",
    "itemInfoEntries": {
        _MODEL_ID: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel",
        },
        _WEIGHTS_ID: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": "com.apple.CoreML/weights",
        },
    },
    "rootModelIdentifier": _MODEL_ID,
}


def describe(specification: Any, entries: Mapping[str, str]) -> None:
    """What Xcode and an app can read of the model; no date, so that bytes repeat."""
    description = specification.description
    described = description.metadata
    described.author = entries.get("author", "")
    described.license = entries.get("licence", entries.get("license", ""))
    described.shortDescription = entries.get("description", "")
    described.versionString = entries.get("version", "")
    described.userDefined.pop(DATE_KEY, None)
    for key, value in entries.items():
        if key not in _OWN_FIELDS:
            described.userDefined[key] = str(value)
    for feature in (*description.input, *description.output):
        feature.shortDescription = DESCRIPTIONS[feature.name]
    for feature in description.input:  # coremltools keeps them in a set.
        shapes = feature.type.multiArrayType.enumeratedShapes.shapes
        if shapes:
            shapes.sort(key=lambda shape: tuple(shape.shape))


def save(specification: Any, weights: Path, package: Path) -> None:
    """Writes the package's three files ourselves: coremltools' writer draws random identifiers."""
    from exporters.mil import DATA

    shutil.rmtree(package, ignore_errors=True)
    folder = package / DATA
    (folder / "weights").mkdir(parents=True)
    (folder / "model.mlmodel").write_bytes(specification.SerializeToString(deterministic=True))
    shutil.copyfile(weights / "weight.bin", folder / "weights" / "weight.bin")
    (package / "Manifest.json").write_text(json.dumps(_MANIFEST, indent=4, sort_keys=True), encoding="utf-8")


def size_bytes(package: Path) -> int:
    """Of all its files."""
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file())


def lengths(specification: Any) -> tuple[int, ...]:
    """Every sequence length that the first input takes, ascending."""
    array = specification.description.input[0].type.multiArrayType
    if array.enumeratedShapes.shapes:
        return tuple(sorted(int(shape.shape[-1]) for shape in array.enumeratedShapes.shapes))
    if array.shapeRange.sizeRanges:
        allowed = array.shapeRange.sizeRanges[-1]
        return tuple(range(max(1, allowed.lowerBound), allowed.upperBound + 1))
    return (int(array.shape[-1]),)
