"""Batches of a whole run: every example once an epoch, cut by tokens, fixed by the seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from pipeline.schedule import CHUNK, PooledSchedule, Schedule


def lengths(count: int, seed: int = 0) -> list[int]:
    return [int(n) for n in np.random.default_rng(seed).integers(20, 385, size=count)]


@pytest.mark.parametrize("count", [1, 2, 37, 3000])
def test_every_epoch_holds_every_window_once(count: int) -> None:
    sizes = lengths(count)
    one = Schedule(sizes, 2048, 1, seed=3).batches
    two = Schedule(sizes, 2048, 2, seed=3).batches
    assert two[: len(one)] == one
    for epoch in (one, two[len(one) :]):
        assert sorted(i for batch in epoch for i in batch) == list(range(count))
    if count > 2:
        assert two[len(one) :] != one


@pytest.mark.parametrize("tokens", [64, 384, 1000, 6144])
def test_no_padded_batch_exceeds_the_tokens_unless_it_is_one_window(tokens: int) -> None:
    sizes = lengths(500)
    batches = Schedule(sizes, tokens, 1, seed=0).batches
    padded = [max(sizes[i] for i in batch) * len(batch) for batch in batches]
    assert all(size <= tokens or len(batch) == 1 for size, batch in zip(padded, batches, strict=True))
    if tokens == 6144:
        # Grouping by length leaves little padding, and batches are well filled.
        assert sum(padded) < 1.15 * sum(sizes)
        assert sum(padded) > 0.7 * tokens * len(batches)


@pytest.mark.parametrize("epochs", [0.25, 0.5, 1.0, 1.2, 2.5])
def test_a_part_of_an_epoch_is_the_beginning_of_it(epochs: float) -> None:
    sizes = lengths(900)
    batches = Schedule(sizes, 1024, epochs, seed=1).batches
    whole = Schedule(sizes, 1024, 3, seed=1).batches
    assert batches == whole[: len(batches)]
    assert len(batches) == pytest.approx(epochs * len(whole) / 3, abs=2)


def test_at_least_one_batch() -> None:
    assert Schedule([100], 64, 0.01, seed=0).batches == [[0]]


def test_batches_are_fixed_by_the_seed_and_not_sorted_by_length() -> None:
    sizes = lengths(2000)
    one, again, other = (Schedule(sizes, 4096, 1, seed) for seed in (1, 1, 2))
    assert one.batches == again.batches == list(one)
    assert one.batches != other.batches
    assert len(one) == len(one.batches)
    means = [np.mean([sizes[i] for i in batch]) for batch in one]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


class Lengths:
    """Sequences that are nothing but their lengths."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = np.array(sizes)
        self.longest_asked = 0

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self, first: int, last: int) -> np.ndarray:
        self.longest_asked = max(self.longest_asked, last - first)
        return self.sizes[first:last]


@pytest.mark.parametrize("count", [1, 5, CHUNK, 40 * CHUNK + 7])
def test_every_epoch_of_a_corpus_holds_every_sequence_once(count: int) -> None:
    sequences = Lengths(lengths(count))
    batches = list(PooledSchedule(sequences, 4096, 2, seed=3))
    seen = Counter(place for batch in batches for place in batch)
    assert set(seen.values()) == {1}
    assert set(seen) == {(epoch, i) for epoch in (0, 1) for i in range(count)}
    assert sequences.longest_asked <= CHUNK, "lengths are asked for a chunk at a time"


@pytest.mark.parametrize("epochs", [0.3, 1.0, 2.5])
def test_a_corpus_schedule_knows_its_length_and_repeats(epochs: float) -> None:
    sequences = Lengths(lengths(5000))
    schedule = PooledSchedule(sequences, 2048, epochs, seed=1)
    batches = list(schedule)
    assert len(batches) == len(schedule)
    assert list(schedule) == batches == list(PooledSchedule(sequences, 2048, epochs, seed=1))
    assert batches != list(PooledSchedule(sequences, 2048, epochs, seed=2))
    whole = list(PooledSchedule(sequences, 2048, 3, seed=1))
    assert batches[: len(batches) // 3] == whole[: len(batches) // 3]


def test_corpus_batches_are_full_alike_and_within_the_tokens() -> None:
    sizes = lengths(20000)
    batches = list(PooledSchedule(Lengths(sizes), 4096, 1, seed=0))
    padded = [max(sizes[i] for _, i in batch) * len(batch) for batch in batches]
    assert max(padded) <= 4096
    assert sum(padded) < 1.05 * sum(sizes)
    assert sum(padded) > 0.85 * 4096 * len(batches)


def test_neighbours_of_a_packed_corpus_are_torn_apart() -> None:
    """Sequences of equal length, as packing makes them: a batch mixes many places of the corpus."""
    count = 32 * CHUNK
    batches = list(PooledSchedule(Lengths([128] * count), 4096, 1, seed=0))
    assert all(len(batch) == 32 for batch in batches)
    spread = [len({i // CHUNK for _, i in batch}) for batch in batches]
    assert np.mean(spread) > 10
    next_to_each_other = sum(abs(a - b) == 1 for batch in batches for (_, a), (_, b) in pairwise(batch))
    assert next_to_each_other < 0.01 * count
