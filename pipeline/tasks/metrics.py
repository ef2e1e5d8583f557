"""GLUE's metrics over labels and numbers, as fractions: 1 is best (Wang et al. 2018, table 1).

gold, given: (examples,) each. What a formula leaves undefined, a division by zero, counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def accuracy(gold: np.ndarray, given: np.ndarray) -> float:
    """Share of examples with the right label."""
    return float(np.mean(gold == given))


def f1(gold: np.ndarray, given: np.ndarray) -> float:
    """Harmonic mean of precision and recall of label 1."""
    hits = float(np.sum((gold == 1) & (given == 1)))
    return _share(2 * hits, float(np.sum(gold == 1) + np.sum(given == 1)))


def matthews(gold: np.ndarray, given: np.ndarray) -> float:
    """Correlation of two binary labels, −1 to 1 (Matthews 1975)."""
    return pearson(gold, given)


def pearson(gold: np.ndarray, given: np.ndarray) -> float:
    """Linear correlation, −1 to 1, in float64."""
    x, y = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (gold, given))
    return _share(float(x @ y), float(np.sqrt(x @ x) * np.sqrt(y @ y)))


def spearman(gold: np.ndarray, given: np.ndarray) -> float:
    """Correlation of ranks; equal values share the mean of their ranks."""
    return pearson(ranks(gold), ranks(given))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean: (n,) → float64 (n,)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: np.ndarray = (last - (counts - 1) / 2)[places]
    return shared


METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
