"""Two trends in opposite directions: both single tests, the level of the joint one, and its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kendalltau

from moe_claims.stats.opposite_trends import DivergingTrends, diverging_trends
from moe_claims.stats.permutation import Floats
from moe_claims.stats.trend import ar1, block_draws, trend

SEEDS = st.integers(0, 2**32 - 1)


def tried(rising: Floats, falling: Floats, *, seed: int = 0, resamples: int = 199) -> DivergingTrends:
    return diverging_trends(rising, falling, rng=np.random.default_rng(seed), resamples=resamples)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.sampled_from([5, 8, 16]))
def test_it_is_the_larger_p_of_both_trends(seed: int, layers: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, layers))
    result = tried(a, b, resamples=49)
    rng = np.random.default_rng(0)
    first, second = (trend(values, rng=rng, resamples=49).autoregressive for values in (a, b))
    assert result.p_value == max(first.p_greater, second.p_less)
    assert result.p_opposite == max(first.p_less, second.p_greater)
    assert result.smallest_p == max(first.smallest_p, second.smallest_p)
    index = np.arange(layers)
    assert result.difference == pytest.approx(kendalltau(index, a).statistic - kendalltau(index, b).statistic)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_the_other_way_round_signs_turn(seed: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 9))
    one, other = tried(a, b, resamples=19), tried(b, a, resamples=19)
    assert other.difference == pytest.approx(-one.difference)


def test_interval_draws_the_same_layers_for_both() -> None:
    a, b = np.random.default_rng(1).standard_normal((2, 12))
    result = tried(a, b, resamples=99)
    rng = np.random.default_rng(0)
    for values in (a, b):
        trend(values, rng=rng, resamples=99)
    draws = [
        kendalltau(layers, a[layers]).statistic - kendalltau(layers, b[layers]).statistic
        for layers in block_draws(12, 99, rng)
    ]
    wide, narrow = result.intervals
    assert (wide.low, wide.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert (narrow.low, narrow.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
    assert wide.method == "joint block bootstrap over layers"
    same = tried(a, a, resamples=99).intervals[0]  # what both share cancels in every draw
    assert (same.low, same.high) == (0.0, 0.0)


@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_one_trend_alone_is_no_opposite_and_the_level_holds(phi: float) -> None:
    # The worst null of the joint test: one of the two moves for certain, the other not at all.
    wander = ar1(phi, 200, 16, np.random.default_rng(2))
    line = np.arange(16.0)
    results = [tried(curve, -line, seed=seed) for seed, curve in enumerate(wander)]
    rejected = sum(result.p_value <= 0.05 for result in results)
    assert binomtest(rejected, 200, 0.07, alternative="greater").pvalue > 0.001
    assert all(result.p_opposite > 0.05 for result in results)


def test_both_at_once_are_found_and_both_in_one_direction_are_not() -> None:
    noise = np.random.default_rng(3).standard_normal((40, 2, 16))
    line = 0.7 * np.arange(16)
    found = [tried(line + a, -line + b, seed=seed) for seed, (a, b) in enumerate(noise)]
    assert sum(result.p_value <= 0.05 for result in found) >= 38
    alike = [tried(line + a, line + b, seed=seed) for seed, (a, b) in enumerate(noise)]
    assert not any(min(result.p_value, result.p_opposite) <= 0.05 for result in alike)


def test_values_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one number per layer, not \(6,\) and \(7,\)"):
        tried(np.zeros(6), np.zeros(7))
    with pytest.raises(ValueError, match=r"at least 5 finite layer values"):
        tried(np.zeros(4), np.zeros(4))
