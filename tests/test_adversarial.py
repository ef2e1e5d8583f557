"""Hostile windows: which there are, for programs of fixed, several and flexible lengths."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.adversarial import Vocabulary, borders, feeds

WORDS = Vocabulary(size=1000, cls=101, sep=102, special=(0, 100, 101, 102, 103))


@pytest.mark.parametrize(
    ("lengths", "around"),
    [
        ((384,), [383, 384]),
        ((64, 128, 384), [63, 64, 65, 127, 128, 129, 383, 384]),
        (tuple(range(1, 97)), [1, 2, 95, 96]),
        (tuple(range(2, 97)), [1, 2, 3, 95, 96]),
        ((16, 17), [15, 16, 17]),
    ],
)
def test_every_length_around_each_border(lengths: tuple[int, ...], around: list[int]) -> None:
    assert borders(lengths) == around
    real = {len(feed.ids) for feed in feeds(lengths, WORDS)}
    assert real >= {1, 2, *around}


@pytest.mark.parametrize("longest", [8, 16, 128, 512])
def test_each_is_a_window_that_the_program_takes(longest: int) -> None:
    found = feeds((longest // 2, longest), WORDS)
    assert len({feed.name for feed in found}) == len(found)
    for feed in found:
        assert 1 <= len(feed.ids) <= feed.length <= longest
        assert feed.ids.dtype == np.int32
        assert feed.ids.min() >= 0
        assert feed.ids.max() < WORDS.size
        ids, mask = feed.padded(longest)
        assert ids.shape == mask.shape == (1, longest)
        assert mask.sum() == len(feed.ids)
        assert not ids[0, len(feed.ids) :].any()


def test_the_named_ones_are_what_they_say() -> None:
    named = {feed.name: feed for feed in feeds((64, 384), WORDS)}
    two = named["all padding but two tokens"]
    assert (two.ids.tolist(), two.length) == ([101, 102], 384)
    question = named["one-token question"].ids.tolist()
    assert (question[0], question[2], question[-1]) == (101, 102, 102)
    assert question.count(102) == 2
    assert len(named["384 tokens, the longest"].ids) == 384
    assert {0, 1} <= set(named["lowest ids"].ids.tolist())
    assert {998, 999} <= set(named["highest ids"].ids.tolist())
    assert set(named["the highest id alone, the longest"].ids.tolist()) == {999}
    ordinary = set(named["384 tokens, the longest"].ids[1:-1].tolist())
    assert not ordinary & set(WORDS.special)
    assert max(ordinary) - min(ordinary) > 900, "from all over the vocabulary"


def test_the_same_arguments_give_the_same_feeds() -> None:
    one, other = (feeds((64, 384), WORDS) for _ in range(2))
    assert all(a.name == b.name and np.array_equal(a.ids, b.ids) for a, b in zip(one, other, strict=True))
