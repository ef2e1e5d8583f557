"""Text as it comes: read line by line, packed without loss, or refused in one sentence."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Corpus
from pipeline.tasks import corpus
from pipeline.tasks.corpus import CorpusText, Packed
from pipeline.types import DataError, Silent

LINES = ["The old mill was built in 1858.", "It stands by the river Öre.", "東京タワー 🗼 is a tower."]


def text_of(source: Path, **more: Any) -> CorpusText:
    return CorpusText(Corpus(source=str(source), **more))


def write(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def jsonl(lines: Sequence[str]) -> bytes:
    return "".join(json.dumps({"title": "t", "text": line}) + "\n" for line in lines).encode()


def pack(source: Path, folder: Path, tokenizer: PreTrainedTokenizerBase, **options: Any) -> Packed:
    settings = {"length": 16, "layout": "packed", **options}
    return text_of(source).pack(folder, tokenizer, progress=Silent(), **settings)


PLAIN = "\n".join(LINES).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.txt", PLAIN),
        ("a.txt.gz", PLAIN),
        ("a.jsonl", jsonl(LINES)),
        ("a.jsonl.gz", jsonl(LINES)),
        ("windows.txt", PLAIN.replace(b"\n", b"\r\n")),
        ("no-end.txt", PLAIN.rstrip(b"\n")),
        ("blank-lines.txt", PLAIN.replace(b"\n", b"\n\n  \n")),
        ("marked.txt", b"\xef\xbb\xbf" + PLAIN),
        ("windows.jsonl", jsonl(LINES).replace(b"\n", b"\r\n")),
    ],
)
def test_the_same_documents_however_they_are_stored(name: str, raw: bytes, tmp_path: Path) -> None:
    found = text_of(write(tmp_path / name, raw))
    assert list(found.documents()) == LINES
    assert found.identity() == text_of(write(tmp_path / "plain" / "b.txt", PLAIN)).identity()


def test_a_folder_is_its_files_in_order_of_name(tmp_path: Path) -> None:
    write(tmp_path / "b" / "second.jsonl", jsonl(LINES[1:2]))
    write(tmp_path / "a.txt.gz", LINES[0].encode())
    write(tmp_path / "empty.txt", b"")
    write(tmp_path / "notes.md", b"not part of it")
    write(tmp_path / "z.txt", LINES[2].encode())
    assert list(text_of(tmp_path).documents()) == [LINES[0], LINES[1], LINES[2]]
    assert list(text_of(tmp_path, limit=2).documents()) == LINES[:2]


def test_identity_is_the_text_and_nothing_else(tmp_path: Path) -> None:
    one = text_of(write(tmp_path / "a.txt", PLAIN)).identity()
    assert one != text_of(write(tmp_path / "b.txt", PLAIN.replace(b"old", b"new"))).identity()
    assert one != text_of(write(tmp_path / "c.txt", b"\n".join(reversed(PLAIN.split(b"\n"))))).identity()
    assert text_of(tmp_path / "a.txt", fingerprint="0" * 64).identity() == "0" * 64
    hub = CorpusText(Corpus(source="some/where", subset="en", limit=3))
    assert hub.identity() == "hub:some/where:en:train:3"


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        ("latin.txt", PLAIN + "Agnès".encode("latin-1"), r"latin.txt, line 4 is not valid UTF-8 \(byte 0xe8\)"),
        ("half.jsonl", jsonl(LINES) + b'{"text": "cut sh', "half.jsonl, line 4 is no JSON object with a field"),
        ("other.jsonl", b'{"body": "x"}\n', "other.jsonl, line 1 is no JSON object with a field 'text'"),
        ("list.jsonl", b"[1, 2]\n", "list.jsonl, line 1 is no JSON object"),
        ("number.jsonl", b'{"text": 3}\n', "number.jsonl, line 1: its field 'text' is not text"),
    ],
)
def test_a_bad_line_is_named(name: str, raw: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        list(text_of(write(tmp_path / name, raw)).documents())


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", PLAIN * 100)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.txt\.gz is a damaged or truncated gzip file"):
        list(text_of(path).documents())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.txt", "does not exist"),
        ("./nowhere", "does not exist"),
        ("folder", r"corpus folder .* has no \.txt"),
        ("file.pdf", "is not one of"),
    ],
)
def test_a_source_that_cannot_be_one(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "file.pdf", b"x")
    source = name if name.startswith(".") else str(tmp_path / name)
    with pytest.raises(DataError, match=sentence):
        corpus.locate(source)


def test_a_line_of_ten_megabytes_goes_through(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    line = ("the river é built " * 600_000)[: 10 * 2**20]
    for name, raw in (("a.txt", line.encode() + b"\nThe end.\n"), ("a.jsonl", jsonl([line, "The end."]))):
        found = list(text_of(write(tmp_path / name, raw)).documents())
        assert found[-1] == "The end."
        assert "".join(found[:-1]).replace(" ", "") == line.replace(" ", "")
    short = tmp_path / "short.txt"
    write(short, line[:300_000].encode())
    made = pack(short, tmp_path / "packed", tokenizer, length=64)
    wanted = tokenizer(line[:300_000].strip(), add_special_tokens=False)["input_ids"]
    got = np.concatenate([made.ids(i)[1:-1] for i in range(len(made))])
    got = got[got != tokenizer.sep_token_id]
    assert got.tolist() == wanted


def test_a_line_too_long_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "LONGEST_LINE", 2**20)
    path = write(tmp_path / "a.jsonl", jsonl([LINES[0], "x" * 2**20]))
    with pytest.raises(DataError, match=r"a\.jsonl, line 2 is longer than 1 MB; split it"):
        list(text_of(path).documents())


@pytest.mark.parametrize("start", ["", "a", "aa", "aaa"])
@pytest.mark.parametrize("character", ["é", "東", "🗼"])
def test_characters_are_not_split_where_a_line_is(start: str, character: str, tmp_path: Path) -> None:
    line = start + character * 110_000
    found = list(text_of(write(tmp_path / "a.txt", line.encode())).documents())
    assert len(found) > 1
    assert "".join(found) == line


@pytest.mark.parametrize("layout", ["packed", "grouped"])
@pytest.mark.parametrize("length", [8, 16, 512])
def test_packing_keeps_every_token(
    layout: str, length: int, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    source = write(tmp_path / "a.txt", PLAIN * 7)
    made = pack(source, tmp_path / "packed", tokenizer, length=length, layout=layout)
    documents = [tokenizer(line, add_special_tokens=False)["input_ids"] for line in LINES * 7]
    rows = [made.ids(i).tolist() for i in range(len(made))]
    assert all(row[0] == tokenizer.cls_token_id and row[-1] == tokenizer.sep_token_id for row in rows)
    assert [len(row) for row in rows] == made.lengths(0, len(made)).tolist()
    assert made.tokens == sum(map(len, rows))
    inside = [row[1:-1] for row in rows]
    if layout == "packed":
        run = [token for ids in documents for token in [*ids, tokenizer.sep_token_id]]
        assert [t for row in inside for t in row] == run
        assert all(len(row) == length for row in rows[:-1])
    else:
        room = length - 2
        assert inside == [ids[at : at + room] for ids in documents for at in range(0, len(ids), room)]


def test_packing_is_done_once(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    source = write(tmp_path / "a.txt", PLAIN)
    before = pack(source, tmp_path / "packed", tokenizer).ids(0)
    source.unlink()
    write(source, b"something else")
    assert pack(source, tmp_path / "packed", tokenizer).ids(0).tolist() == before.tolist()
    (tmp_path / "packed" / "packed.json").unlink()  # as a kill while packing leaves it
    assert pack(source, tmp_path / "packed", tokenizer).ids(0).tolist() != before.tolist()


def test_other_text_than_the_fingerprint_stands_for(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    source = write(tmp_path / "a.txt", PLAIN)
    right, wrong = text_of(source).identity(), "0" * 64
    options: dict[str, Any] = {"length": 16, "layout": "packed", "progress": Silent()}
    text_of(source, fingerprint=right).pack(tmp_path / "right", tokenizer, **options)
    with pytest.raises(DataError, match="holds other text than the recipe's fingerprint 000000000000…"):
        text_of(source, fingerprint=wrong).pack(tmp_path / "wrong", tokenizer, **options)
    assert not (tmp_path / "wrong" / "packed.json").exists()


@pytest.mark.parametrize("raw", [b"", b"\n \n\r\n"])
def test_a_corpus_without_text_is_refused(
    raw: bytes, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(DataError, match="holds no text"):
        pack(write(tmp_path / "a.txt", raw), tmp_path / "packed", tokenizer)


def test_a_hub_that_cannot_be_reached_is_one_sentence() -> None:
    with pytest.raises(DataError, match="corpus 'no-such/corpus' is neither a path here nor to be had"):
        list(CorpusText(Corpus(source="no-such/corpus")).documents())
