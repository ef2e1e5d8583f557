"""Results that come with the package: packed small, found by key, unpacked to the very bytes a stage made.

    pretrained/NAME/manifest.json      the stage's own manifest, and every evaluation its store holds of it
    pretrained/NAME/packed.safetensors its weights: matrices as int8 rows and scales, vectors as they are
    pretrained/NAME/*                  its other files

A matrix or file that another shipped result already holds is stored once: metadata says whose it is. Write
one with python -m pipeline.shipped STORE KEY NAME [--shares NAME …].
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline.numerics import quantize_rows
from pipeline.store import MANIFEST, SEAL, seal, sha256_file
from pipeline.types import PipelineError, UsageError

PRETRAINED = Path(__file__).parent / "pretrained"
PACKED = "packed.safetensors"
WEIGHTS = "model.safetensors"
SCALE = "::scale"
ELSEWHERE = "elsewhere"


class Pretrained:
    """The shipped results of one folder."""

    def __init__(self, root: Path = PRETRAINED) -> None:
        self.root = root

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of the shipped result with this key, if there is one."""
        folder = self._folder(key)
        return _read_manifest(folder) if folder else None

    def unpack(self, key: str, out: Path) -> None:
        """Writes its files into `out`, exactly as its stage did."""
        folder = self._folder(key)
        assert folder is not None, key
        for name in _read_manifest(folder)["files"]:
            if name != WEIGHTS:
                shutil.copyfile(self._file(folder, name), out / name)
        save_file(self._weights(folder), str(out / WEIGHTS), metadata={"format": "pt"})

    def _folder(self, key: str) -> Path | None:
        for manifest in sorted(self.root.glob(f"*/{MANIFEST}")):
            if _read_manifest(manifest.parent)["key"] == key:
                return manifest.parent
        return None

    def _file(self, folder: Path, name: str) -> Path:
        """Where one of a result's files lies: with it, or with the result it has it in common with."""
        owner = _elsewhere(folder)["files"].get(name)
        return self._file(self.root / owner, name) if owner else folder / name

    def _weights(self, folder: Path) -> dict[str, torch.Tensor]:
        stored = load_file(str(folder / PACKED))
        weights = {}
        for name, tensor in stored.items():
            if not name.endswith(SCALE):
                scale = stored.get(name + SCALE)
                weights[name] = tensor if scale is None else tensor.float() * scale
        for name, (owner, theirs) in _elsewhere(folder)["matrices"].items():
            weights[name] = self._weights(self.root / owner)[theirs]
        return dict(sorted(weights.items()))


def _elsewhere(folder: Path) -> dict[str, dict[str, Any]]:
    """Which matrices and files of a packed result other results hold: name → who, and for matrices, as what."""
    with safe_open(str(folder / PACKED), "pt") as file:
        said = (file.metadata() or {}).get(ELSEWHERE)
    found: dict[str, dict[str, Any]] = json.loads(said) if said else {"matrices": {}, "files": {}}
    return found


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def pack(result: Path, folder: Path, shares: Sequence[Path] = ()) -> None:
    """Ships a store's result as `folder`; matrices and files that `shares` has as well are not stored again.

    Raises UsageError when the weights do not lie on the int8 grid, so that packing would change them.
    """
    weights = load_file(str(result / WEIGHTS))
    theirs = {other.name: Pretrained(other.parent)._weights(other) for other in shares}
    packed: dict[str, torch.Tensor] = {}
    owners: dict[str, tuple[str, str]] = {}
    for name, tensor in weights.items():
        same = [(o, n) for o, held in theirs.items() for n, t in held.items() if _same_bits(t, tensor)]
        if tensor.dim() >= 2 and same:
            owners[name] = same[0]
        elif tensor.dim() >= 2:
            values, scale = quantize_rows(tensor)
            if not _same_bits(values.float() * scale, tensor):
                raise UsageError(f"{name} is not on the int8 grid; train with storage = 'int8' to ship it")
            packed[name], packed[name + SCALE] = values, scale
        else:
            packed[name] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    beside = {path.name: path for path in result.iterdir() if path.name not in {WEIGHTS, MANIFEST}}
    common = {
        name: other.name for other in shares for name, path in beside.items() if _holds(other, name, path)
    }
    elsewhere = json.dumps({"matrices": owners, "files": common}, sort_keys=True)
    save_file(packed, str(folder / PACKED), metadata={ELSEWHERE: elsewhere})
    (folder / PACKED).chmod(0o644)
    for name, path in beside.items():
        if name not in common:
            shutil.copyfile(path, folder / name)
    manifest = {**_read_manifest(result), "evaluations": evaluations(result)}
    manifest[SEAL] = seal(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")


def _holds(other: Path, name: str, path: Path) -> bool:
    """Whether a shipped result has the very same file."""
    listed = _read_manifest(other)["files"].get(name)
    return listed is not None and listed["sha256"] == sha256_file(path)


def evaluations(result: Path) -> list[dict[str, Any]]:
    """What the result's store has measured of it on held-out data: metrics, data, tools, command."""
    model = _read_manifest(result)["sha256"]
    found = [_read_manifest(path.parent) for path in sorted(result.parent.glob(f"*/{MANIFEST}"))]
    kept = ("inputs", "metrics", "made")
    return [
        {name: manifest[name] for name in kept}
        for manifest in found
        if manifest["kind"] == "evaluate" and manifest["inputs"]["parents"]["model"] == model
    ]


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether both have the same bytes: unlike `torch.equal`, 0.0 and -0.0 differ."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def main() -> int:
    """Packs one result of a store into the package."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.shipped", description=main.__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("key")
    parser.add_argument("name")
    parser.add_argument(
        "--shares", nargs="*", default=[], help="shipped results whose matrices and files it may have in common"
    )
    given = parser.parse_args()
    try:
        shares = [PRETRAINED / name for name in given.shares]
        pack(given.store / "results" / given.key, PRETRAINED / given.name, shares)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
