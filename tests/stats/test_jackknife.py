"""The jackknife over experts against textbook standard errors and Welch's interval."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, sem, ttest_1samp, ttest_ind

from moe_claims.stats.jackknife import jackknife
from moe_claims.stats.permutation import Floats, Labels

pytestmark = pytest.mark.numerics

SEEDS = st.integers(0, 2**32 - 1)

# Efron and Tibshirani, An Introduction to the Bootstrap (1993), table 3.1: 15 law schools.
LSAT = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594], dtype=float)
GPA = np.array([3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96])


def mean_of(values: Floats) -> Callable[[Labels], Floats]:
    """(L, E) values → the statistic that averages the kept experts of each layer."""
    return lambda keep: np.asarray(values[:, keep].mean(axis=1))


def test_correlation_of_the_law_schools() -> None:
    # Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans: r = 0.776, its jackknife standard
    # error 0.142.
    result = jackknife(lambda keep: np.array([np.corrcoef(LSAT[keep], GPA[keep])[0, 1]]), 15)
    assert result.estimate == pytest.approx(0.776, abs=5e-4)
    assert result.standard_error == pytest.approx(0.142, abs=1e-3)


@given(SEEDS, st.integers(4, 20))
def test_of_a_mean_it_is_students_interval(seed: int, experts: int) -> None:
    values = np.random.default_rng(seed).standard_normal((1, experts))
    result = jackknife(mean_of(values), experts)
    assert result.standard_error == pytest.approx(sem(values[0]))
    assert result.degrees == pytest.approx(experts - 1)
    for level in (0.9, 0.95):
        theirs = ttest_1samp(values[0], 0.0).confidence_interval(level)
        ours = result.interval(level)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
        assert ours.level == level


@given(SEEDS, st.integers(4, 12), st.floats(-3, 3))
def test_of_two_layers_it_is_welchs_interval(seed: int, experts: int, log_ratio: float) -> None:
    # The difference of two means is twice the mean of m₁ and −m₂.
    values = np.random.default_rng(seed).standard_normal((2, experts)) * np.array([[1.0], [np.exp(log_ratio)]])
    welch = ttest_ind(values[0], values[1], equal_var=False)
    result = jackknife(mean_of(values * np.array([[1.0], [-1.0]])), experts)
    theirs, ours = welch.confidence_interval(0.95), result.interval(0.95)
    assert result.degrees == pytest.approx(welch.df)
    assert (2 * ours.low, 2 * ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_mean_over_pairs_has_the_error_of_its_experts_not_of_its_pairs() -> None:
    # Similarity of i and j = a_i + a_j: the mean over pairs is twice the mean of a. Pairs share experts.
    a = np.random.default_rng(1).standard_normal(9)
    matrix = a[:, None] + a[None, :]

    def over_pairs(keep: Labels) -> Floats:
        return np.array([matrix[np.ix_(keep, keep)][np.triu_indices(len(keep), 1)].mean()])

    result = jackknife(over_pairs, 9)
    assert result.estimate == pytest.approx(2 * a.mean())
    assert result.standard_error == pytest.approx(2 * sem(a))


@pytest.mark.parametrize("spread", [np.ones(6), np.array([30.0, 1, 1, 1, 1, 1]), np.exp(np.arange(6.0) / 2)])
def test_interval_covers_at_its_level_however_unequal_the_layers(spread: Floats) -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(1_000):
        interval = jackknife(mean_of(rng.standard_normal((6, 8)) * spread[:, None]), 8).interval(0.95)
        covered += interval.low <= 0.0 <= interval.high
    assert binomtest(covered, 1_000, 0.95).pvalue > 0.001


def test_an_effect_is_seen_and_its_absence_is_not() -> None:
    rng = np.random.default_rng(3)
    seen = [jackknife(mean_of(0.5 + rng.standard_normal((12, 8))), 8).interval().low > 0 for _ in range(100)]
    false = [jackknife(mean_of(rng.standard_normal((12, 8))), 8).interval().low > 0 for _ in range(400)]
    assert sum(seen) > 95
    assert binomtest(sum(false), 400, 0.025).pvalue > 0.001


@given(SEEDS, st.floats(0.01, 100), st.floats(-10, 10))
def test_order_of_experts_is_nothing_and_units_carry_through(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((3, 6))
    plain = jackknife(mean_of(values), 6)
    moved = jackknife(mean_of(offset - scale * values[::-1, rng.permutation(6)]), 6)
    assert moved.estimate == pytest.approx(offset - scale * plain.estimate, abs=1e-9)
    assert moved.standard_error == pytest.approx(scale * plain.standard_error)
    assert moved.degrees == pytest.approx(plain.degrees)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8), SEEDS)
def test_degrees_lie_between_one_layer_and_all_alike(spread: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((len(spread), 5)) * np.array(spread)[:, None]
    degrees = jackknife(mean_of(values), 5).degrees
    assert 4 - 1e-9 <= degrees <= 4 * len(spread) + 1e-9


@pytest.mark.parametrize("layers", [1, 7])
def test_experts_that_are_all_alike_leave_a_point(layers: int) -> None:
    result = jackknife(mean_of(np.full((layers, 4), 0.25)), 4)
    interval = result.interval()
    assert (interval.low, interval.high, result.standard_error) == (0.25, 0.25, 0.0)


def test_three_experts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a jackknife over experts needs at least 4, not 3"):
        jackknife(mean_of(np.zeros((1, 3))), 3)


@pytest.mark.parametrize(
    "statistic",
    [
        lambda keep: np.array([np.nan]),
        lambda keep: np.array([1.0 if len(keep) == 5 else np.inf]),
        lambda keep: np.float64(1.0),
    ],
)
def test_a_statistic_that_gives_no_finite_number_per_layer_is_refused(statistic: Callable[[Labels], Floats]) -> None:
    with pytest.raises(ValueError, match=r"the statistic must be one finite number per layer"):
        jackknife(statistic, 5)
