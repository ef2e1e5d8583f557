"""Which fixed lengths a program should have, so that few tokens of padding are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOAT_COST = 4.6
"""What a FLOP of attention, in float32, costs in FLOPs of int8 linears: 449 over 97 GFLOP/s were measured."""
STEP = 16
"""Lengths are multiples of it, but for the longest."""


def costs(longest: int, hidden: int) -> np.ndarray:
    """The cost of a window of 0 to `longest` tokens, (longest + 1,), in FLOPs of one token's int8 linears.

    A layer with feed-forward neurons of 4 · hidden does 24 · hidden² FLOPs a token in its linears and
    4 · length · hidden in attention.
    """
    lengths = np.arange(longest + 1, dtype=np.float64)
    return np.asarray(lengths * (1 + FLOAT_COST * lengths / (6 * hidden)))


def mean_cost(lengths: Sequence[int], buckets: Sequence[int], hidden: int) -> float:
    """Of windows of these lengths, each in its shortest bucket, as a share of all in the longest bucket."""
    cost = costs(buckets[-1], hidden)
    places = np.searchsorted(np.asarray(buckets), np.asarray(lengths))
    return float(cost[np.asarray(buckets)[places]].mean() / cost[-1])


def choose(lengths: Sequence[int], count: int, longest: int, hidden: int) -> tuple[int, ...]:
    """At most `count` lengths, the last of them `longest`, that make the mean cost of these windows least.

    Dynamic programming over multiples of STEP: the best buckets up to a length are the best ones up to some
    shorter length, and this one. Raises ValueError for a window longer than `longest`.
    """
    if not lengths or max(lengths) > longest:
        raise ValueError(f"windows must have 1 to {longest} tokens")
    ends = [*range(STEP, longest, STEP), longest]
    cost = costs(longest, hidden)[ends]
    below = np.searchsorted(np.sort(np.asarray(lengths)), [0, *ends], side="right")
    best = np.asarray(cost * below[1:])  # With one bucket, everything up to its end costs the same.
    chosen: list[tuple[int, ...]] = [(end,) for end in ends]
    for _ in range(count - 1):
        better, longer = best.copy(), list(chosen)
        for i, end in enumerate(ends):
            for j in range(i):
                total = best[j] + cost[i] * (below[i + 1] - below[j + 1])
                if total < better[i]:
                    better[i], longer[i] = total, (*chosen[j], end)
        best, chosen = better, longer
    return chosen[-1]
