"""Fixed lengths chosen for real ones: against trying every choice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline import buckets


def test_no_other_choice_costs_less() -> None:
    lengths = np.random.default_rng(0).integers(5, 112, 300).tolist()
    for count in (1, 2, 3):
        chosen = buckets.choose(lengths, count, 112, 64)
        assert chosen[-1] == 112
        assert len(chosen) <= count
        others = itertools.combinations(range(buckets.STEP, 112, buckets.STEP), count - 1)
        least = min(buckets.mean_cost(lengths, (*other, 112), 64) for other in others)
        assert buckets.mean_cost(lengths, chosen, 64) == pytest.approx(least)


def test_the_longest_need_be_no_multiple() -> None:
    assert buckets.choose([3, 100], 2, 100, 64) == (16, 100)


def test_one_bucket_costs_all() -> None:
    assert buckets.mean_cost([4, 9, 64], (64,), 32) == 1.0


def test_lengths_that_are_alike_want_one_bucket() -> None:
    assert buckets.choose([64] * 5, 4, 64, 32) == (64,)


def test_cost_grows_as_linears_and_attention_do() -> None:
    cost = buckets.costs(200, 32)
    assert cost[0] == 0
    linear = 24 * 32**2
    assert cost[200] == pytest.approx(200 * (linear + buckets.FLOAT_COST * 4 * 200 * 32) / linear)


def test_a_window_beyond_the_longest_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 64 tokens"):
        buckets.choose([65], 2, 64, 32)
