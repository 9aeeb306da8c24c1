"""Generalized ESD against Rosner's published example, a plain loop, its level and its power."""

from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from moe_claims.stats.esd import Alternative, chance_of, critical_values, generalized_esd
from moe_claims.stats.permutation import Floats

SEEDS = st.integers(0, 2**32 - 1)

# Rosner 1983, Technometrics 25; as in the NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.5.17.3:
# 54 values, up to 10 outliers at 5 %: three are found. The handbook cuts its numbers to three decimals.
ROSNER = [
    -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70,
    1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40,
    2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01,
]  # fmt: skip
STATISTICS = [3.118, 2.942, 3.179, 2.810, 2.815, 2.848, 2.279, 2.310, 2.101, 2.067]
CRITICAL = [3.158, 3.151, 3.143, 3.136, 3.128, 3.120, 3.111, 3.103, 3.094, 3.085]


def test_rosners_example_has_three_outliers() -> None:
    result = generalized_esd(ROSNER, 10)
    assert np.flatnonzero(result.outliers).tolist() == [51, 52, 53]
    assert np.all((result.statistics - STATISTICS >= 0) & (result.statistics - STATISTICS < 0.001))
    assert np.all((result.critical - CRITICAL >= 0) & (result.critical - CRITICAL < 0.001))


def plain_loop(values: list[float], most: int, alpha: float, alternative: Alternative) -> set[int]:
    """Rosner's procedure, written out for one sample."""
    left, removed, number = list(range(len(values))), [], 0
    for step in range(1, most + 1):
        centre, spread = mean(values[i] for i in left), stdev(values[i] for i in left)
        sign = {"two-sided": 0, "less": -1, "greater": 1}[alternative]
        outward = {i: (abs(values[i] - centre) if sign == 0 else sign * (values[i] - centre)) for i in left}
        furthest = max(left, key=outward.__getitem__)
        size = len(left)
        quantile = t.ppf(1 - alpha / ((2 if sign == 0 else 1) * size), size - 2)
        if outward[furthest] / spread > (size - 1) * quantile / np.sqrt(size * (size - 2 + quantile**2)):
            number = step
        removed.append(furthest)
        left.remove(furthest)
    return set(removed[:number])


