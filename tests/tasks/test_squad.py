"""Reading question sets, and EM and F1 against a second statement of the official metric."""

from __future__ import annotations

import gzip
import json
import random
import re
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from pipeline.tasks import squad
from pipeline.tasks.squad import Answer, Question
from pipeline.types import DataError

PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def official_words(text: str) -> list[str]:
    """evaluate-v2.0.py's normalisation without a regular expression: runs of word characters, articles out."""
    kept = [c for c in text.lower() if c not in PUNCTUATION]
    runs = ["".join(run) for _, run in groupby(kept, key=str.isalnum)]
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def official_f1(prediction: str, gold: str) -> Fraction:
    """2 · shared / (predicted + gold) words, removing each matched gold word once; exact arithmetic."""
    predicted, left = official_words(prediction), official_words(gold)
    total = len(predicted) + len(left)
    if not predicted or not left:
        return Fraction(int(total == 0))
    shared = 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    return Fraction(2 * shared, total)


@pytest.mark.parametrize(
    ("prediction", "gold", "em", "f1"),
    [
        ("The Mill", "mill", 1, 1),
        ("a mill", "an old mill", 0, Fraction(2, 3)),
        ("anthem", "them", 0, 0),
        ("U.S.", "us", 1, 1),
        ("re-built", "rebuilt", 1, 1),
        ("re built", "re-built", 0, 0),
        ("the-mill", "themill", 1, 1),
        ("  old \t mill\n", "old mill", 1, 1),
        ("mill mill mill", "mill mill", 0, Fraction(4, 5)),
        ("mill", "mill river mill", 0, Fraction(1, 2)),
        ("Ägypten", "ägypten", 1, 1),
        ("東京 タワー", "東京タワー", 0, 0),
        ("«mill»", "mill", 0, 0),
        ("the", "a", 1, 1),
        ("the", "mill", 0, 0),
        ("", "", 1, 1),
        ("mill", "", 0, 0),
    ],
)
def test_hand_computed_cases(prediction: str, gold: str, em: int, f1: Fraction | int) -> None:
    assert squad.exact_match(prediction, gold) == em
    assert squad.f1(prediction, gold) == pytest.approx(float(f1), abs=1e-12)
    assert official_f1(prediction, gold) == f1


def test_agrees_with_the_restatement_on_random_texts() -> None:
    draw = random.Random(7)
    pieces = [
        "the",
        "a",
        "an",
        "The",
        "mill",
        "Mill's",
        "-",
        "_",
        ".",
        " ",
        "  ",
        "\t",
        "\u00a0",
        "é",
        "e\u0301",
    ]
    pieces += ["東", "🗼", "«", "—", "ß", "İ", "1,000", "'", "river", "²"]
    for _ in range(3000):
        one, two = ("".join(draw.choices(pieces, k=draw.randint(0, 8))) for _ in "12")
        assert squad.normalize(one).split() == official_words(one), repr(one)
        assert squad.exact_match(one, two) == float(official_words(one) == official_words(two))
        assert squad.f1(one, two) == pytest.approx(float(official_f1(one, two)), abs=1e-12), (one, two)


def question(name: str, *golds: str) -> Question:
    return Question(name, "?", " ".join(golds), tuple(Answer(gold, 0) for gold in golds))


def test_score_takes_the_best_gold_and_the_mean_over_questions() -> None:
    questions = [
        question("several", "river", "old mill"),
        question("unanswerable"),
        question("answered though unanswerable"),
        question("missing", "mill"),
        question("only articles", "the", "mill"),
    ]
    given = {
        "several": "the mill",
        "unanswerable": "",
        "answered though unanswerable": "mill",
        "only articles": "a",
    }
    # The official script leaves out golds that normalise to nothing, so the last answer is wrong.
    assert squad.score(questions, given) == pytest.approx({"em": 20.0, "f1": 100 * (2 / 3 + 1) / 5})


