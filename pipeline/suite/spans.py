"""Cases of question answering: windows of token ids, and answers read off given logits."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Task
from pipeline.suite import texts
from pipeline.suite.tokens import written
from pipeline.tasks import question_answering
from pipeline.tasks.question_answering import Span, Window
from pipeline.tasks.squad import Question
from pipeline.types import PipelineError

Tokenizers = Mapping[str, PreTrainedTokenizerBase]
WINDOWS, ANSWERS, TIED = 420, 360, 90
LONG = 50_000
PARTS = 256
"""Logits are whole numbers of 256ths, so that float32 holds them and every sum of two exactly. What no number
of 256ths is, is text: NaN, -Infinity, -0.0."""


def windows(
    questions: Sequence[tuple[str, str]], tokenizers: Tokenizers, seed: int
) -> Iterator[dict[str, Any]]:
    """Lines of windows.json: `windows`, each [ids, offsets], or `refused`, or for long passages a hash."""
    draw = random.Random(seed)
    for number in range(WINDOWS):
        question, passage = _asked(draw, questions)
        kind = draw.choice(["pocket", "pocket", "cased", "accents"])
        settings = _settings(draw)
        yield _windows(f"window-{number}", question, passage, kind, settings, tokenizers)
    for number, (question, passage) in enumerate(_odd()):
        yield _windows(f"odd-{number}", question, passage, "pocket", Task(max_length=24, stride=6), tokenizers)
    for number, unit in enumerate(
        [questions[0][1] + " ", "Ünï\u0301 東京 ", "👩‍🚀 mill, ", "a", "\u200b e\u0301"]
    ):
        repeated = (unit * LONG)[:LONG]
        for settings in (Task(), Task(max_length=128, stride=32)):
            yield _windows(
                f"long-{number}-{settings.max_length}",
                "Who built it?",
                repeated,
                "pocket",
                settings,
                tokenizers,
                repeat=unit,
            )


def _windows(
    name: str,
    question: str,
    passage: str,
    kind: str,
    task: Task,
    tokenizers: Tokenizers,
    repeat: str | None = None,
) -> dict[str, Any]:
    given = _given(name, question, passage, kind, task, repeat)
    try:
        parts = question_answering.windows(_question(question, passage), tokenizers[kind], task)
    except PipelineError as error:
        return {**given, "refused": _sentence(error)}
    lines = [[part.ids.tolist(), part.offsets.ravel().tolist()] for part in parts]
    if repeat is None:
        return {**given, "windows": lines}
    digest = hashlib.sha256(json.dumps(lines, separators=(",", ":")).encode()).hexdigest()
    return {**given, "count": len(lines), "sha256": digest}


def _given(
    name: str, question: str, passage: str, kind: str, task: Task, repeat: str | None = None
) -> dict[str, Any]:
    """What a case of either file is asked; a passage that repeats is written once, and its length."""
    text = written(passage, "passage") if repeat is None else {"repeated": repeat, "characters": len(passage)}
    settings = {"max_length": task.max_length, "stride": task.stride}
    return {"id": name, "tokenizer": kind, **written(question, "question"), **text, **settings}


def _question(question: str, passage: str) -> Question:
    return Question("", texts.well_formed(question), texts.well_formed(passage), ())


def _sentence(error: PipelineError) -> str:
    """What an app says, where there is one question only and so no number of it."""
    return (
        str(error)
        .replace("question  ", "the question ")
        .replace("the passage of the question ", "the passage ")
    )


def _settings(draw: random.Random) -> Task:
    longest = draw.choice([16, 20, 24, 32, 48, 64])
    return Task(max_length=longest, stride=draw.randrange(1, longest - 8))


def _asked(draw: random.Random, questions: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """A real question on a part of its passage, or fuzz on fuzz."""
    question, passage = draw.choice(questions)
    if draw.random() < 0.5:
        words = passage.split(" ")
        first = draw.randrange(len(words))
        return question, " ".join(words[first : first + draw.randrange(1, 60)])
    family, other = draw.choices([*texts.FAMILIES], k=2)
    words = passage.split(" ")
    return texts.fuzz(draw, words, other, 1), texts.fuzz(draw, words, family, draw.randrange(1, 40))


def _odd() -> Iterator[tuple[str, str]]:
    for question in ("", " ", "\u200b", "a", "Why? " * 40, "[SEP]", " \n Why?\t"):
        for passage in ("", "\n ", "\x00\u200b", "a", "[CLS] [SEP]", "the mill " * 30):
            yield question, passage


def answers(
    questions: Sequence[tuple[str, str]], tokenizers: Tokenizers, seed: int
) -> Iterator[dict[str, Any]]:
    """Lines of answers.json: windows' logits in 256ths, and the n best answers."""
    draw = random.Random(seed)
    made = 0
    while made < ANSWERS + TIED:
        tied = made >= ANSWERS
        question, passage = _asked(draw, questions)
        task = _settings(draw).model_copy(
            update={"n_best": draw.choice([1, 2, 5, 20]), "max_answer_length": draw.choice([1, 3, 8, 30])}
        )
        asked = _question(question, passage)
        try:
            parts = question_answering.windows(asked, tokenizers["pocket"], task)
        except PipelineError:
            continue
        logits = _tied(draw, parts) if tied else _distinct(draw, parts)
        found = _decoded(asked.passage, parts, logits, task)
        if not tied and _has_ties(asked.passage, parts, logits, task):
            continue
        yield {
            **_given(f"{'tied' if tied else 'answer'}-{made}", question, passage, "pocket", task),
            "n_best": task.n_best,
            "max_answer_length": task.max_answer_length,
            "start_256ths": [[_number(value) for value in start] for start, _ in logits],
            "end_256ths": [[_number(value) for value in end] for _, end in logits],
            **found,
        }
        made += 1


