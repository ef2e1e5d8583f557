"""What the speed benchmark reads: real questions and text where they are given, else our own, cut to length.

The shipped passages are shorter than SQuAD's. So that padding to 384 does not look worse than it is, their text
is joined and cut to windows whose lengths follow SQuAD v1.1's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.recipe import Corpus, Questions, Task
from pipeline.speed import memory
from pipeline.tasks import question_answering
from pipeline.tasks.corpus import CorpusText, Packed
from pipeline.tasks.dataset import QuestionSet
from pipeline.tasks.question_answering import NO_TOKEN, Window
from pipeline.types import Silent

SHARES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1)
SQUAD = (41, 108, 131, 161, 200, 253, 299, 354, 384)
"""Tokens below which these shares of SQuAD v1.1's training windows lie, at 384 tokens and a stride of 128."""
QUESTION_TOKENS = 12
PRACTICE = Path(__file__).parents[1] / "data" / "practice.json"
OUR_TEXT = 500_000
"""Bytes of our own text that a general student is timed on where no corpus is given."""
DOCUMENTS = 2000
"""Of a corpus that is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long the sequences are, in tokens, and where they come from."""

    source: str
    count: int
    mean: float
    deciles: tuple[float, ...]

    @classmethod
    def of(cls, source: str, lengths: Sequence[int]) -> Lengths:
        """Their distribution."""
        deciles = tuple(float(d) for d in np.quantile(lengths, np.linspace(0, 1, 11)))
        return cls(source=source, count=len(lengths), mean=float(np.mean(lengths)), deciles=deciles)


def passages() -> list[str]:
    """Our own practice passages."""
    document = json.loads(PRACTICE.read_text(encoding="utf-8"))
    return [part["context"] for article in document["data"] for part in article["paragraphs"]]


def windows(source: str | None, count: int, task: Task, tokenizer: PreTrainedTokenizerBase) -> list[Window]:
    """About `count` training windows: of questions spread over a SQuAD file, or of our own text."""
    if source:
        asked = QuestionSet(Questions(source=source)).spread(count)
        found = [w for question in asked for w in question_answering.windows(question, tokenizer, task)]
        random = np.random.default_rng(0)
        return [found[i] for i in random.permutation(len(found))[:count]]
    return our_windows(count, task, tokenizer)


def our_windows(count: int, task: Task, tokenizer: PreTrainedTokenizerBase) -> list[Window]:
    """Windows of our own text whose lengths follow SQuAD's; the gold answers are anywhere."""
    text = tokenizer(passages(), add_special_tokens=False)["input_ids"]
    stream = np.array([token for ids in text for token in ids], np.int32)
    before, after = int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)
    random = np.random.default_rng(0)
    found = []
    for share in (random.permutation(count) + 0.5) / count:
        length = min(round(float(np.interp(share, SHARES, SQUAD))), task.max_length)
        asked, told = QUESTION_TOKENS, length - QUESTION_TOKENS - 3
        at = random.integers(len(stream), size=2)
        words = [
            np.take(stream, np.arange(n) + first, mode="wrap")
            for n, first in zip((asked, told), at, strict=True)
        ]
        ids = np.concatenate([[before], words[0], [after], words[1], [after]]).astype(np.int32)
        types = (np.arange(length) > asked + 1).astype(np.int8)
        start, end = sorted(int(i) for i in random.integers(asked + 2, length - 1, size=2))
        found.append(Window(ids, types, np.array([NO_TOKEN] * length, np.int32), start, end))
    return found


def packed(source: str | None, length: int, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Packed:
    """Sequences of at most `length` tokens, a document to each: a corpus's first, or our text."""
    if source is None:
        folder.mkdir(parents=True, exist_ok=True)
        said, random = passages(), np.random.default_rng(0)
        joined = [
            " ".join(said[i] for i in random.integers(len(said), size=n)) for n in random.integers(1, 4, 64)
        ]
        memory.write_text(folder / "ours.txt", OUR_TEXT, joined)
    entry = Corpus(source=source, limit=DOCUMENTS) if source else Corpus(source=str(folder / "ours.txt"))
    return CorpusText(entry).pack(
        folder / "packed", tokenizer, length=length, layout="grouped", progress=Silent()
    )
