"""What an app does before and after the program: tokenizing a question and decoding its answer, timed apart.

Real questions on real passages: the bundle's own golden cases, whose recorded logits are decoded.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from pipeline.bundles import GOLDEN, Bundle

WARMUP, RUNS = 5, 50
"""Rounds over golden cases, one case each."""
Times = tuple[int, ...]


def time_texts(bundle: Bundle) -> tuple[Times, Times]:
    """Nanoseconds of tokenizing and of decoding, a golden case each, in turns.

    The second is empty for tasks whose answer is read off one number or a label, the first as well where the
    bundle has no golden cases.
    """
    cases = json.loads((bundle.path / GOLDEN).read_text(encoding="utf-8"))["cases"]
    if not cases:
        return (), ()
    from transformers import AutoTokenizer

    from pipeline.tasks.methods import methods_of

    tokenizer = AutoTokenizer.from_pretrained(bundle.path, local_files_only=True)
    methods = methods_of(bundle.task)
    decode = methods.decoder(())
    tokenizing: list[int] = []
    decoding: list[int] = []
    for run in range(WARMUP + RUNS):
        case = cases[run % len(cases)]
        example, logits = methods.example_of(case), _recorded(case, methods.outputs)
        began = time.perf_counter_ns()
        windows = methods.windows(example, tokenizer)
        tokenized = time.perf_counter_ns()
        decode(example, windows, logits)
        decoded = time.perf_counter_ns()
        if run >= WARMUP:
            tokenizing.append(tokenized - began)
            decoding.append(decoded - tokenized)
    return tuple(tokenizing), tuple(decoding) if methods.kind == "question-answering" else ()


def _recorded(case: dict[str, Any], outputs: tuple[str, ...]) -> list[tuple[np.ndarray, ...]]:
    return [tuple(np.array(window[name], np.float32) for name in outputs) for window in case["windows"]]
