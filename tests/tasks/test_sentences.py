"""GLUE's files in their published layouts, JSON lines, the hub's columns; and what is wrong said by line."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.tasks import sentences
from pipeline.tasks.glue import BENCHMARKS
from pipeline.tasks.sentences import Sentence
from pipeline.types import DataError

TWO = ("negative", "positive")
ENTAILS = ("entailment", "not_entailment")
FILES: dict[str, tuple[str, tuple[str, str | None, float]]] = {
    "SST-2": ("sentence\tlabel\nit 's \"charming . \t1\n", ("it 's \"charming .", None, 1.0)),
    "CoLA": ("gj04\t0\t*\tThe sailors rode.\n", ("The sailors rode.", None, 0.0)),
    "MRPC": (
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe said "it\t"It fits.\n',
        ('He said "it', '"It fits.', 1.0),
    ),
    "STS-B": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tmain\tMSR\t2012\t0\tnone\tnone\tA man.\tA hat.\t3.800\n",
        ("A man.", "A hat.", 3.8),
    ),
    "RTE": ("index\tsentence1\tsentence2\tlabel\r\n0\tA b.\tC.\tnot_entailment\r\n", ("A b.", "C.", 1.0)),
    "QNLI": ("index\tquestion\tsentence\tlabel\n0\tWho?\tHe did.\tentailment\n", ("Who?", "He did.", 0.0)),
    "WNLI": ("index\tsentence1\tsentence2\tlabel\n0\tIt is.\tB is.\t1\n", ("It is.", "B is.", 1.0)),
    "QQP": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tbroken\n1\t2\t3\tA?\tB?\t0\n",
        ("A?", "B?", 0.0),
    ),
    "MNLI": (
        "index\tpairID\tsentence1\tsentence2\tlabel1\tgold_label\n0\t1\tA.\tB.\tneutral\tcontradiction\n",
        ("A.", "B.", 2.0),
    ),
}


def folder(path: Path, text: str, name: str = "dev.tsv") -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_task_in_its_original_layout(name: str, tmp_path: Path) -> None:
    text, (first, second, gold) = FILES[name]
    file = "dev_matched.tsv" if name == "MNLI" else "dev.tsv"
    at = folder(tmp_path / name, text, file)
    found = sentences.read(str(at), "validation", None, BENCHMARKS[name.lower()].labels)
    assert [(one.text, one.pair, one.gold) for one in found] == [(first, second, gold)]
    assert found == sentences.read(str(at / file), "train", None, BENCHMARKS[name.lower()].labels)


def test_splits_are_files(tmp_path: Path) -> None:
    text = "sentence1\tsentence2\tgold_label\nA.\tB.\tneutral\n"
    folder(tmp_path, text, "train.tsv")
    folder(tmp_path, text.replace("A.", "C."), "dev_mismatched.tsv")
    labels = BENCHMARKS["mnli"].labels
    assert sentences.read(str(tmp_path), "train", None, labels)[0].text == "A."
    assert sentences.read(str(tmp_path), "validation_mismatched", None, labels)[0].text == "C."
    with pytest.raises(DataError, match=r"has no dev\.tsv or dev_matched\.tsv; give a folder with GLUE's"):
        sentences.read(str(tmp_path), "validation", None, labels)


def test_other_characters_do_not_end_a_line(tmp_path: Path) -> None:
    folder(tmp_path, "sentence\tlabel\na\u2028b\x85c\x0cd\t1\nno\t0\n")
    found = sentences.read(str(tmp_path), "validation", None, TWO)
    assert [one.text for one in found] == ["a\u2028b\x85c\x0cd", "no"]
    assert len(sentences.read(str(tmp_path), "validation", 1, TWO)) == 1


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("sentence\tlabel\nfine\t1\nbad\n", TWO, "line 3 has 1 columns, the first has 2; correct it"),
        ("sentence\tlabel\na\tb\t1\n", TWO, "line 2 has 3 columns"),
        ("sentence\tlabel\n \t1\n", TWO, "line 2 has an empty text"),
        ("sentence\tlabel\na\t2\n", TWO, "line 2 has the label '2'; known are negative, positive"),
        ("sentence\tlabel\na\t-1\n", TWO, "line 2 has the label '-1'"),
        ("sentence\tlabel\na\tgood\n", TWO, "line 2 has the label 'good'"),
        ("sentence1\tsentence2\tscore\na\tb\tx\n", (), "line 2 has the gold value 'x', which is no number"),
        ("sentence1\tsentence2\tscore\na\tb\tnan\n", (), "line 2 has the gold value 'nan'"),
        ("something\telse\n", TWO, "line 1 is no header of a GLUE task"),
        ("", TWO, "line 1 is no header of a GLUE task"),
        ("sentence\tlabel\n", TWO, "holds no texts"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    text: str, labels: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        sentences.read(str(folder(tmp_path / "task", text)), "validation", None, labels)
    assert said in str(caught.value)
    assert "task" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\n\xff\t1\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        sentences.read(str(tmp_path), "validation", None, TWO)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 9)[:-12])
    with pytest.raises(DataError, match="damaged or truncated gzip file"):
        sentences.read(str(tmp_path / "a.jsonl.gz"), "train", None, TWO)
    for missing in ("nowhere/dev.tsv", "./nowhere", "/nowhere/at/all", "reviews.jsonl.gz"):
        with pytest.raises(DataError, match="does not exist; check the path"):
            sentences.read(missing, "train", None, TWO)


@pytest.mark.parametrize("packed", [False, True])
def test_reviews_are_json_lines(packed: bool, tmp_path: Path) -> None:
    rows = [
        {"id": "1_3", "text": "Oh dear!\n\nNo.", "label": 0, "rating": 3},
        {"text": "Yes", "label": "positive"},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    path = tmp_path / ("reviews.jsonl" + ".gz" * packed)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = sentences.read(str(path), "train", None, TWO)
    assert [(one.text, one.gold) for one in found] == [("Oh dear!\n\nNo.", 0.0), ("Yes", 1.0)]


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"text": 3, "label": 0}', '{"text": "a"}', '{"text": "a", "label": true}']
)
def test_a_line_that_is_no_labelled_text(line: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "a", "label": 1}\n' + line + "\n")
    with pytest.raises(DataError, match='line 2 is no JSON object with "text" and "label"'):
        sentences.read(str(path), "train", None, TWO)


def hub(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Stands in for the hub: what it was asked, and these rows."""
    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, subset: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((name, subset, split))
        return rows

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


