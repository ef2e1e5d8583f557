"""Cases of classification and regression: one window of a text or a pair, and what its logits say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.suite import texts
from pipeline.suite.spans import PARTS, Tokenizers
from pipeline.suite.tokens import written
from pipeline.tasks import text_classification
from pipeline.tasks.sentences import Sentence
from pipeline.types import PipelineError

TEXTS = 320
NAMES = ("negative", "neutral", "positive", "mixed")


def cases(sentences: Sequence[str], tokenizers: Tokenizers, seed: int) -> Iterator[dict[str, Any]]:
    """Lines of texts.json: `ids`, or `refused`; with `logits_256ths` the label and its confidence."""
    draw = random.Random(seed)
    for number in range(TEXTS):
        text, pair = _text(draw, sentences), _text(draw, sentences) if number % 2 else None
        kind, longest = draw.choice(["pocket", "cased"]), draw.choice([8, 9, 16, 17, 40, 128])
        yield _case(f"text-{number}", text, pair, kind, longest, tokenizers, draw)
    for number, (text, pair) in enumerate(
        [("", None), (" \n", None), ("a", ""), ("", "a"), ("\u200b", None), ("a", "\u200b"), ("[SEP]", "[CLS]")]
    ):
        yield _case(f"odd-{number}", text, pair, "pocket", 16, tokenizers, draw)


def _text(draw: random.Random, sentences: Sequence[str]) -> str:
    if draw.random() < 0.7:
        words = draw.choice(sentences).split(" ")
        return " ".join(words[: draw.randrange(1, len(words) + 1)])
    return texts.fuzz(draw, sentences[0].split(" "), draw.choice([*texts.FAMILIES]), draw.randrange(1, 9))


def _case(
    name: str,
    text: str,
    pair: str | None,
    kind: str,
    longest: int,
    tokenizers: Tokenizers,
    draw: random.Random,
) -> dict[str, Any]:
    given = {"id": name, "tokenizer": kind, "max_length": longest, **written(text)}
    if pair is not None:
        given.update(written(pair, "pair"))
    whole = Sentence("", texts.well_formed(text), None if pair is None else texts.well_formed(pair), 0.0)
    try:
        (window,) = text_classification.windows(whole, tokenizers[kind], longest)
    except PipelineError as error:
        return {**given, "refused": str(error).replace("text  ", "the text ")}
    names = NAMES[: draw.randrange(2, len(NAMES) + 1)]
    steps = draw.choice([3, 2000])
    numbers = [draw.randrange(-steps, steps) for _ in names]
    label = text_classification.label(np.array(numbers, np.float32) / PARTS, names)
    said = {"number": label.number, "label": label.name, "confidence": label.confidence}
    return {**given, "ids": window.ids.tolist(), "labels": names, "logits_256ths": numbers, **said}
