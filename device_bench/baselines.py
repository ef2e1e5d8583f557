"""The baselines of a measurement: bundles that are given, or made once in a process of their own and kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import exporters.base as exporters
from device_bench.measurement import Precision
from pipeline import bundles
from pipeline.bundles import Bundle
from pipeline.store import MANIFEST, tool_version
from pipeline.types import MissingTool, PipelineError, Progress, UsageError, VerificationFailed

SHAPES = ("bert-base", "bert-tiny", "linears")
"""What `python -m pipeline.baseline` makes; linears are the peak that a runtime reaches on a device."""
PEAK = "linears"
MADE = 1
"""Raise it where the verb makes other bundles of the same bundle, length and tools."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def find(
    name: str,
    like: Bundle,
    precisions: Sequence[Precision],
    root: Path,
    progress: Progress,
    *,
    length: int | None = None,
) -> tuple[Bundle, ...]:
    """What `--baseline` names: a shape's bundle in each precision, or the bundle in a folder.

    A shape's bundles are of the same target and lengths as `like`, or of only one of its lengths; they are
    kept under `root` and made where they are missing. Raises UsageError for a name that is neither, or a
    bundle of another target; otherwise what the making raises.
    """
    if name in SHAPES:
        return _made(name, like, precisions, root, progress, length)
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(f"--baseline {name!r} is neither a folder nor one of {', '.join(SHAPES)}")
    bundle = bundles.read(folder)
    if bundle.target != like.target:
        raise UsageError(
            f"{folder} is a bundle for {bundle.target}, and {like.path} is for {like.target}; "
            "programs are compared within one runtime"
        )
    return (bundle,)


def key(shape: str, like: Bundle, length: int | None) -> str:
    """SHA-256 over all that determines the bundles of a shape, but their precision."""
    manifest = json.loads((like.path / MANIFEST).read_text(encoding="utf-8"))
    packages = ("torch", *exporters.find(like.target).packages)
    determines = {
        "made": MADE,
        "shape": shape,
        "target": like.target,
        "lengths": bundles.lengths_field(like.lengths),
        "length": length,
        "windows": manifest["windows"],
        "tokenizer": [manifest["files"].get(name, {}).get("sha256") for name in TOKENIZER],
        "tools": {package: tool_version(package) for package in packages},
    }
    return hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()


def _made(
    shape: str,
    like: Bundle,
    precisions: Sequence[Precision],
    root: Path,
    progress: Progress,
    length: int | None,
) -> tuple[Bundle, ...]:
    out = root / f"{like.target}-{key(shape, like, length)[:16]}"
    places = {precision: out / f"{shape}-{precision}" for precision in precisions}
    found = {precision: _stored(place, progress) for precision, place in places.items()}
    missing = [precision for precision, bundle in found.items() if bundle is None]
    if missing:
        named = " and ".join(missing)
        progress.say(f"making {shape} in {named} for {like.target}, once for all measurements like this one")
        _make(shape, like, missing, out, root / "store", length)
    return tuple(found[precision] or bundles.read(place) for precision, place in places.items())


def _stored(place: Path, progress: Progress) -> Bundle | None:
    """A bundle made before; one that was damaged since is dropped."""
    if not place.exists():
        return None
    try:
        return bundles.read(place)
    except (UsageError, VerificationFailed) as error:
        progress.say(f"{error}: made again")
        shutil.rmtree(place)
        return None


def _make(
    shape: str, like: Bundle, precisions: Sequence[Precision], out: Path, store: Path, length: int | None
) -> None:
    """Runs the verb; its sentence becomes ours where it fails."""
    flags = ["--like", str(like.path), "--shape", shape, "--precision", ",".join(precisions)]
    flags += ["--out", str(out), "--store", str(store)]
    flags += [] if length is None else ["--length", str(length)]
    command = [sys.executable, "-m", "pipeline.baseline", *flags]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode} and said nothing"])[-1]
    kinds = {kind.exit_code: kind for kind in (UsageError, MissingTool)}
    kind = kinds.get(done.returncode, PipelineError)
    raise kind(f"baseline {shape} for {like.target} could not be made: {said.removeprefix('error: ')}")
