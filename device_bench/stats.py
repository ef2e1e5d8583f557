"""What raw samples say: percentiles, spread, and how many times faster one program is than another.

Samples are nanoseconds. Nothing is dropped as an outlier; medians and percentiles need no such judgement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 4000
_AT_ONCE = 1 << 22
"""Resampled values held in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One program's samples in figures, all in nanoseconds but the coefficient."""

    count: int
    minimum_ns: float
    median_ns: float
    p90_ns: float
    p99_ns: float
    maximum_ns: float
    coefficient_of_variation: float
    """Sample standard deviation / mean: 0.05 is a quiet machine, above 0.2 something else was running."""

    @property
    def median_ms(self) -> float:
        """The median in milliseconds."""
        return self.median_ns / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times faster: the median of baseline / candidate over pairs, and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the value."""
        return (self.high - self.low) / 2 / self.value

    def as_tuple(self) -> tuple[float, float, float]:
        """value, low, high"""
        return self.value, self.low, self.high


def percentile(samples_ns: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the samples lie, linear between neighbours (Hyndman type 7)."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    return float(np.quantile(_checked(samples_ns), share))


def median(samples_ns: Sequence[float]) -> float:
    """The middle sample, or the mean of the middle two."""
    return percentile(samples_ns, 0.5)


def median_interval(samples_ns: Sequence[float]) -> tuple[float, float]:
    """The narrowest interval between order statistics that holds the true median in ≥ 95 % of cases.

    How many samples lie below the median is binomial, whatever their distribution (Conover 1999, section 3.2).
    Below six samples not even the extremes reach 95 %; they are what is given then.
    """
    samples = np.sort(_checked(samples_ns))
    tail, rank = 0.0, 0
    while rank < samples.size // 2:
        tail += math.exp(_log_binomial(samples.size, rank))
        if tail > (1 - CONFIDENCE) / 2:
            break
        rank += 1
    lowest = max(rank - 1, 0)
    return float(samples[lowest]), float(samples[samples.size - 1 - lowest])


def coefficient_of_variation(samples_ns: Sequence[float]) -> float:
    """Sample standard deviation (n − 1) over the mean; 0 for a single sample."""
    samples = _checked(samples_ns)
    return float(samples.std(ddof=1) / samples.mean()) if samples.size > 1 else 0.0


def describe(samples_ns: Sequence[float]) -> Distribution:
    """All figures of one program."""
    samples = _checked(samples_ns)
    return Distribution(
        count=samples.size,
        minimum_ns=float(samples.min()),
        median_ns=median(samples_ns),
        p90_ns=percentile(samples_ns, 0.9),
        p99_ns=percentile(samples_ns, 0.99),
        maximum_ns=float(samples.max()),
        coefficient_of_variation=coefficient_of_variation(samples_ns),
    )


def paired_ratio(
    baseline_ns: Sequence[float],
    candidate_ns: Sequence[float],
    runs_of: Sequence[int] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Ratio:
    """Median over pairs of baseline / candidate, with a percentile bootstrap interval (Efron 1979).

    Sample i of one was taken right beside sample i of the other, so whatever slowed the machine down then
    slowed both. Whole pairs are drawn again, `resamples` times, which keeps that bond; the seed makes the
    interval repeat. With `runs_of`, the numbers of pairs that processes gave one after the other, processes are
    drawn first and pairs within them, as pairs of one process are alike (Kalibera and Jones 2013, "Rigorous
    benchmarking in reasonable time", hierarchical resampling). A handful of processes gives percentiles that
    lie too close together, so they are expanded as Student's t asks for (Hesterberg 2015, "What teachers should
    know about the bootstrap").
    """
    baseline, candidate = _checked(baseline_ns), _checked(candidate_ns)
    if baseline.size != candidate.size:
        raise ValueError(f"{baseline.size} baseline and {candidate.size} candidate samples are no pairs")
    ratios = baseline / candidate
    if runs_of and sum(runs_of) != ratios.size:
        raise ValueError(f"processes gave {sum(runs_of)} pairs, and there are {ratios.size}")
    if len(runs_of) > 1:
        medians = _medians_of_processes(np.split(ratios, np.cumsum(runs_of)[:-1]), resamples, seed)
        tail = _expanded((1 - CONFIDENCE) / 2, len(runs_of))
    else:
        medians, tail = _medians(ratios, resamples, seed), (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high))


def _medians(ratios: np.ndarray, resamples: int, seed: int) -> list[float]:
    """Of `resamples` samples (n,) drawn from (n,) ratios with replacement."""
    generator = np.random.default_rng(seed)
    medians: list[float] = []
    while len(medians) < resamples:
        draws = min(resamples - len(medians), max(1, _AT_ONCE // ratios.size))
        drawn = generator.integers(ratios.size, size=(draws, ratios.size))
        medians.extend(np.median(ratios[drawn], axis=1))
    return medians


def _medians_of_processes(processes: Sequence[np.ndarray], resamples: int, seed: int) -> list[float]:
    """Of samples drawn in two steps: as many processes as there are, then from each as many as it has."""
    generator = np.random.default_rng(seed)

    def drawn() -> np.ndarray:
        picked = (processes[number] for number in generator.integers(len(processes), size=len(processes)))
        return np.concatenate([generator.choice(process, process.size) for process in picked])

    return [float(np.median(drawn())) for _ in range(resamples)]


def _expanded(tail: float, groups: int) -> float:
    """The percentile to take in place of `tail` where so few groups were drawn."""
    from scipy.stats import norm, t

    return float(norm.cdf(math.sqrt(groups / (groups - 1)) * t.ppf(tail, groups - 1)))


def _log_binomial(count: int, successes: int) -> float:
    """The logarithm of the chance of so many heads in `count` throws of a coin."""
    ways = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
    return ways - count * math.log(2)


def _checked(samples_ns: Sequence[float]) -> np.ndarray:
    """Samples as float64 (n,). Raises ValueError when there are none or one is no duration."""
    samples = np.asarray(samples_ns, dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError("no samples: a figure needs at least one")
    if not (np.isfinite(samples) & (samples > 0)).all():
        raise ValueError("every sample must be a positive, finite number of nanoseconds")
    return samples
