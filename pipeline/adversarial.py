"""Windows that real text rarely gives and a phone will see: the ends of every range that a program allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SHORT = 16
"""Tokens of a feed that is not about lengths, or the program's longest where that is less."""
STRIDE = 7919
"""A prime: steps of it visit all ids of a vocabulary in no order that a table could favour."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One window: `ids`, int32 (seq,), all of them real, given to the program padded to `length` tokens."""

    name: str
    ids: np.ndarray
    length: int

    def padded(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask, int32 (1, length): zeros stand for padding."""
        extra = (0, length - len(self.ids))
        return np.pad(self.ids, extra)[None], np.pad(np.ones_like(self.ids), extra)[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How many ids there are, and which of them mean something else than text."""

    size: int
    cls: int
    sep: int
    special: tuple[int, ...]


def borders(lengths: Sequence[int]) -> list[int]:
    """Every length next to one at which a program's shape changes: each of its lengths, one less, one more.

    `lengths`, ascending, are those a program takes; a run of neighbours counts as one flexible length.
    """
    ends = [
        length
        for i, length in enumerate(lengths)
        if i in (0, len(lengths) - 1) or lengths[i - 1] != length - 1 or lengths[i + 1] != length + 1
    ]
    around = {length + step for length in ends for step in (-1, 0, 1)}
    return sorted(length for length in around if 1 <= length <= lengths[-1])


def feeds(lengths: Sequence[int], vocabulary: Vocabulary) -> list[Feed]:
    """All of them, each under its own name; the same arguments give the same feeds."""
    return list(_feeds(lengths, vocabulary))


def _feeds(lengths: Sequence[int], vocabulary: Vocabulary) -> Iterator[Feed]:
    longest, size = lengths[-1], vocabulary.size
    short, cls, sep = min(SHORT, longest), vocabulary.cls, vocabulary.sep
    text = _text(vocabulary, longest)

    def feed(name: str, ids: Sequence[int], length: int = 0) -> Feed:
        kept = np.array(ids[:longest], np.int32)
        return Feed(name, kept, max(length, len(kept)))

    yield feed("all padding but two tokens", [cls, sep], longest)
    yield feed("one-token question", [cls, text[0], sep, *text[1 : short - 3], sep])
    yield feed("one-token question, one-token passage", [cls, text[0], sep, text[1], sep])
    for length in sorted({1, 2, *borders(lengths)}):
        named = f"{length} token{'s' * (length > 1)}{', the longest' * (length == longest)}"
        yield feed(named, [*[cls, *text][: length - 1], sep])
    yield feed("lowest ids", [cls, *range(short - 2), sep])
    yield feed("highest ids", [cls, *range(size - 1, size + 1 - short, -1), sep])
    yield feed("the lowest id alone", [0] * short)
    yield feed("the highest id alone", [size - 1] * short)
    yield feed("the highest id alone, the longest", [size - 1] * longest)


def _text(vocabulary: Vocabulary, count: int) -> list[int]:
    """So many ids of ordinary tokens, from all over the vocabulary."""
    special = set(vocabulary.special)
    found: list[int] = []
    place = 0
    while len(found) < count:
        place = (place + STRIDE) % vocabulary.size
        if place not in special:
            found.append(place)
    return found
