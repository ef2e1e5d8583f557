"""Golden cases: questions with the token ids, logits and answers that a bundle's program must give again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.numerics import sqnr_db
from pipeline.recipe import Task
from pipeline.tasks import question_answering
from pipeline.tasks.squad import Question
from pipeline.types import Answerer, VerificationFailed

MIN_SQNR_DB = 25.0
"""Between one program's logits on two machines: kernels may round differently, weights may not."""


def cases(
    questions: Sequence[Question], model: Answerer, tokenizer: PreTrainedTokenizerBase, task: Task
) -> list[dict[str, Any]]:
    """One case a question: text, and per window ids, offsets, logits; then the best answer."""
    made = []
    for question in questions:
        parts = question_answering.windows(question, tokenizer, task)
        logits = [question_answering.run_window(model, part) for part in parts]
        best = question_answering.decode(question.passage, parts, logits, task)[0]
        made.append(
            {
                "id": question.id,
                "question": question.text,
                "passage": question.passage,
                "windows": [
                    {
                        "input_ids": part.ids.tolist(),
                        "offsets": part.offsets.tolist(),
                        "start_logits": _short(start),
                        "end_logits": _short(end),
                    }
                    for part, (start, end) in zip(parts, logits, strict=True)
                ],
                "answer": {
                    "text": best.text,
                    "start": best.start,
                    "end": best.end,
                    "score": round(best.score, 4),
                },
            }
        )
    return made


def _short(logits: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in logits]


def replay(
    file: Path,
    model: Answerer,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Asks every golden question again and returns how many there are.

    Raises VerificationFailed naming the first case whose ids, logits or answer are not the same.
    """
    recorded = json.loads(file.read_text(encoding="utf-8"))["cases"]
    for done, case in enumerate(recorded, start=1):
        question = Question(case["id"], case["question"], case["passage"], ())
        (again,) = cases([question], model, tokenizer, task)
        ids = [w["input_ids"] for w in case["windows"]]
        if ids != [w["input_ids"] for w in again["windows"]]:
            raise VerificationFailed(f"golden case {case['id']}: the tokenizer gives other ids than recorded")
        for kind in ("start_logits", "end_logits"):
            wanted, got = (np.concatenate([w[kind] for w in c["windows"]]) for c in (case, again))
            measured = sqnr_db(wanted, got) if wanted.shape == got.shape else float("-inf")
            if measured < MIN_SQNR_DB:
                raise VerificationFailed(
                    f"golden case {case['id']}: {kind} are off (SQNR {measured:.1f} dB, {MIN_SQNR_DB:g} wanted)"
                )
        if any(case["answer"][part] != again["answer"][part] for part in ("text", "start", "end")):
            raise VerificationFailed(
                f"golden case {case['id']}: the answer is {_shown(again)}, recorded was {_shown(case)}"
            )
        step(done, len(recorded))
    return len(recorded)


def _shown(case: dict[str, Any]) -> str:
    answer = case["answer"]
    return f"{answer['text']!r} at {answer['start']}"
