"""Extractive question answering: questions → windows of token ids, logits → answers in the passage.

Shapes: a window holds seq ≤ max_length tokens, [CLS] question [SEP] passage part [SEP]; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Task
from pipeline.tasks.base import run_window
from pipeline.tasks.squad import Question
from pipeline.types import Answerer, DataError, PipelineError

NO_TOKEN = (0, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """One model input. `offsets[i]` are token i's characters in the passage, (0, 0) outside of it."""

    ids: np.ndarray
    types: np.ndarray
    offsets: np.ndarray
    start: int = 0
    end: int = 0
    """Gold token positions for training; 0, the [CLS] token, where this window holds no answer."""


@dataclass(frozen=True, slots=True)
class Span:
    """An answer: characters [start, end) of the passage, its logit sum, its share among the n best."""

    text: str
    start: int
    end: int
    score: float
    confidence: float
    window: int = field(default=0)


def windows(question: Question, tokenizer: PreTrainedTokenizerBase, task: Task) -> list[Window]:
    """All windows of one question's passage, consecutive ones sharing `stride` tokens.

    Raises DataError for an empty question or passage, or a question that leaves no room for the passage.
    """
    if not question.text.strip():
        raise DataError(f"question {question.id} is empty; ask something")
    if not question.passage.strip():
        raise DataError(f"the passage of question {question.id} is empty; give some text")
    text = question.text.strip()
    asked = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not asked:
        raise DataError(f"question {question.id} holds no readable text")
    room = task.max_length - asked - 3
    if room < 1 or room <= task.stride:
        raise DataError(
            f"question {question.id} is {asked} tokens long, which leaves no room for the passage in "
            f"{task.max_length} tokens with a stride of {task.stride}; shorten it"
        )
    encoded = tokenizer(
        text,
        question.passage,
        truncation="only_second",
        max_length=task.max_length,
        stride=task.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    found = []
    for i, (ids, types, pairs) in enumerate(
        zip(encoded["input_ids"], encoded["token_type_ids"], encoded["offset_mapping"], strict=True)
    ):
        inside = [part == 1 for part in encoded.sequence_ids(i)]
        if not any(inside):
            continue
        offsets = np.array([p if here else NO_TOKEN for p, here in zip(pairs, inside, strict=True)], np.int32)
        start, end = _gold(question, offsets)
        found.append(Window(np.array(ids, np.int32), np.array(types, np.int8), offsets, start, end))
    if not found:
        raise DataError(f"the passage of question {question.id} holds no readable text")
    return found


def _gold(question: Question, offsets: np.ndarray) -> tuple[int, int]:
    """Token positions of the first gold answer, or (0, 0) when it does not lie wholly in this window."""
    if not question.answers:
        return 0, 0
    text = question.answers[0].text
    first = question.answers[0].start + len(text) - len(text.lstrip())
    last = first + len(text.strip())
    if first >= last:
        return 0, 0
    in_passage = offsets[:, 1] > 0
    starts = np.flatnonzero(in_passage & (offsets[:, 0] <= first) & (offsets[:, 1] > first))
    ends = np.flatnonzero(in_passage & (offsets[:, 0] < last) & (offsets[:, 1] >= last))
    if len(starts) == 0 or len(ends) == 0:
        return 0, 0
    return int(starts[0]), int(ends[-1])


def decode(
    passage: str,
    parts: Sequence[Window],
    logits: Sequence[tuple[np.ndarray, np.ndarray]],
    task: Task,
    *,
    may_be_empty: bool = False,
) -> list[Span]:
    """The n best spans over all windows, best first (the decoding of Devlin et al. 2018, section 4.2).

    logits: per window, start and end logits, (seq,) each. A span starts and ends at passage tokens of one
    window, is at most `max_answer_length` tokens long, and scores start + end logit. With `may_be_empty`
    (SQuAD v2.0) the empty answer competes with the [CLS] score of the window that is least sure of it.
    Of equal scores the first window's earliest span is the best, on every machine.
    Raises PipelineError when no score is finite.
    """
    candidates: list[tuple[float, int, int, int]] = []
    for index, (window, (start, end)) in enumerate(zip(parts, logits, strict=True)):
        candidates.extend(_spans(window, start, end, index, task))
    best: list[tuple[str, int, int, float, int]] = []
    seen: set[tuple[int, int]] = set()
    for total, index, i, j in sorted(candidates, key=lambda c: (-c[0], c[1], c[2], c[3])):
        first, last = int(parts[index].offsets[i][0]), int(parts[index].offsets[j][1])
        if (first, last) not in seen:
            seen.add((first, last))
            best.append((passage[first:last], first, last, total, index))
        if len(best) == task.n_best:
            break
    if not best:
        raise PipelineError("the model's logits are not finite, so no answer can be read from them")
    if may_be_empty:
        empty = min(float(s[0] + e[0]) for s, e in logits)
        best.append(("", 0, 0, empty, 0))
        best.sort(key=lambda span: -span[3])
    scores = np.array([span[3] for span in best], np.float64)
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return [
        Span(text, first, last, total, float(share), index)
        for (text, first, last, total, index), share in zip(best, shares, strict=True)
    ]


def _spans(
    window: Window, start: np.ndarray, end: np.ndarray, index: int, task: Task
) -> Iterator[tuple[float, int, int, int]]:
    """(score, window, first token, last token) of this window's n best spans, best and earliest first."""
    inside = np.flatnonzero(window.offsets[:, 1] > 0)
    starts = np.where(np.isin(np.arange(len(start)), inside), start.astype(np.float64), -np.inf)
    ends = np.where(np.isin(np.arange(len(end)), inside), end.astype(np.float64), -np.inf)
    length = len(starts)
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    allowed = (distance >= 0) & (distance < task.max_answer_length)
    totals = np.where(allowed, starts[:, None] + ends[None, :], -np.inf).ravel()
    finite = np.flatnonzero(np.isfinite(totals))
    seen: set[tuple[int, int]] = set()
    for flat in finite[np.argsort(-totals[finite], kind="stable")]:
        i, j = divmod(int(flat), length)
        place = int(window.offsets[i][0]), int(window.offsets[j][1])
        if place not in seen:
            seen.add(place)
            yield float(totals[flat]), index, i, j
        if len(seen) == task.n_best:
            return


def answer(
    question: Question,
    model: Answerer,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    may_be_empty: bool = False,
) -> list[Span]:
    """The n best answers of `model` to one question."""
    parts = windows(question, tokenizer, task)
    logits = [(start, end) for start, end in (run_window(model, part) for part in parts)]
    return decode(question.passage, parts, logits, task, may_be_empty=may_be_empty)
