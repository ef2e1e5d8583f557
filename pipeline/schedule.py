"""Which examples make up each batch of a whole run: fixed by the seed, of like length, cut by tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

POOL_BATCHES = 64
CHUNK = 1024
"""Consecutive sequences of a corpus that stay together while it is shuffled."""
POOL_CHUNKS = 16


class Schedule:
    """Every batch of a whole run, fixed by the seed: windows of like length, at most so many tokens.

    Each epoch shuffles all windows, sorts pools of about 64 batches by length, cuts batches whose padded
    size stays within `tokens`, and shuffles those.
    """

    def __init__(self, lengths: Sequence[int], tokens: int, epochs: float, seed: int) -> None:
        self.batches: list[list[int]] = []
        whole = math.ceil(epochs)
        for epoch in range(whole):
            cut = self._epoch(np.asarray(lengths), tokens, np.random.default_rng([seed, epoch]))
            share = 1.0 if epoch < whole - 1 else epochs - (whole - 1)
            self.batches.extend(cut[: max(1, round(len(cut) * share))])

    @staticmethod
    def _epoch(lengths: np.ndarray, tokens: int, random: np.random.Generator) -> list[list[int]]:
        order = random.permutation(len(lengths))
        pool = max(1, int(POOL_BATCHES * tokens / max(float(lengths.mean()), 1.0)))
        cut: list[list[int]] = []
        for first in range(0, len(order), pool):
            part = order[first : first + pool]
            part = part[np.argsort(lengths[part], kind="stable")]
            batch: list[int] = []
            for index in part:
                if batch and (len(batch) + 1) * int(lengths[index]) > tokens:
                    cut.append(batch)
                    batch = []
                batch.append(int(index))
            cut.append(batch)
        return [cut[i] for i in random.permutation(len(cut))]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Sequences(Protocol):
    """Examples too many to list, whose lengths can be asked for."""

    def __len__(self) -> int: ...

    def lengths(self, first: int, last: int) -> np.ndarray:
        """Tokens of each of the sequences [first, last)."""


class PooledSchedule:
    """The same for a corpus on disk, in memory that hardly grows with it.

    Each epoch shuffles chunks of 1,024 consecutive sequences, takes 16 chunks at a time, shuffles their
    sequences, and cuts them into batches of like length. A batch is a list of (epoch, sequence).
    """

    def __init__(self, sequences: Sequences, tokens: int, epochs: float, seed: int) -> None:
        self.sequences, self.tokens, self.seed = sequences, tokens, seed
        self._of_epoch: list[int] = []
        whole = math.ceil(epochs)
        for epoch in range(whole):
            count = sum(len(pool) for pool in self._pools(epoch))
            share = 1.0 if epoch < whole - 1 else epochs - (whole - 1)
            self._of_epoch.append(max(1, round(count * share)))

    def _pools(self, epoch: int) -> Iterator[list[np.ndarray]]:
        random = np.random.default_rng([self.seed, epoch])
        count = len(self.sequences)
        order = random.permutation(math.ceil(count / CHUNK))
        for first in range(0, len(order), POOL_CHUNKS):
            some = order[first : first + POOL_CHUNKS] * CHUNK
            indices = np.concatenate([np.arange(at, min(at + CHUNK, count)) for at in some])
            lengths = np.concatenate(
                [self.sequences.lengths(int(at), min(int(at) + CHUNK, count)) for at in some]
            )
            mixed = random.permutation(len(indices))
            mixed = mixed[np.argsort(lengths[mixed], kind="stable")]
            cut = _cut(lengths[mixed], self.tokens)
            pool = [indices[mixed[begin:end]] for begin, end in cut]
            yield [pool[i] for i in random.permutation(len(pool))]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch, count in enumerate(self._of_epoch):
            batches = (batch for pool in self._pools(epoch) for batch in pool)
            for _, batch in zip(range(count), batches, strict=False):
                yield [(epoch, int(index)) for index in batch]

    def __len__(self) -> int:
        return sum(self._of_epoch)


def _cut(ascending: np.ndarray, tokens: int) -> list[tuple[int, int]]:
    """Runs of ascending lengths whose padded size stays within `tokens`, one at least to a run."""
    cut, begin = [], 0
    for at, length in enumerate(ascending):
        if at > begin and (at - begin + 1) * int(length) > tokens:
            cut.append((begin, at))
            begin = at
    return [*cut, (begin, len(ascending))]
