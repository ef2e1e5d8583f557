"""Labelled texts and pairs of texts: GLUE's TSV files, JSON lines (IMDb), hub data sets; their fingerprint."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.tasks import glue
from pipeline.types import DataError

IMDB, IMDB_HUB = "imdb", "stanfordnlp/imdb"
GLUE_HUB = "nyu-mll/glue"
HUB_TEXTS = (*((one.text, one.pair) for one in glue.LAYOUTS), ("premise", "hypothesis"), ("text", None))
"""Columns of hub data sets that hold the texts, the pairs first that have both."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text, or a pair of them, and its gold label's number or gold value."""

    id: str
    text: str
    pair: str | None
    gold: float


def read(source: str, split: str, limit: int | None, labels: tuple[str, ...]) -> list[Sentence]:
    """Texts of a folder, a .tsv or .jsonl file (plain or gzipped), glue/NAME, imdb, or a hub data set.

    A gold label is one of `labels` or its number; without labels gold values are numbers of any size.
    Raises DataError with one sentence, naming file and line, when the data cannot be used.
    """
    path = locate(source)
    if path is None:
        found = list(_read_hub(source, split, labels))
    else:
        if path.is_dir():
            path = glue.file_of(path, split)
        read_rows = glue.rows if path.suffix == ".tsv" else _json_rows
        found = [
            Sentence(str(number), text, pair, _gold(label, labels, f"{path}: line {number}"))
            for number, text, pair, label in _checked(read_rows(path), path)
        ]
    if not found:
        raise DataError(f"{source} holds no texts")
    return found[:limit]


def locate(source: str) -> Path | None:
    """The file or folder behind a source, or None when it names a hub data set."""
    path = Path(source)
    if path.exists() and source != IMDB:
        return path
    if path.suffix in {".tsv", ".jsonl", ".gz"} or path.is_absolute() or source.startswith((".", "~")):
        raise DataError(f"data file {source} does not exist; check the path")
    return None


def fingerprint(sentences: Iterable[Sentence]) -> str:
    """SHA-256 over texts and gold values in order; ids and file layout do not count."""
    digest = hashlib.sha256()
    for one in sentences:
        digest.update(json.dumps([one.text, one.pair, one.gold], ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _checked(rows: Iterable[glue.Row], path: Path) -> Iterator[glue.Row]:
    """Rows with the space around their texts gone, which the hub's copies of these files lack too."""
    for number, text, pair, label in rows:
        first, second = text.strip(), None if pair is None else pair.strip()
        if not first or second == "":
            raise DataError(f"{path}: line {number} has an empty text; correct it")
        yield number, first, second, label


def _gold(written: str, labels: tuple[str, ...], where: str) -> float:
    """A label's number, or a finite value."""
    if labels:
        if written in labels:
            return float(labels.index(written))
        if re.fullmatch(r"\d{1,4}", written) and int(written) < len(labels):
            return float(written)
        raise DataError(f"{where} has the label {written!r}; known are {', '.join(labels)}, or their numbers")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} has the gold value {written!r}, which is no number; correct it")
    return value


def _json_rows(path: Path) -> Iterator[glue.Row]:
    """One {"text", "label"} a line, "pair" besides where there is a second text."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        lines = raw.decode("utf-8-sig").split("\n")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path} is a damaged or truncated gzip file; fetch it again") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; convert it") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, pair, label = row["text"], row.get("pair"), row["label"]
        except (ValueError, KeyError, TypeError, AttributeError):
            text = pair = label = None
        known = isinstance(text, str) and isinstance(pair, str | None)
        if not known or isinstance(label, bool) or not isinstance(label, str | int | float):
            raise DataError(f'{path}: line {number} is no JSON object with "text" and "label"; correct it')
        yield number, str(text), pair, str(label)


def _read_hub(source: str, split: str, labels: tuple[str, ...]) -> Iterator[Sentence]:
    name, subset = (IMDB_HUB if source == IMDB else source), None
    benchmark = (
        glue.BENCHMARKS.get(source.removeprefix("glue/").lower()) if source.startswith("glue/") else None
    )
    if benchmark:
        name, subset = GLUE_HUB, benchmark.subset
        split = "validation_matched" if (subset, split) == ("mnli", "validation") else split
    elif source == IMDB:
        split = "test" if split == "validation" else split
    try:
        from datasets import load_dataset

        rows = load_dataset(name, subset, split=split)
    except Exception as error:  # the hub client raises many kinds; each means the same to the user
        raise DataError(
            f"data set {source!r} is neither a file here nor to be had from the Hugging Face hub "
            f"({type(error).__name__}); give a folder of TSV files or a .jsonl file"
        ) from None
    try:
        for number, row in enumerate(rows, start=1):
            first, second = _columns(row)
            pair = None if second is None else str(row[second]).strip()
            gold = _gold(str(row["label"]), labels, f"{source}: row {number}")
            yield Sentence(str(number), str(row[first]).strip(), pair, gold)
    except (KeyError, TypeError):
        raise DataError(
            f"data set {source!r} does not have a text column (sentence, text, …) and label"
        ) from None


def _columns(row: Mapping[str, Any]) -> tuple[str, str | None]:
    pairs = [names for names in HUB_TEXTS if all(name is None or name in row for name in names)]
    return sorted(pairs, key=lambda names: names[1] is None)[0] if pairs else ("text", None)
