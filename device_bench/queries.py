"""The windows that are asked: one fixed length, or lengths as SQuAD's windows have them.

Ids are ordinary tokens of the candidate's vocabulary that every baseline has too; what they say does not matter
to time or instructions, how many there are does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.types import UsageError

SHARES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1)
SQUAD_LENGTHS = (41, 108, 131, 161, 200, 253, 299, 354, 384)
"""Tokens below which these shares of SQuAD v1.1's training windows lie, at 384 tokens and a stride of 128."""
FIXED_COUNT, SQUAD_COUNT = 8, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Windows of token ids; run i asks windows[i mod count]."""

    source: str
    """fixed:128 or squad."""
    windows: tuple[tuple[int, ...], ...]

    def write(self, path: Path) -> None:
        """One window a line, ids separated by spaces: what a runner reads."""
        path.write_text("".join(" ".join(map(str, ids)) + "\n" for ids in self.windows), encoding="ascii")


def make(source: str, ordinary: Sequence[int], longest: int) -> Queries:
    """Windows of `ordinary` token ids, at most `longest` long, the same for the same arguments.

    Raises UsageError for a source that is neither fixed:N nor squad, or a length that no program takes.
    """
    random = np.random.default_rng(0)
    fixed = re.fullmatch(r"fixed:(\d+)", source)
    if fixed:
        length = int(fixed[1])
        if not 2 <= length <= longest:
            raise UsageError(f"queries of {length} tokens: the program takes 2 to {longest}")
        lengths = [length] * FIXED_COUNT
    elif source == "squad":
        shares = (random.permutation(SQUAD_COUNT) + 0.5) / SQUAD_COUNT
        lengths = [min(round(float(np.interp(share, SHARES, SQUAD_LENGTHS))), longest) for share in shares]
    else:
        raise UsageError(f"unknown queries {source!r}; give squad, or fixed:128 for windows of 128 tokens")
    windows = tuple(tuple(int(i) for i in random.choice(ordinary, size=length)) for length in lengths)
    return Queries(source=source, windows=windows)
