"""Folders of the cache that are made once: whole or not there, however many processes want them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock


def key(*parts: Any) -> str:
    """A short name for everything that determines a folder: 16 hexadecimal digits over JSON values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder(place: Path, make: Callable[[Path], None]) -> Path:
    """`place`, filled by `make` where it is not there yet.

    `make` is given an empty folder beside it, which takes its name when `make` is through; where it raises,
    nothing is left. Others who want the same place wait for it.
    """
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        if place.is_dir():
            return place
        work = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        try:
            make(work)
            work.chmod(0o755)
            work.rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


def size_bytes(place: Path) -> int:
    """Bytes of all plain files in a folder."""
    return sum(p.stat().st_size for p in place.rglob("*") if p.is_file() and not p.is_symlink())
