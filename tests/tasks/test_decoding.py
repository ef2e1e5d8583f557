"""Decoding against a brute-force search over every pair of tokens, and whole answers of a fake model."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Task
from pipeline.tasks import question_answering, squad
from pipeline.tasks.base import answer_all
from pipeline.tasks.methods import QuestionAnswering
from pipeline.tasks.question_answering import Window
from pipeline.tasks.squad import Question
from pipeline.types import PipelineError

Logits = tuple[np.ndarray, np.ndarray]
WORDS = [
    "the mill",
    "river",
    "Agnès",
    "e\u0301te",
    "東京",
    "🗼",
    "(1858),",
    "re-built",
    "½",
    "한국",
    "zzz",
    "  \n",
]


def random_passage(draw: random.Random, words: int) -> str:
    return "mill" + "".join(draw.choice(["", " "]) + draw.choice(WORDS) for _ in range(words))


def window(*places: tuple[int, int]) -> Window:
    """[CLS] ? [SEP] with passage tokens at these characters, then [SEP]."""
    offsets = np.array([(0, 0)] * 3 + list(places) + [(0, 0)], np.int32)
    return Window(np.arange(len(offsets), dtype=np.int32), np.zeros(len(offsets), np.int8), offsets)


def logits(start: list[float], end: list[float]) -> Logits:
    return np.array(start, np.float32), np.array(end, np.float32)


def brute_force(parts: list[Window], scores: list[Logits], task: Task) -> list[tuple[float, int, int]]:
    """(score, start, end) of the best spans: every pair of tokens in every window, each place once."""
    best: dict[tuple[int, int], tuple[float, int, int, int]] = {}
    for index, (part, (start, end)) in enumerate(zip(parts, scores, strict=True)):
        places = part.offsets.tolist()
        for i in range(len(places)):
            for j in range(i, min(i + task.max_answer_length, len(places))):
                if places[i][1] and places[j][1]:
                    found = (-(float(start[i]) + float(end[j])), index, i, j)
                    where = (places[i][0], places[j][1])
                    best[where] = min(best.get(where, found), found)
    ranked = sorted((found, where) for where, found in best.items())[: task.n_best]
    return [(-found[0], *where) for found, where in ranked]


@pytest.mark.parametrize("seed", range(30))
def test_decoding_is_the_brute_force_search(tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    draw, numbers = random.Random(seed), np.random.default_rng(seed)
    task = Task(
        max_length=draw.randint(24, 48),
        stride=draw.randint(4, 12),
        n_best=draw.choice([1, 3, 20, 2000]),
        max_answer_length=draw.choice([1, 4, 30]),
    )
    question = Question("q", "?", random_passage(draw, draw.randint(1, 40)), ())
    parts = question_answering.windows(question, tokenizer, task)
    levels = draw.choice([None, 3, 1])  # few distinct logits make many ties

    def scores(length: int) -> np.ndarray:
        drawn = numbers.normal(size=length) * 4 if levels is None else numbers.integers(levels, size=length)
        return drawn.astype(np.float32)

    given = [(scores(len(w.ids)), scores(len(w.ids))) for w in parts]
    found = question_answering.decode(question.passage, parts, given, task)
    expected = brute_force(parts, given, task)
    assert [(s.start, s.end) for s in found] == [(start, end) for _, start, end in expected]
    assert [s.score for s in found] == pytest.approx([score for score, _, _ in expected])
    assert [s.text for s in found] == [question.passage[s.start : s.end] for s in found]
    total = math.fsum(math.exp(s.score - found[0].score) for s in found)
    shares = [math.exp(s.score - found[0].score) / total for s in found]
    assert [s.confidence for s in found] == pytest.approx(shares)


PASSAGE = "old mill by a river"
HERE = window((0, 3), (4, 8), (9, 11))


def test_spans_stay_inside_the_passage_and_never_end_before_they_start() -> None:
    # Best by far would be [CLS], the question, the last [SEP], or "by … old".
    found = question_answering.decode(
        PASSAGE, [HERE], [logits([90, 90, 90, 1, 2, 9, 90], [90, 90, 90, 9, 2, 1, 90])], Task(n_best=3)
    )
    assert [(s.text, s.score) for s in found] == [("old", 10.0), ("by", 10.0), ("mill", 4.0)]


def test_the_same_place_in_two_windows_counts_once_with_its_best_score() -> None:
    other = window((4, 8), (9, 11), (14, 19))
    found = question_answering.decode(
        PASSAGE,
        [HERE, other],
        [
            logits([0, 0, 0, 0, 5, 0, 0], [0, 0, 0, 0, 5, 0, 0]),
            logits([0, 0, 0, 7, 0, 0, 0], [0, 0, 0, 4, 0, 0, 0]),
        ],
        Task(n_best=20),
    )
    texts = [s.text for s in found]
    assert (texts[0], found[0].score, found[0].window) == ("mill", 11.0, 1)
    assert len(texts) == len(set(texts))
    assert "mill by a river" in texts
    assert "old mill by a river" not in texts  # no window holds it whole


def test_the_longest_answer_allowed() -> None:
    scores = [logits([0, 0, 0, 9, 0, 0, 0], [0, 0, 0, 0, 0, 9, 0])]
    texts = [
        question_answering.decode(PASSAGE, [HERE], scores, Task(max_answer_length=n))[0].text for n in (1, 2, 3)
    ]
    assert texts == ["old", "old", "old mill by"]


@pytest.mark.parametrize(
    ("first", "second", "answered"),
    [(3.0, 30.0, "mill"), (30.0, 3.0, "mill"), (30.0, 20.0, "")],
)
def test_the_empty_answer_has_the_score_of_the_least_sure_window(
    first: float, second: float, answered: str
) -> None:
    scores = [
        logits([first / 2, 0, 0, 0, 5, 0, 0], [first / 2, 0, 0, 0, 5, 0, 0]),
        logits([second / 2] + [0] * 6, [second / 2] + [0] * 6),
    ]
    parts = [HERE, window((9, 11), (12, 13), (14, 19))]
    never = question_answering.decode(PASSAGE, parts, scores, Task())
    maybe = question_answering.decode(PASSAGE, parts, scores, Task(), may_be_empty=True)
    assert all(s.text for s in never)
    assert maybe[0].text == answered
    (empty,) = (s for s in maybe if not s.text)
    assert empty.score == min(first, second)
    assert [s.score for s in maybe] == sorted((s.score for s in maybe), reverse=True)
    assert math.fsum(s.confidence for s in maybe) == pytest.approx(1)


def test_logits_that_are_not_finite() -> None:
    nothing = [logits([math.nan] * 7, [0.0] * 7)]
    for may_be_empty in (False, True):
        with pytest.raises(PipelineError, match="logits are not finite"):
            question_answering.decode(PASSAGE, [HERE], nothing, Task(), may_be_empty=may_be_empty)
    partly = logits([0.0, 0, 0, math.nan, 1, 0, 0], [0.0, 0, 0, 0, 1, math.inf, 0])
    assert question_answering.decode(PASSAGE, [HERE], [partly], Task())[0].text == "mill"


class Pointer:
    """A model that finds one token id in every window, and is sure of nothing where it is absent."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> Logits:
        self.asked.append((input_ids, attention_mask))
        found = (input_ids == self.token).astype(np.float32) * 10
        if not found.any():
            found[:, 0] = 4
        return found, found


def test_answers_of_a_whole_file(question_file: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    questions = squad.read(str(question_file))[:3]
    model = Pointer(tokenizer.get_vocab()["river"])
    steps: list[int] = []
    task = Task(max_length=40, stride=8)
    found = answer_all(QuestionAnswering(task), questions, model, tokenizer, steps.append)
    assert found == {"q00": "river", "q01": "river", "q02": "river"}
    assert steps == [1, 2, 3]
    for ids, mask in model.asked:
        assert ids.dtype == mask.dtype == np.int32
        assert ids.shape == mask.shape == (1, ids.shape[1])
        assert ids.shape[1] <= 40
        assert mask.all()

    unanswerable = Question("q9", "Who was it?", "The tower was built by the keepers.", ())
    both = answer_all(QuestionAnswering(task), [*questions, unanswerable], model, tokenizer)
    assert both == {"q00": "river", "q01": "river", "q02": "river", "q9": ""}