@given(SEEDS, st.integers(5, 20), st.sampled_from(["two-sided", "less", "greater"]), st.floats(0.01, 0.3))
def test_it_is_the_plain_loop(seed: int, n: int, alternative: Alternative, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, (4, n))  # heavy tails: many outliers
    result = generalized_esd(values, n // 3, alpha=alpha, alternative=alternative)
    for row, found in zip(values, result.outliers, strict=True):
        assert set(np.flatnonzero(found)) == plain_loop(row.tolist(), n // 3, alpha, alternative)


@given(SEEDS, st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_order_place_and_scale_are_nothing(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, 9)
    order = rng.permutation(9)
    low = generalized_esd(values, 3, alternative="less").outliers
    assert (generalized_esd(offset + scale * values[order], 3, alternative="less").outliers == low[order]).all()
    assert (generalized_esd(-values, 3, alternative="greater").outliers == low).all()


def test_shapes_are_kept() -> None:
    values = np.random.default_rng(0).standard_normal((2, 3, 7))
    result = generalized_esd(values, 2)
    assert result.outliers.shape == (2, 3, 7) and result.statistics.shape == (2, 3, 2) and result.critical.shape == (2,)
    assert (result.outliers[1, 2] == generalized_esd(values[1, 2], 2).outliers).all()


# --- level and power -----------------------------------------------------------------------------


@pytest.mark.parametrize("alternative", ["two-sided", "less"])
def test_one_outlier_is_found_in_normal_samples_at_the_nominal_rate(alternative: Alternative) -> None:
    # With one step the test is that of Grubbs, whose critical value is exact but for the union bound.
    samples = np.random.default_rng(2).standard_normal((4_000, 8))
    found = int(generalized_esd(samples, 1, alternative=alternative).outliers.any(axis=1).sum())
    assert binomtest(found, 4_000, 0.05).pvalue > 0.001


@pytest.mark.parametrize(("n", "most", "about"), [(8, 2, 0.071), (16, 4, 0.065), (64, 8, 0.050)])
def test_chances_are_those_of_fresh_normal_samples(n: int, most: int, about: float) -> None:
    # More steps find more than the nominal 5 % in small samples, which the chances tell.
    chances = chance_of(n, most, 0.05, "less")
    assert len(chances) == most + 1 and sum(chances) == pytest.approx(1.0)
    assert 1 - chances[0] == pytest.approx(about, abs=0.006)
    samples = np.random.default_rng(n).standard_normal((4_000, n))
    fresh = generalized_esd(samples, most, alternative="less").outliers.any(axis=1).mean()
    assert fresh == pytest.approx(1 - chances[0], abs=0.02)


def row_means(rng: np.random.Generator, layers: int) -> Floats:
    """(L, 8) mean cosine of each of 8 random rows of 2,304 numbers to the others."""
    rows = rng.standard_normal((layers, 8, 2_304))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(((rows @ rows.transpose(0, 2, 1)).sum(axis=-1) - 1) / 7)


def test_mean_similarities_of_random_experts_are_like_normal_samples() -> None:
    # Their common part leaves deviations alone, so sharing pairs does not matter.
    found = generalized_esd(row_means(np.random.default_rng(3), 600), 2, alternative="less").outliers.any(axis=1)
    assert binomtest(int(found.sum()), 600, 1 - chance_of(8, 2, 0.05, "less")[0]).pvalue > 0.001


def test_one_far_value_and_two_that_would_hide_each_other_are_found() -> None:
    samples = np.random.default_rng(4).standard_normal((400, 8))
    samples[:200, 3] -= 7
    samples[200:, 3] -= 9
    samples[200:, 5] -= 9
    found = generalized_esd(samples, 2, alternative="less").outliers
    assert found[:200, 3].mean() > 0.95
    assert found[200:, [3, 5]].all(axis=1).mean() > 0.95
    single = generalized_esd(samples[200:], 1, alternative="less").outliers  # Grubbs: each masks the other
    assert single.any(axis=1).mean() < 0.1
    assert not generalized_esd(samples, 2, alternative="greater").outliers[:, [3, 5]].any()


@pytest.mark.parametrize("n", [5, 6, 7, 8])
def test_below_seven_values_an_outlier_needs_more_than_four_deviations_of_the_others(n: int) -> None:
    # Deviation in standard deviations of the others that just passes, from the studentised form of the statistic.
    critical = float(critical_values(n, 1, 0.05, "less")[0])
    others = np.random.default_rng(n).standard_normal(n - 1)
    others = (others - others.mean()) / others.std(ddof=1)
    reach = next(x for x in np.arange(2, 9, 0.01) if generalized_esd([*others, -x], 1, alternative="less").outliers[-1])
    assert (reach > 4) == (n < 7)
    assert critical < (n - 1) / np.sqrt(n)  # what the statistic can reach at all


# --- awkward cases -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.3, 1e6])
def test_values_that_differ_by_rounding_have_no_outlier(value: float) -> None:
    values = np.full(8, value)
    values[2] = np.nextafter(value, -1) if value else 0.0
    result = generalized_esd(values, 2, alternative="less")
    assert not result.outliers.any() and (result.statistics == 0).all()


def test_the_only_different_value_is_an_outlier() -> None:
    values = np.full(8, 0.3)
    values[2] = 0.1
    assert np.flatnonzero(generalized_esd(values, 2, alternative="less").outliers).tolist() == [2]


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match=r"samples of at least 3 finite values, not shape \(2,\)"):
        generalized_esd([1.0, 2.0], 1)
    with pytest.raises(ValueError, match=r"at least 3 finite values"):
        generalized_esd([1.0, 2.0, np.nan], 1)
    with pytest.raises(ValueError, match=r"of 5 values between 1 and 3 can be looked at as outliers, not 4"):
        generalized_esd(np.arange(5.0), 4)
    with pytest.raises(ValueError, match=r"alpha must lie strictly between 0 and 1, such as 0.05, not 5"):
        generalized_esd(np.arange(5.0), 1, alpha=5)
