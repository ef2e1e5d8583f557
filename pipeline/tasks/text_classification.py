"""Texts and pairs of texts: one window of token ids each, logits → a label or a value.

Shapes: a window holds seq ≤ max_length tokens, [CLS] text [SEP] or [CLS] text [SEP] pair [SEP].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.tasks.sentences import Sentence
from pipeline.types import DataError


@dataclass(frozen=True, slots=True)
class Text:
    """One model input, and the gold it is trained towards."""

    ids: np.ndarray
    types: np.ndarray
    gold: float = 0.0


@dataclass(frozen=True, slots=True)
class Label:
    """The most likely label and its share of the softmax."""

    number: int
    name: str
    confidence: float


def windows(sentence: Sentence, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Text]:
    """The one window of a text; of a pair that is too long the longer text loses its end first.

    Raises DataError for an empty text.
    """
    if not sentence.text.strip() or (sentence.pair is not None and not sentence.pair.strip()):
        raise DataError(f"text {sentence.id} is empty; give some")
    encoded = tokenizer(
        sentence.text,
        sentence.pair,
        truncation="longest_first",
        max_length=max_length,
        return_token_type_ids=True,
    )
    ids, types = (encoded[name] for name in ("input_ids", "token_type_ids"))
    return [Text(np.array(ids, np.int32), np.array(types, np.int8), sentence.gold)]


def label(logits: np.ndarray, names: tuple[str, ...]) -> Label:
    """logits: (labels,) → the label of the largest, the first of equal ones on every machine."""
    best = int(np.argmax(logits))
    shares = np.exp(logits.astype(np.float64) - float(logits[best]))
    return Label(best, names[best], float(1.0 / shares.sum()))
