"""Figures against closed forms, numpy and distributions whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from device_bench import stats


def test_percentiles_of_evenly_spaced_samples_are_their_positions() -> None:
    samples = [10 * i for i in range(1, 102)]  # 10, 20 … 1010: the share q lies at 10 + 1000 q
    for share in (0.0, 0.25, 0.5, 0.9, 0.99, 1.0):
        assert stats.percentile(samples, share) == pytest.approx(10 + 1000 * share)


def test_percentiles_do_not_depend_on_order_and_agree_with_numpy() -> None:
    samples = np.random.default_rng(3).lognormal(15, 0.4, 137)
    shuffled = np.random.default_rng(4).permutation(samples)
    for share in (0.05, 0.5, 0.9, 0.99):
        assert stats.percentile(shuffled.tolist(), share) == pytest.approx(np.percentile(samples, 100 * share))


@pytest.mark.parametrize(("samples", "middle"), [([7], 7), ([1, 9], 5), ([3, 1, 2], 2), ([4, 1, 3, 2], 2.5)])
def test_median_of_few(samples: list[int], middle: float) -> None:
    assert stats.median(samples) == middle


def test_coefficient_of_variation_has_its_closed_form() -> None:
    # Two values a and b: mean (a+b)/2, sample deviation |a−b|/√2.
    assert stats.coefficient_of_variation([90, 110]) == pytest.approx(20 / math.sqrt(2) / 100)
    assert stats.coefficient_of_variation([5, 5, 5]) == 0
    assert stats.coefficient_of_variation([5]) == 0


def test_describe_gives_every_figure_in_nanoseconds() -> None:
    made = stats.describe([4_000_000, 1_000_000, 3_000_000, 2_000_000, 5_000_000])
    assert (made.count, made.minimum_ns, made.median_ns, made.maximum_ns) == (5, 1e6, 3e6, 5e6)
    assert made.median_ms == 3.0
    assert made.p90_ns == pytest.approx(4.6e6)
    assert made.p99_ns == pytest.approx(4.96e6)
    assert made.coefficient_of_variation == pytest.approx(math.sqrt(2.5) / 3)


def test_a_constant_ratio_is_found_exactly_whatever_slowed_both() -> None:
    slowdown = np.random.default_rng(0).lognormal(0, 1.0, 50)
    ratio = stats.paired_ratio((6e6 * slowdown).tolist(), (2e6 * slowdown).tolist())
    assert ratio.as_tuple() == pytest.approx((3.0, 3.0, 3.0))


def test_the_ratio_is_the_median_over_pairs_not_the_ratio_of_medians() -> None:
    assert stats.paired_ratio([10, 40, 90], [10, 20, 10]).value == 2.0  # pairs 1, 2, 9
    assert stats.median([10, 40, 90]) / stats.median([10, 20, 10]) == 4.0


def test_the_interval_repeats_with_its_seed_and_holds_the_value() -> None:
    generator = np.random.default_rng(1)
    baseline, candidate = (generator.lognormal(mean, 0.2, 20).tolist() for mean in (16, 15))
    first = stats.paired_ratio(baseline, candidate, seed=5)
    assert first == stats.paired_ratio(baseline, candidate, seed=5)
    assert first.low < first.value < first.high
    assert first != stats.paired_ratio(baseline, candidate, seed=6)


def test_the_interval_covers_the_true_median_about_95_times_in_100() -> None:
    generator = np.random.default_rng(2)
    true, trials, covered = math.e, 300, 0
    for trial in range(trials):
        candidate = generator.lognormal(0, 0.1, 40)
        baseline = candidate * generator.lognormal(1, 0.2, 40)  # the ratio's median is e
        made = stats.paired_ratio(baseline.tolist(), candidate.tolist(), resamples=500, seed=trial)
        covered += made.low <= true <= made.high
    assert 0.90 <= covered / trials <= 0.99


def test_more_pairs_give_a_narrower_interval() -> None:
    def width(pairs: int) -> float:
        generator = np.random.default_rng(7)
        made = stats.paired_ratio(generator.lognormal(1, 0.2, pairs).tolist(), [1.0] * pairs)
        return made.high - made.low

    assert width(1600) < width(100) / 2.5  # √16 = 4 times narrower, up to chance


def test_many_samples_are_resampled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(8).lognormal(1, 0.2, 30).tolist()
    whole = stats.paired_ratio(samples, [1.0] * 30, resamples=101)
    monkeypatch.setattr(stats, "_AT_ONCE", 300)
    assert stats.paired_ratio(samples, [1.0] * 30, resamples=101) == whole


@pytest.mark.parametrize("count", [6, 7, 20, 50, 51, 1024, 5000])
def test_the_interval_of_the_median_is_the_binomial_one(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(15, 0.3, count)
    expected = scipy_stats.quantile_test(samples, p=0.5).confidence_interval(0.95)
    assert stats.median_interval(samples.tolist()) == (expected.low, expected.high)


def test_few_samples_give_their_extremes() -> None:
    assert stats.median_interval([3, 1, 2]) == (1, 3)
    assert stats.median_interval([4]) == (4, 4)


def test_the_interval_of_the_median_covers_it_about_95_times_in_100() -> None:
    generator, covered, trials = np.random.default_rng(6), 0, 400
    for _ in range(trials):
        low, high = stats.median_interval(generator.lognormal(0, 0.5, 60).tolist())
        covered += low <= 1 <= high
    assert 0.93 <= covered / trials <= 0.995


def test_the_ratios_interval_is_scipys_percentile_bootstrap() -> None:
    generator = np.random.default_rng(9)
    candidate = generator.lognormal(15, 0.1, 200)
    baseline = candidate * generator.lognormal(1, 0.1, 200)
    ours = stats.paired_ratio(baseline.tolist(), candidate.tolist(), resamples=9000)
    theirs = scipy_stats.bootstrap(
        (baseline / candidate,), np.median, n_resamples=9000, method="percentile", rng=1
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, rel=2e-3)
    assert ours.high == pytest.approx(theirs.high, rel=2e-3)


def test_the_interval_holds_what_differs_between_processes() -> None:
    """Pairs differ by 0.2 %, processes by 1 %: only drawing processes covers the truth as often as it says."""
    generator = np.random.default_rng(11)
    trials, processes, runs = 60, 10, 50
    covered = {"pairs": 0, "processes": 0}
    for trial in range(trials):
        offsets = np.repeat(generator.normal(0, 0.01, processes), runs)
        ratios = 5 * np.exp(offsets + generator.normal(0, 0.002, offsets.size))
        baseline, candidate = (1e6 * ratios).tolist(), [1e6] * ratios.size
        plain = stats.paired_ratio(baseline, candidate, resamples=200, seed=trial)
        nested = stats.paired_ratio(baseline, candidate, [runs] * processes, resamples=200, seed=trial)
        covered["pairs"] += plain.low <= 5 <= plain.high
        covered["processes"] += nested.low <= 5 <= nested.high
        assert nested.value == plain.value
    assert covered["pairs"] < trials / 2
    assert covered["processes"] >= 0.9 * trials


def test_runs_of_processes_add_up_to_the_pairs() -> None:
    with pytest.raises(ValueError, match="processes gave 3 pairs, and there are 2"):
        stats.paired_ratio([2.0, 2.0], [1.0, 1.0], [1, 2])
    one = stats.paired_ratio([2.0, 3.0, 4.0], [1.0] * 3, [3], resamples=50)
    assert one == stats.paired_ratio([2.0, 3.0, 4.0], [1.0] * 3, resamples=50)


def test_half_width_is_a_share_of_the_ratio() -> None:
    assert stats.Ratio(value=10, low=9.7, high=10.3).half_width == pytest.approx(0.03)


@pytest.mark.parametrize("bad", [[], [0], [-1, 2], [math.nan], [1, math.inf]])
def test_what_is_no_duration_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="sample"):
        stats.describe(bad)


def test_samples_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="3 baseline and 2 candidate samples are no pairs"):
        stats.paired_ratio([1, 2, 3], [1, 2])


def test_a_share_is_no_percentage() -> None:
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], got 50"):
        stats.percentile([1, 2], 50)
