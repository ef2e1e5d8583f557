"""Golden cases: examples with the token ids, logits and answers that a bundle's program must give again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.numerics import sqnr_db
from pipeline.tasks.base import Methods, run_window
from pipeline.types import Answerer, VerificationFailed

PROGRAM, STUDENT = "program", "torch student"
"""What golden cases are recorded from: the second, where the program cannot be run."""
MIN_SQNR_DB = 25.0
"""Between one program's logits on two machines: kernels may round differently, weights may not."""


def cases(
    examples: Sequence[Any], model: Answerer, tokenizer: PreTrainedTokenizerBase, methods: Methods
) -> list[dict[str, Any]]:
    """One case an example: what was asked, per window ids and logits, and the answer."""
    made, decode = [], methods.decoder(())
    for example in examples:
        parts = methods.windows(example, tokenizer)
        logits = [run_window(model, part) for part in parts]
        case = methods.case(example, parts, decode(example, parts, logits))
        windows = [
            {
                "input_ids": part.ids.tolist(),
                **described,
                **{name: _short(output) for name, output in zip(methods.outputs, outputs, strict=True)},
            }
            for part, described, outputs in zip(parts, case["windows"], logits, strict=True)
        ]
        made.append({**case, "windows": windows})
    return made


def _short(logits: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in logits]


def replay(
    file: Path,
    model: Answerer,
    tokenizer: PreTrainedTokenizerBase,
    methods: Methods,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Asks every golden case again and returns how many there are.

    Raises VerificationFailed naming the first case whose ids, logits or answer are not the same.
    """
    recorded = json.loads(file.read_text(encoding="utf-8"))["cases"]
    for done, case in enumerate(recorded, start=1):
        (again,) = cases([methods.example_of(case)], model, tokenizer, methods)
        ids = [w["input_ids"] for w in case["windows"]]
        if ids != [w["input_ids"] for w in again["windows"]]:
            raise VerificationFailed(f"golden case {case['id']}: the tokenizer gives other ids than recorded")
        for kind in methods.outputs:
            wanted, got = (np.concatenate([w[kind] for w in c["windows"]]) for c in (case, again))
            measured = sqnr_db(wanted, got) if wanted.shape == got.shape else float("-inf")
            if measured < MIN_SQNR_DB:
                raise VerificationFailed(
                    f"golden case {case['id']}: {kind} are off (SQNR {measured:.1f} dB, {MIN_SQNR_DB:g} wanted)"
                )
        (wanted_answer, recorded_as), (found, given) = (methods.shown(c["answer"]) for c in (case, again))
        if found != wanted_answer:
            raise VerificationFailed(
                f"golden case {case['id']}: the answer is {given}, recorded was {recorded_as}"
            )
        step(done, len(recorded))
    return len(recorded)
