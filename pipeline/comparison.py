"""What several models say of the same windows: logits on disk, and how far two models are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase

from pipeline.numerics import sqnr_db
from pipeline.tasks.base import Logits, Methods, run_window
from pipeline.types import Answerer

FILE = "logits.safetensors"
EXACT_DB = 200.0
"""Stands for "the same to the bit", which JSON has no number for."""

Said = list[list[Logits]]
"""A model's logits: of every example, of each of its windows."""
Windows = list[list[Any]]
"""Of every example."""


def windows_of(methods: Methods, examples: Sequence[Any], tokenizer: PreTrainedTokenizerBase) -> Windows:
    """The windows of all examples."""
    return [methods.windows(example, tokenizer) for example in examples]


def ask(model: Answerer, windows: Windows, step: Callable[[int], None] = lambda done: None) -> Said:
    """The model's logits; calls `step` after each example."""
    said = []
    for done, parts in enumerate(windows, start=1):
        said.append([run_window(model, part) for part in parts])
        step(done)
    return said


def save(said: Said, folder: Path) -> None:
    """logits.safetensors: all logits in order, float32 (n,); sizes of each window's outputs, int32
    (windows, outputs); windows of each example, int32 (examples,)."""
    parts = [logits for example in said for logits in example]
    tables = {
        "logits": np.concatenate([output for logits in parts for output in logits]).astype(np.float32),
        "sizes": np.array([[len(output) for output in logits] for logits in parts], np.int32),
        "windows": np.array([len(example) for example in said], np.int32),
    }
    save_file(tables, str(folder / FILE))


def load(folder: Path) -> Said:
    """What `save` wrote."""
    tables = load_file(str(folder / FILE))
    sizes = tables["sizes"]
    ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
    parts = [
        tuple(tables["logits"][end - size : end] for size, end in zip(row, places, strict=True))
        for row, places in zip(sizes.tolist(), ends.tolist(), strict=True)
    ]
    each = iter(parts)
    return [[next(each) for _ in range(count)] for count in tables["windows"].tolist()]


def answers(methods: Methods, examples: Sequence[Any], windows: Windows, said: Said) -> list[Any]:
    """The answer to every example that the model was asked, which may be the first few."""
    decode = methods.decoder(examples)
    return [
        decode(example, parts, [_finite(logits) for logits in found])
        for example, parts, found in zip(examples, windows, said, strict=False)
    ]


def _finite(logits: Logits) -> Logits:
    """Logits that decode to something even where a broken program gives NaN; the verdict sees the NaN."""
    return tuple(np.nan_to_num(part, nan=-1e4, posinf=1e4, neginf=-1e4) for part in logits)


def flat(said: Said) -> np.ndarray:
    """All logits, float32 (n,)."""
    return np.concatenate([output for example in said for logits in example for output in logits])


def apart(reference: Said, other: Said) -> dict[str, float]:
    """max_error and mean_error, |difference|; sqnr_db, the first being the signal; cosine, all in float64.

    Over the examples that both were asked, which are the first few of one of them.
    """
    count = min(len(reference), len(other))
    wanted, got = (flat(said[:count]).astype(np.float64) for said in (reference, other))
    errors = np.abs(wanted - got)
    norms = float(np.linalg.norm(wanted) * np.linalg.norm(got))
    return {
        "sqnr_db": min(sqnr_db(wanted, got), EXACT_DB),
        "max_error": float(errors.max()),
        "mean_error": float(errors.mean()),
        "cosine": float(wanted @ got) / norms if norms else float("nan"),
    }


def agreement(methods: Methods, one: Sequence[Any], other: Sequence[Any]) -> float:
    """Share of examples to which both give the same answer, over those that both were asked."""
    pairs = list(zip(one, other, strict=False))
    return sum(methods.agree(a, b) for a, b in pairs) / len(pairs)


def scores(methods: Methods, examples: Sequence[Any], found: Sequence[Any]) -> dict[str, float]:
    """The task's metrics, in percent, over the examples that were asked."""
    asked = examples[: len(found)]
    return methods.score(asked, written(methods, asked, found))


def written(methods: Methods, examples: Sequence[Any], found: Sequence[Any]) -> dict[str, str | float]:
    """Example id → answer as predictions files hold it."""
    return {example.id: methods.written(answer) for example, answer in zip(examples, found, strict=True)}