@pytest.mark.parametrize(
    ("source", "split", "row", "asked", "found"),
    [
        (
            "glue/SST-2",
            "validation",
            {"sentence": "a ", "label": 1},
            ("nyu-mll/glue", "sst2", "validation"),
            ("a", None),
        ),
        (
            "glue/mnli",
            "validation",
            {"premise": "a", "hypothesis": "b", "label": 1},
            ("nyu-mll/glue", "mnli", "validation_matched"),
            ("a", "b"),
        ),
        (
            "glue/QNLI",
            "train",
            {"question": "a", "sentence": "b", "label": 1},
            ("nyu-mll/glue", "qnli", "train"),
            ("a", "b"),
        ),
        ("imdb", "validation", {"text": "a", "label": 1}, ("stanfordnlp/imdb", None, "test"), ("a", None)),
        ("some/set", "train", {"text": "a", "label": 1}, ("some/set", None, "train"), ("a", None)),
    ],
)
def test_the_hubs_names_and_columns(
    source: str,
    split: str,
    row: dict[str, Any],
    asked: tuple[Any, ...],
    found: tuple[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = hub(monkeypatch, [row])
    (read,) = sentences.read(source, split, None, TWO)
    assert said == [asked]
    assert (read.text, read.pair, read.gold) == (*found, 1.0)


def test_the_hub_out_of_reach_or_of_other_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, [{"words": "a", "label": 1}])
    with pytest.raises(DataError, match="'some/set' does not have a text column"):
        sentences.read("some/set", "train", None, TWO)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match="'some/set' is neither a file here nor to be had from the Hugging Face hub"
    ):
        sentences.read("some/set", "train", None, TWO)


def test_the_fingerprint_is_of_content_and_order() -> None:
    one, two = Sentence("1", "a", None, 1.0), Sentence("2", "b", "c", 0.5)
    known = sentences.fingerprint([one, two])
    assert known == sentences.fingerprint([Sentence("9", "a", None, 1.0), two])
    for other in (
        [two, one],
        [one],
        [one, Sentence("2", "b", None, 0.5)],
        [Sentence("1", "a", None, 0.0), two],
    ):
        assert sentences.fingerprint(other) != known
