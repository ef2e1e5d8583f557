"""Windows against the tokenizer's own output cut by hand; gold positions found by brute force."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Task
from pipeline.tasks import question_answering
from pipeline.tasks.question_answering import Window
from pipeline.tasks.squad import Answer, Question
from pipeline.types import DataError

PIECES = [
    "the mill",
    "river",
    " ",
    "  \n",
    "Agnès",
    "e\u0301te",
    "東京",
    "タワー",
    "🗼",
    "👩‍🚀",
    "İ",
    "ß",
    "(1858),",
]
PIECES += ["re-built", "Öre's", "\u00ad", "\u200b", "½", "한국", "\t", "zzz"]


def ask(passage: str, *answers: tuple[str, int], text: str = "Who built it?") -> Question:
    return Question("q", text, passage, tuple(Answer(*a) for a in answers))


def random_passage(draw: random.Random, pieces: int) -> str:
    return "mill" + "".join(draw.choice(["", " "]) + draw.choice(PIECES) for _ in range(pieces))


def by_hand(
    question: Question, tokenizer: PreTrainedTokenizerBase, task: Task
) -> list[tuple[list[int], list[int], list[tuple[int, int]]]]:
    """(ids, types, offsets) of every window, cut out of the whole passage's tokens."""
    asked = tokenizer(question.text.strip(), add_special_tokens=False)["input_ids"]
    whole = tokenizer(question.passage, add_special_tokens=False, return_offsets_mapping=True)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    room = task.max_length - len(asked) - 3
    found, first = [], 0
    while True:
        part = slice(first, first + room)
        ids, pairs = whole["input_ids"][part], whole["offset_mapping"][part]
        before = len(asked) + 2
        found.append(
            (
                [cls, *asked, sep, *ids, sep],
                [0] * before + [1] * (len(ids) + 1),
                [(0, 0)] * before + [tuple(p) for p in pairs] + [(0, 0)],
            )
        )
        if first + room >= len(whole["input_ids"]):
            return found
        first += room - task.stride