def _decoded(
    passage: str, parts: Sequence[Window], logits: Sequence[tuple[np.ndarray, np.ndarray]], task: Task
) -> dict[str, Any]:
    try:
        best = question_answering.decode(passage, parts, logits, task)
    except PipelineError as error:
        return {"refused": str(error)}
    return {"answers": [_shown(passage, span) for span in best]}


def _shown(passage: str, span: Span) -> dict[str, Any]:
    before = len(passage[: span.start].encode("utf-16-le")) // 2
    inside = len(span.text.encode("utf-16-le")) // 2
    return {
        "text": span.text,
        "start": span.start,
        "end": span.end,
        "utf16": [before, before + inside],
        "window": span.window,
        "score_256ths": round(span.score * PARTS),
        "confidence": span.confidence,
    }


def _has_ties(
    passage: str, parts: Sequence[Window], logits: Sequence[tuple[np.ndarray, np.ndarray]], task: Task
) -> bool:
    """Whether any two of the n best, or the last of them and the next, have the same score."""
    more = question_answering.decode(
        passage, parts, logits, task.model_copy(update={"n_best": task.n_best + 1})
    )
    scores = [span.score for span in more]
    return len(set(scores)) < len(scores)


def _distinct(draw: random.Random, parts: Sequence[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
    def row(length: int) -> np.ndarray:
        return np.array([draw.gauss(-4, 3) * PARTS for _ in range(length)]).round().astype(np.float32) / PARTS

    return [(row(len(part.ids)), row(len(part.ids))) for part in parts]


def _tied(draw: random.Random, parts: Sequence[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Few different values, all the same, or some that are no numbers."""
    levels = draw.choice(
        [[0.0], [0.0, 1.0], [-1.0, 0.0, 0.5], [0.0, 2.0, np.nan], [np.nan], [1.0, -np.inf], [0.0, -0.0]]
    )

    def row(length: int) -> np.ndarray:
        return np.array(draw.choices(levels, k=length), np.float32)

    return [(row(len(part.ids)), row(len(part.ids))) for part in parts]


def _number(value: float) -> int | str:
    if np.isfinite(value):
        return "-0.0" if value == 0 and np.signbit(value) else round(float(value) * PARTS)
    return "NaN" if np.isnan(value) else "-Infinity"
