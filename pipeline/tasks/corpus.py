"""Text without labels: read as a stream, packed once into a file of token sequences.

Nothing here holds the corpus in memory. On disk a packed corpus is three files: `tokens.bin`, all sequences
end to end; `ends.bin`, where each ends; `packed.json`, written last, which says that both are whole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline import distributed
from pipeline.recipe import Corpus
from pipeline.types import DataError, Progress

SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz")
LONGEST_LINE = 64 * 2**20
"""Bytes of one JSON line that are held at once; a longer one is refused."""
PIECE = 100_000
"""Characters of text that are tokenized at once; longer documents are cut at a space."""
TOGETHER = 2**20
"""Characters of text handed to the tokenizer in one call."""
RECORD = "packed.json"


@dataclass(frozen=True)
class CorpusText:
    """A recipe's corpus: its documents, and what stands for them in a key."""

    entry: Corpus

    def identity(self) -> str:
        """The documents' fingerprint; the hub name where neither the recipe nor a file here gives it."""
        if self.entry.fingerprint:
            return self.entry.fingerprint
        if self._path:
            return self._fingerprint
        parts = (self.entry.source, self.entry.subset or "", self.entry.split, self.entry.limit or "all")
        return "hub:" + ":".join(map(str, parts))

    @cached_property
    def _path(self) -> Path | None:
        return locate(self.entry.source)

    @cached_property
    def _fingerprint(self) -> str:
        """SHA-256 over the documents and their order; names and compression do not count."""
        seen = _Fingerprint(self.documents())
        deque(seen, maxlen=0)
        return seen.hexdigest()

    def documents(self) -> Iterator[str]:
        """The texts in order, one after the other.

        Raises DataError, naming file and line, at the first that cannot be read.
        """
        found = _read_folder(self._path, self.entry.field) if self._path else _read_hub(self.entry)
        for number, text in enumerate(found):
            if number == self.entry.limit:
                return
            yield text

    def pack(
        self,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        *,
        length: int,
        layout: str,
        progress: Progress,
    ) -> Packed:
        """Sequences of at most `length` tokens on disk, made once: a later call finds them there.

        Raises DataError when the text cannot be read, holds nothing, or is not what the fingerprint says.
        """
        with distributed.first_goes_first():
            if not (folder / RECORD).is_file():
                self._pack(folder, tokenizer, length, layout, progress)
        return Packed(folder)

    def _pack(
        self,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        layout: str,
        progress: Progress,
    ) -> None:
        seen = _Fingerprint(self.documents())
        record = _pack(iter(seen), folder, tokenizer, length, layout, progress)
        if not record["sequences"]:
            raise DataError(f"corpus {self.entry.source} holds no text")
        expected = self.entry.fingerprint
        if expected and seen.hexdigest() != expected:
            raise DataError(
                f"{self.entry.source} holds other text than the recipe's fingerprint {expected[:12]}… "
                "stands for; name it with --corpus to use it all the same"
            )
        partial = folder / f".{RECORD}"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(partial, folder / RECORD)


class _Fingerprint:
    """Documents on their way to somewhere else, hashed as they pass."""

    def __init__(self, documents: Iterator[str]) -> None:
        self.documents, self.digest = documents, hashlib.sha256()

    def __iter__(self) -> Iterator[str]:
        for text in self.documents:
            raw = text.encode("utf-8", "surrogatepass")
            self.digest.update(len(raw).to_bytes(8, "big"))
            self.digest.update(raw)
            yield text

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


def locate(source: str) -> Path | None:
    """The file or folder behind a source; None when it names a hub data set.

    Raises DataError when it is a path, but nothing of use is there.
    """
    path = Path(source).expanduser()
    if path.is_dir() and not _files(path):
        raise DataError(f"corpus folder {source} has no {', '.join(SUFFIXES)} file in it")
    if path.is_file() and not source.endswith(SUFFIXES):
        raise DataError(f"corpus file {source} is not one of {', '.join(SUFFIXES)}")
    if path.exists():
        return path
    if source.endswith(SUFFIXES) or source.startswith((".", "/", "~")):
        raise DataError(f"corpus {source} does not exist; check the path")
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(SUFFIXES))


def _read_folder(path: Path, field: str) -> Iterator[str]:
    for file in _files(path) if path.is_dir() else [path]:
        read = _json_lines(file, field) if ".jsonl" in file.suffixes else _text_lines(file)
        try:
            yield from read
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DataError(f"{file} is a damaged or truncated gzip file; fetch it again") from None
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from None


def _open(file: Path) -> BinaryIO:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


def _text_lines(file: Path) -> Iterator[str]:
    """Lines that are not empty, a long one in pieces; either kind of line end."""
    with _open(file) as lines:
        number, rest = 1, b""
        while part := lines.readline(PIECE):
            whole = part.endswith(b"\n")
            part = rest + part
            at = len(part) if whole or len(part) < PIECE else _last_break(part)
            rest = part[at:]
            if text := _decoded(part[:at], file, number).strip():
                yield text
            if whole:
                number += 1
        if rest and (text := _decoded(rest, file, number).strip()):
            yield text


def _last_break(part: bytes) -> int:
    """Where a long line is cut: after its last space, or before its last character where it has none."""
    at = part.rfind(b" ") + 1 or len(part) - 1
    while at > 0 and at < len(part) and part[at] & 0xC0 == 0x80:
        at -= 1
    return at or len(part)