def test_reads_plain_gzipped_marked_and_limited_files(
    question_file: Path, squad_document: dict[str, Any], tmp_path: Path
) -> None:
    plain = squad.read(str(question_file))
    assert [q.id for q in plain] == ["q00", "q01", "q02", "q10", "q11", "q20", "q21", "q22"]
    assert plain[1].text == "Who built the mill?"
    assert plain[1].answers == (Answer("Agnès Rennie", 34),)
    assert plain[3].passage[32:37] == plain[3].answers[0].text == "東京タワー"

    text = json.dumps(squad_document, ensure_ascii=False)
    (tmp_path / "q.json.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "marked.json").write_text(text, encoding="utf-8-sig")
    assert squad.read(str(tmp_path / "q.json.gz")) == squad.read(str(tmp_path / "marked.json")) == plain
    assert squad.read(str(question_file), limit=3) == plain[:3]


def test_reads_v2_questions_without_answers(squad_document: dict[str, Any], tmp_path: Path) -> None:
    entry = squad_document["data"][0]["paragraphs"][0]["qas"][0]
    entry.update(answers=[], is_impossible=True, plausible_answers=[{"text": "x", "answer_start": 0}])
    path = tmp_path / "v2.json"
    path.write_text(json.dumps(squad_document))
    found = squad.read(str(path))
    assert found[0].answers == ()
    assert len(found[1].answers) == 1


def test_shipped_sets_are_found_by_name() -> None:
    for name in ("passages", "practice"):
        assert squad.locate(name) == squad.SHIPPED / f"{name}.json"
        assert len({q.id for q in squad.read(name)}) == len(squad.read(name)) > 10
    assert squad.locate("rajpurkar/squad") is None


def _layout(document: Any) -> bytes:
    return json.dumps(document).encode()


PARAGRAPH = {"context": "mill", "qas": [{"id": "1", "question": "?", "answers": []}]}


def _one(answers: Any, **changed: Any) -> bytes:
    entry = {"id": "7", "question": "What?", "answers": answers, **changed}
    return _layout({"data": [{"paragraphs": [{"context": "an old mill", "qas": [entry]}]}]})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (gzip.compress(_layout({"data": []}) * 99)[:-20], "damaged or truncated gzip file; fetch it again"),
        (b"\x1f\x8b\x08garbage", "damaged or truncated gzip file"),
        (b"\x1f\x8b", "damaged or truncated gzip file"),
        (_layout({"data": [PARAGRAPH]})[:-9], r"is not valid JSON \(truncated\?\)"),
        (b"", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (_layout([1, 2]), "is not in the SQuAD layout"),
        (_layout({"rows": []}), "is not in the SQuAD layout"),
        (_layout({"data": [PARAGRAPH]}), "is not in the SQuAD layout"),
        (_layout({"data": "text"}), "is not in the SQuAD layout"),
        (_one([{"text": "old"}]), "is not in the SQuAD layout"),
        (_one([{"text": "old", "answer_start": "three"}]), "is not in the SQuAD layout"),
        (_one([{"text": 3, "answer_start": 3}]), "is not in the SQuAD layout"),
        (_one([], question=None), "is not in the SQuAD layout"),
        (_layout({"data": []}), "holds no questions"),
        (
            _one([{"text": "mill", "answer_start": 6}]),
            r"question 7: answer 'mill' is not at character 6 .*there stands ' mil'.*correct answer_start",
        ),
        (_one([{"text": "an", "answer_start": -11}]), "question 7: answer 'an' is not at character -11"),
        (_one([{"text": "mill", "answer_start": 999}]), "is not at character 999"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        squad.read(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["no/such.json", "nothing.json.gz", "/no/such/file", "./squad", "~/squad"])
def test_missing_files_are_not_looked_for_on_the_hub(source: str) -> None:
    with pytest.raises(DataError, match=rf"data file {re.escape(source)} does not exist; check the path"):
        squad.locate(source)


def test_a_folder_is_no_question_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        squad.read(str(tmp_path))


def test_a_hub_data_set_without_network() -> None:
    with pytest.raises(
        DataError, match=r"'nobody/no-such-set' is neither a file here nor .* give a SQuAD JSON file"
    ):
        squad.read("nobody/no-such-set")


def test_fingerprint_is_of_the_content_alone(squad_document: dict[str, Any], tmp_path: Path) -> None:
    def fingerprint() -> str:
        path = tmp_path / "q.json"
        path.write_text(json.dumps(squad_document))
        return squad.fingerprint(squad.read(str(path)))

    first = fingerprint()
    article = squad_document["data"][0]
    one, two, _ = article["paragraphs"]
    article["title"], one["qas"][0]["id"] = "Other", "another id"
    squad_document["data"] = [{"paragraphs": [p], "title": str(i)} for i, p in enumerate(article["paragraphs"])]
    (tmp_path / "q.gz").write_bytes(gzip.compress(json.dumps(squad_document, indent=3).encode()))
    assert fingerprint() == squad.fingerprint(squad.read(str(tmp_path / "q.gz"))) == first

    one["qas"][0], one["qas"][1] = one["qas"][1], one["qas"][0]
    swapped = fingerprint()
    two["qas"][0]["question"] += "?"
    asked = fingerprint()
    two["context"] += " "
    longer = fingerprint()
    one["qas"][0]["answers"].append(one["qas"][0]["answers"][0])
    assert len({first, swapped, asked, longer, fingerprint()}) == 5
