"""GLUE's metrics against closed forms, exact fractions, and scikit-learn and scipy where they are installed."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics as sklearn_metrics

from pipeline.tasks import metrics

GOLD = np.array([1, 1, 1, 1, 0, 0, 0, 1])
GIVEN = np.array([1, 0, 1, 1, 1, 0, 0, 0])
# 3 true positives, 1 false positive, 2 false negatives, 2 true negatives.


def test_labels_in_closed_form() -> None:
    assert metrics.accuracy(GOLD, GIVEN) == 5 / 8
    assert metrics.f1(GOLD, GIVEN) == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert metrics.matthews(GOLD, GIVEN) == pytest.approx((3 * 2 - 1 * 2) / math.sqrt(4 * 5 * 3 * 4))


def test_ranks_share_their_mean() -> None:
    assert metrics.ranks(np.array([10.0, 30.0, 10.0, 20.0, 30.0, 30.0])).tolist() == [1.5, 5, 1.5, 3, 5, 5]


def test_correlations_in_closed_form() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 5.0]), np.array([2.0, 1.0, 4.0, 3.0])
    means = Fraction(11, 4), Fraction(10, 4)
    dx, dy = ([Fraction(v) - m for v in values] for values, m in zip((x, y), means, strict=True))
    top = sum(a * b for a, b in zip(dx, dy, strict=True))
    below = math.sqrt(sum(a * a for a in dx) * sum(b * b for b in dy))
    assert metrics.pearson(x, y) == pytest.approx(float(top) / below)
    # Without ties: 1 − 6 Σ d² / (n (n² − 1)), ranks 1 2 3 4 against 2 1 4 3.
    assert metrics.spearman(x, y) == pytest.approx(1 - 6 * 4 / (4 * 15))
    assert metrics.spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert metrics.pearson(x, -3 * x + 1) == pytest.approx(-1.0)


def test_small_values_far_from_zero_keep_their_correlation() -> None:
    x = np.arange(5, dtype=np.float32)
    assert metrics.pearson(x, 1e6 + x.astype(np.float64)) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_what_is_undefined_counts_nothing(name: str) -> None:
    assert metrics.METRICS[name](np.zeros(4), np.zeros(4)) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_as_others_compute_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    gold, given = random.integers(0, 2, 50), random.integers(0, 2, 50)
    assert metrics.accuracy(gold, given) == pytest.approx(sklearn_metrics.accuracy_score(gold, given))
    assert metrics.f1(gold, given) == pytest.approx(sklearn_metrics.f1_score(gold, given))
    assert metrics.matthews(gold, given) == pytest.approx(sklearn_metrics.matthews_corrcoef(gold, given))
    values, near = random.integers(0, 6, 80) / 2, random.normal(size=80).round(1)
    assert metrics.pearson(values, near) == pytest.approx(scipy_stats.pearsonr(values, near)[0])
    assert metrics.spearman(values, near) == pytest.approx(scipy_stats.spearmanr(values, near)[0])