def _json_lines(file: Path, field: str) -> Iterator[str]:
    with _open(file) as lines:
        number = 0
        while line := lines.readline(LONGEST_LINE + 1):
            number += 1
            where = f"{file}, line {number}"
            if len(line) > LONGEST_LINE:
                raise DataError(f"{where} is longer than {LONGEST_LINE // 2**20} MB; split it")
            text = _decoded(line, file, number).strip()
            if not text:
                continue
            try:
                document = json.loads(text)[field]
            except (ValueError, TypeError, KeyError):
                raise DataError(f"{where} is no JSON object with a field {field!r}; correct it") from None
            if not isinstance(document, str):
                raise DataError(f"{where}: its field {field!r} is not text; correct it")
            if document.strip():
                yield document


def _decoded(raw: bytes, file: Path, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}, line {number} is not valid UTF-8 (byte 0x{raw[error.start]:02x}); convert the file"
        ) from None


def _read_hub(entry: Corpus) -> Iterator[str]:
    try:
        from datasets import load_dataset

        for row in load_dataset(entry.source, entry.subset, split=entry.split, streaming=True):
            if row[entry.field].strip():
                yield row[entry.field]
    except Exception as error:  # the hub client raises many kinds; each means the same to the user
        raise DataError(
            f"corpus {entry.source!r} is neither a path here nor to be had from the Hugging Face hub "
            f"({type(error).__name__}); give a local one with --corpus"
        ) from None


def _pieces(text: str) -> Iterator[str]:
    """A long document in parts, cut at spaces."""
    while len(text) > PIECE:
        at = text.rfind(" ", 1, PIECE) + 1 or PIECE
        yield text[:at]
        text = text[at:]
    yield text


def _tokenized(
    documents: Iterator[str], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[list[int], bool]]:
    """Token ids of every piece of text, and whether its document ends there."""
    pieces: list[str] = []
    ends: list[bool] = []

    def ids() -> Iterator[tuple[list[int], bool]]:
        encoded = tokenizer(
            pieces, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        yield from zip(encoded, ends, strict=True)
        pieces.clear()
        ends.clear()

    waiting = 0
    for document in documents:
        parts = list(_pieces(document))
        for part in parts:
            pieces.append(part)
            ends.append(part is parts[-1])
            waiting += len(part)
            if waiting >= TOGETHER:
                yield from ids()
                waiting = 0
    if pieces:
        yield from ids()


def _sequences(
    tokens: Iterator[tuple[list[int], bool]], room: int, layout: str, separator: int
) -> Iterator[list[int]]:
    """Runs of at most `room` ids. packed: documents follow each other, a separator between them."""
    waiting: list[int] = []
    for ids, ends in tokens:
        waiting.extend(ids)
        if ends and layout == "packed":
            waiting.append(separator)
        full = len(waiting) // room * room
        for first in range(0, full, room):
            yield waiting[first : first + room]
        del waiting[:full]
        if ends and layout == "grouped" and waiting:
            yield waiting
            waiting = []
    if [token for token in waiting if token != separator]:
        yield waiting


def _pack(
    documents: Iterator[str],
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    layout: str,
    progress: Progress,
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    before, after = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
    count = total = 0
    with (folder / "tokens.bin").open("wb") as tokens, (folder / "ends.bin").open("wb") as ends:
        for run in _sequences(_tokenized(documents, tokenizer), length - 2, layout, after):
            ids = np.array([before, *run, after], dtype)
            tokens.write(ids.tobytes())
            count, total = count + 1, total + len(ids)
            ends.write(np.uint64(total).tobytes())
            if count % 2000 == 0:
                progress.update(0, 1, f"packing text: {total:,} tokens")
    return {
        "sequences": count,
        "tokens": total,
        "dtype": np.dtype(dtype).name,
        "length": length,
        "vocabulary": len(tokenizer),
        "mask": int(tokenizer.mask_token_id),
        "special": sorted(int(i) for i in tokenizer.all_special_ids),
    }


class Packed:
    """Sequences on disk, read one at a time, so that memory does not grow with them."""

    def __init__(self, folder: Path) -> None:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        self.tokens, self.count = int(record["tokens"]), int(record["sequences"])
        self.vocabulary, self.mask = int(record["vocabulary"]), int(record["mask"])
        self.special = np.array(record["special"], np.int64)
        self.dtype = np.dtype(record["dtype"])
        self._tokens = os.open(folder / "tokens.bin", os.O_RDONLY)
        self._ends = os.open(folder / "ends.bin", os.O_RDONLY)

    def __del__(self) -> None:
        for handle in (getattr(self, "_tokens", None), getattr(self, "_ends", None)):
            if handle is not None:
                os.close(handle)

    def __len__(self) -> int:
        return self.count

    def bounds(self, first: int, last: int) -> np.ndarray:
        """Where sequences [first, last) begin and end in the token file: int64 (last − first + 1,)."""
        skip = max(first - 1, 0)
        raw = os.pread(self._ends, (last - skip) * 8, skip * 8)
        found = np.frombuffer(raw, np.uint64).astype(np.int64)
        return found if first else np.concatenate([[0], found])

    def lengths(self, first: int, last: int) -> np.ndarray:
        """Tokens of each of the sequences [first, last)."""
        return np.diff(self.bounds(first, last))

    def ids(self, index: int) -> np.ndarray:
        """One sequence, int64 (seq,)."""
        begin, end = self.bounds(index, index + 1)
        size = self.dtype.itemsize
        raw = os.pread(self._tokens, (end - begin) * size, begin * size)
        return np.frombuffer(raw, self.dtype).astype(np.int64)