@pytest.mark.parametrize("seed", range(25))
def test_windows_are_the_tokenizers_tokens(tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    draw = random.Random(seed)
    question = ask(random_passage(draw, draw.randint(0, 60)), text="  Who built " + "it " * draw.randint(1, 4))
    task = Task(max_length=draw.randint(24, 64), stride=draw.randint(1, 12))
    found = question_answering.windows(question, tokenizer, task)
    expected = by_hand(question, tokenizer, task)
    assert [
        (w.ids.tolist(), w.types.tolist(), [tuple(o) for o in w.offsets.tolist()]) for w in found
    ] == expected
    assert all(len(w.ids) <= task.max_length for w in found)

    direct = tokenizer(
        question.text.strip(),
        question.passage,
        truncation="only_second",
        max_length=task.max_length,
        stride=task.stride,
        return_overflowing_tokens=True,
    )
    assert [w.ids.tolist() for w in found] == direct["input_ids"]


def test_consecutive_windows_share_stride_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    task = Task(max_length=40, stride=7)
    found = question_answering.windows(ask("river mill tower " * 40), tokenizer, task)
    places = [[tuple(o) for o in w.offsets.tolist() if o[1]] for w in found]
    assert len(found) > 3
    for one, two in pairwise(places):
        assert one[-7:] == two[:7]
        assert one[-8] not in two
    assert sorted(set().union(*places)) == sorted({o for part in places for o in part})
    assert places[0][0] == (0, 5)
    assert places[-1][-1][1] == len("river mill tower " * 40) - 1


def test_offsets_point_into_the_original_text(tokenizer: PreTrainedTokenizerBase) -> None:
    passage = "Agnès's e\u0301te\u0301 東京タワー 🗼 old MILL."
    (window,) = question_answering.windows(ask(passage), tokenizer, Task())
    pieces = [passage[a:b] for a, b in window.offsets.tolist() if b]
    assert pieces[:5] == ["A", "g", "n", "ès", "'"]
    assert "京" in pieces
    assert "🗼" in pieces
    assert pieces[-3:] == ["old", "MILL", "."]
    assert "".join(pieces).replace("\u0301", "") == passage.replace(" ", "").replace("\u0301", "")


def gold_by_hand(window: Window, first: int, last: int) -> tuple[int, int]:
    """The tokens that hold the answer's first and last character."""
    holders = [
        [i for i, (a, b) in enumerate(window.offsets.tolist()) if b and a <= place < b]
        for place in (first, last - 1)
    ]
    return (holders[0][0], holders[1][-1]) if all(holders) else (0, 0)


@pytest.mark.parametrize("seed", range(25))
def test_gold_positions(tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
    draw = random.Random(100 + seed)
    passage = random_passage(draw, 50)
    first = draw.choice([i for i, c in enumerate(passage) if c.isalnum()])
    last = draw.choice([i + 1 for i, c in enumerate(passage) if c.isalnum() and first <= i < first + 25])
    question = ask(passage, (passage[first:last], first), ("mill", 0))
    found = question_answering.windows(question, tokenizer, Task(max_length=32, stride=10))
    assert [(w.start, w.end) for w in found] == [gold_by_hand(w, first, last) for w in found]
    spans = {passage[w.offsets[w.start][0] : w.offsets[w.end][1]] for w in found if w.end}
    assert all(passage[first:last] in span for span in spans)


def test_gold_of_unusual_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    def gold(*answers: tuple[str, int]) -> tuple[int, int]:
        (window,) = question_answering.windows(ask("the mill, 1858", *answers, text="?"), tokenizer, Task())
        return window.start, window.end

    # [CLS] ? [SEP] the mill , 18.. : token 3 is "the", 4 "mill", 5 ","
    assert gold(("mill", 4)) == (4, 4)
    assert gold((" mill", 3)) == (4, 4)
    assert gold(("the ", 0)) == (3, 3)
    assert gold(("il", 5)) == (4, 4)
    assert gold(("", 4)) == gold((" ", 3)) == gold() == (0, 0)


def test_answer_cut_by_a_window_is_gold_only_where_it_is_whole(tokenizer: PreTrainedTokenizerBase) -> None:
    passage = "river " * 30 + "old mill tower " + "river " * 30
    question = ask(passage, ("old mill tower", 180), text="?")
    found = question_answering.windows(question, tokenizer, Task(max_length=36, stride=20))
    texts = [passage[w.offsets[w.start][0] : w.offsets[w.end][1]] if w.end else "" for w in found]
    assert set(texts) == {"", "old mill tower"}


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (Question("7", "", "the mill", ()), "question 7 is empty; ask something"),
        (Question("7", " \n", "the mill", ()), "question 7 is empty"),
        (Question("7", "\x00\u200b", "the mill", ()), "question 7 holds no readable text"),
        (Question("7", "Who?", "", ()), "passage of question 7 is empty; give some text"),
        (Question("7", "Who?", "\t \n", ()), "passage of question 7 is empty"),
        (Question("7", "Who?", "\x00\u200b\x07", ()), "passage of question 7 holds no readable text"),
        (
            Question("7", "who " * 28, "mill", ()),
            "question 7 is 28 tokens long, which leaves no room .*shorten",
        ),
        (Question("7", "who " * 99, "mill", ()), "question 7 is 99 tokens long"),
    ],
)
def test_unusable_questions(tokenizer: PreTrainedTokenizerBase, question: Question, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        question_answering.windows(question, tokenizer, Task(max_length=40, stride=9))


def test_the_longest_question_that_fits(tokenizer: PreTrainedTokenizerBase) -> None:
    question = Question("7", "who " * 27, "mill " * 30, ())
    assert len(question_answering.windows(question, tokenizer, Task(max_length=40, stride=9))) == 21
