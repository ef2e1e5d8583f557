"""The question sets that ship: readable, large enough, their answers where they say, and nothing in both."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from pipeline.recipe import Questions, Task
from pipeline.tasks import squad
from pipeline.tasks.dataset import QuestionSet

SETS = ("passages", "practice")


def raw(name: str) -> dict[str, list[dict[str, object]]]:
    document: dict[str, list[dict[str, object]]] = json.loads(
        (squad.SHIPPED / f"{name}.json").read_text(encoding="utf-8")
    )
    return document


def plain(text: str) -> str:
    """Letters and digits alone: what differs in spaces or punctuation only is the same."""
    return re.sub(r"\W+", "", text.lower())


@pytest.mark.parametrize("name", SETS)
def test_every_question_can_be_answered_from_its_passage(name: str) -> None:
    questions = squad.read(name)
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        assert question.text.strip() == question.text
        assert question.text.endswith("?")
        assert 1 <= len(question.answers) <= 3
        for answer in question.answers:
            assert answer.text == answer.text.strip() != ""
            assert question.passage[answer.start : answer.start + len(answer.text)] == answer.text


@pytest.mark.parametrize("name", SETS)
def test_reading_loses_nothing(name: str) -> None:
    """As many questions as the file's text has, counted without a parser."""
    text = (squad.SHIPPED / f"{name}.json").read_text(encoding="utf-8")
    assert len(squad.read(name)) == len(re.findall(r'"question":', text))
    assert sum(len(q.answers) for q in squad.read(name)) == len(re.findall(r'"answer_start":', text))
    assert set(raw(name)) == {"version", "data"}


def test_the_evaluation_set_is_large_enough_to_tell_models_apart() -> None:
    questions = squad.read("passages")
    assert len({question.passage for question in questions}) >= 20
    assert len(questions) >= 100
    assert len(raw("passages")["data"]) >= 20


def test_the_two_sets_share_nothing() -> None:
    held_out, used = (squad.read(name) for name in SETS)
    assert {q.id for q in held_out}.isdisjoint(q.id for q in used)
    assert {plain(q.text) for q in held_out}.isdisjoint(plain(q.text) for q in used)
    sentences = [
        {plain(s) for q in part for s in re.split(r"(?<=[.!?])\s", q.passage)} for part in (held_out, used)
    ]
    assert sentences[0].isdisjoint(sentences[1]), "not even a sentence"


def test_no_question_is_asked_twice_of_a_passage() -> None:
    for name in SETS:
        asked = [(plain(q.passage), plain(q.text)) for q in squad.read(name)]
        assert len(set(asked)) == len(asked)


def test_the_sets_identity_is_its_content() -> None:
    """SHA-256 over passage, question, answers in order, as lines of JSON."""
    digest = hashlib.sha256()
    for article in json.loads((squad.SHIPPED / "passages.json").read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for entry in paragraph["qas"]:
                golds = [[a["text"], a["answer_start"]] for a in entry["answers"]]
                digest.update(json.dumps([paragraph["context"], entry["question"], golds]).encode() + b"\n")
    assert QuestionSet(Questions(source="passages")).identity() == digest.hexdigest()


def test_spread_takes_questions_from_all_over() -> None:
    entry = QuestionSet(Questions(source="passages"))
    few = entry.spread(4)
    places = [entry.examples.index(question) for question in few]
    assert places == [i * len(entry.examples) // 4 for i in range(4)]
    assert entry.spread(10_000) == entry.examples
    assert Task().max_length == 384
