"""Trend over depth against SciPy and pymannkendall, on smooth curves without trend and on planted ones."""

import numpy as np
import pymannkendall
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binomtest, kendalltau, norm, theilslopes

from moe_claims.stats.permutation import Floats
from moe_claims.stats.proportions import one_sided_lower, one_sided_upper
from moe_claims.stats.trend import (
    TrendResult,
    ar1,
    block_bootstrap_tau,
    block_draws,
    corrected_phi,
    kendall_tau,
    lag_one,
    null_curves,
    percentile_intervals,
    residuals,
    theil_sen,
    trend,
)

SEEDS = st.integers(0, 2**32 - 1)
SERIES = st.lists(st.integers(-20, 20), min_size=5, max_size=25).map(lambda v: np.array(v, float))


def tried(values: Floats, *, seed: int = 0, resamples: int = 199) -> TrendResult:
    return trend(values, rng=np.random.default_rng(seed), resamples=resamples)


# --- statistics ----------------------------------------------------------------------------------


@given(SERIES)
def test_tau_is_scipys(values: Floats) -> None:
    if len(set(values)) > 1:
        assert kendall_tau(values) == pytest.approx(kendalltau(np.arange(len(values)), values).statistic)
    else:
        assert kendall_tau(values) == 0.0


@given(SERIES)
def test_line_is_scipys(values: Floats) -> None:
    slope, intercept = theil_sen(values)
    theirs = theilslopes(values, np.arange(len(values)), method="joint")
    assert (float(slope), float(intercept)) == pytest.approx((theirs.slope, theirs.intercept))
    assert residuals(values) == pytest.approx(values - theirs.intercept - theirs.slope * np.arange(len(values)))


@settings(deadline=None, max_examples=60)
@given(SERIES)
def test_slope_and_p_are_those_of_mann_and_kendall(values: Floats) -> None:
    theirs = pymannkendall.original_test(values) if len(set(values)) > 1 else None
    ours = tried(values, resamples=1)
    assert ours.mann_kendall == pytest.approx(1.0 if theirs is None else theirs.p)
    assert ours.slope == pytest.approx(0.0 if theirs is None else theirs.slope)
    assert ours.change == pytest.approx(ours.slope * (len(values) - 1))


def test_many_series_at_once_are_as_one_by_one() -> None:
    many = np.random.default_rng(1).standard_normal((3, 4, 9))
    for function in (kendall_tau, residuals, lambda v: theil_sen(v)[0], lambda v: theil_sen(v)[1], lag_one):
        each = [[function(series) for series in row] for row in many]
        assert np.allclose(function(many), each)


@given(SERIES, st.sampled_from([np.exp, np.cbrt, np.arctan]))
def test_monotone_transforms_leave_tau_alone(values: Floats, transform: np.ufunc) -> None:
    scaled = values / 10
    assert kendall_tau(transform(scaled)) == pytest.approx(kendall_tau(values))
    assert kendall_tau(-values) == pytest.approx(-kendall_tau(values))
    assert kendall_tau(values[::-1]) == pytest.approx(-kendall_tau(values))


@given(SERIES, SEEDS, st.floats(1, 1e3))
def test_ties_hold_up_to_rounding(values: Floats, seed: int, offset: float) -> None:
    noise = 1e-15 * offset * np.random.default_rng(seed).standard_normal(len(values))
    assert kendall_tau(values + offset + noise) == pytest.approx(kendall_tau(values))


# --- autocorrelation -----------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_curves_are_stationary_and_scipys_filter(phi: float) -> None:
    curves = ar1(phi, 20_000, 6, np.random.default_rng(2))
    noise = np.random.default_rng(2).standard_normal((20_000, 6))
    noise[:, 0] /= np.sqrt(1 - phi**2)
    assert np.allclose(curves, lfilter([1.0], [1.0, -phi], noise, axis=1))
    # Variance 1/(1 − φ²) at every step; that of 20,000 squares is 2/20,000 of its square.
    assert curves.var(axis=0) * (1 - phi**2) == pytest.approx(np.ones(6), abs=4 * np.sqrt(2 / 20_000))
    assert np.corrcoef(curves[:, 3], curves[:, 4])[0, 1] == pytest.approx(phi, abs=4 / np.sqrt(20_000))


def test_every_curve_may_have_its_own_phi() -> None:
    phi = np.array([0.0, 0.5, 0.9])
    curves = ar1(phi, 3, 8, np.random.default_rng(2))
    noise = np.random.default_rng(2).standard_normal((3, 8))
    noise[:, 0] /= np.sqrt(1 - phi**2)
    expected = [lfilter([1.0], [1.0, -p], row) for p, row in zip(phi, noise, strict=True)]
    assert np.allclose(curves, expected)


@given(SEEDS, st.integers(3, 20))
def test_lag_one_is_the_textbook_sum(seed: int, length: int) -> None:
    errors = np.random.default_rng(seed).standard_normal(length)
    centred = errors - errors.mean()
    expected = sum(centred[i] * centred[i + 1] for i in range(length - 1)) / sum(centred**2)
    assert float(lag_one(errors)) == pytest.approx(expected)
    assert lag_one(np.full(length, 7.0)) == 0.0


@pytest.mark.parametrize("phi", [0.2, 0.4, 0.6])
def test_correction_of_phi_takes_the_bias_out(phi: float) -> None:
    # Detrended series of 31 layers show far less autocorrelation than there is (Marriott and Pope 1954).
    curves = ar1(phi, 400, 31, np.random.default_rng(3))
    raw = lag_one(residuals(curves))
    corrected = np.array([corrected_phi(curve) for curve in curves])
    assert raw.mean() < phi - 0.08
    assert abs(np.median(corrected) - phi) < 0.07
    assert ((corrected >= 0) & (corrected <= 0.98)).all()


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(-5, 5), st.floats(0.01, 100))
def test_phi_is_that_of_the_residuals(seed: int, slope: float, scale: float) -> None:
    values = np.random.default_rng(seed).standard_normal(11)
    assert corrected_phi(scale * (values + slope * np.arange(11)) + 3) == pytest.approx(corrected_phi(values), abs=1e-6)


def test_rounding_around_a_line_is_no_autocorrelation() -> None:
    # Whatever the slope, a line leaves residuals of 0, and so one and the same φ.
    phis = {corrected_phi(slope * np.arange(11.0) + 0.1) for slope in (0.0, 0.1, 1 / 3, -0.7, 1e-6)}
    assert len(phis) == 1


@pytest.mark.parametrize("smooth", [False, True])
def test_curves_of_the_null_are_as_smooth_as_the_series_makes_likely(smooth: bool) -> None:
    # φ of a long curve can be read off it. How likely each φ is, by a simulation of our own.
    values = np.random.default_rng(12).standard_normal(11)
    values = np.cumsum(values) if smooth else values
    drawn = lag_one(null_curves(values, 1_500, 1_000, np.random.default_rng(13)))
    grid = np.linspace(0, 0.98, 50)
    rng = np.random.default_rng(14)
    density = []
    for phi in grid:
        estimates = [
            lag_one(residuals(lfilter([1.0], [1.0, -phi], rng.standard_normal(211))[200:])) for _ in range(200)
        ]
        density.append(norm.pdf(lag_one(residuals(values)), np.mean(estimates), np.std(estimates)))
    likely = np.array(density) / np.sum(density)
    assert drawn.mean() == pytest.approx(likely @ grid, abs=0.04)
    assert drawn.std() == pytest.approx(np.sqrt(likely @ grid**2 - (likely @ grid) ** 2), abs=0.04)


# --- the deciding null ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", [11, 31])
@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_smooth_curves_without_trend_are_rejected_at_about_the_nominal_rate(length: int, phi: float) -> None:
    curves = ar1(phi, 500, length, np.random.default_rng(length))
    results = [tried(curve, seed=seed) for seed, curve in enumerate(curves)]
    for side in ("p_less", "p_greater"):
        rejected = sum(getattr(result.autoregressive, side) <= 0.05 for result in results)
        assert one_sided_upper(rejected, 500) <= 0.11
        assert one_sided_upper(rejected, 500) >= 0.02  # and not by never firing
        if phi == 0.0:
            assert binomtest(rejected, 500, 0.05, alternative="greater").pvalue > 0.001
    plain = sum(min(result.permutation.p_less, result.permutation.p_greater) <= 0.025 for result in results)
    asymptotic = sum(result.mann_kendall <= 0.05 for result in results)
    if phi == 0.0:
        assert binomtest(plain, 500, 0.05, alternative="greater").pvalue > 0.001
    else:
        assert one_sided_lower(plain, 500) >= 0.15
        assert one_sided_lower(asymptotic, 500) >= 0.13


def test_the_far_tail_holds_too() -> None:
    # Corrections for families of tests look at small p-values. One best φ for all curves is too sure of itself there.
    curves = ar1(0.7, 500, 11, np.random.default_rng(15))
    uncertain = sum(tried(c, seed=i, resamples=499).autoregressive.p_less <= 0.01 for i, c in enumerate(curves))
    certain = 0
    for i, curve in enumerate(curves):
        null = kendall_tau(ar1(corrected_phi(curve), 499, 11, np.random.default_rng(i)))
        certain += (1 + (null <= kendall_tau(curve) + 1e-9).sum()) / 500 <= 0.01
    assert one_sided_upper(uncertain, 500) <= 0.03
    assert certain > uncertain


@pytest.mark.parametrize("length", [11, 31])
def test_a_fall_of_eight_innovation_deviations_is_found(length: int) -> None:
    curves = ar1(0.7, 100, length, np.random.default_rng(4)) - np.linspace(0, 8, length)
    results = [tried(curve, seed=seed) for seed, curve in enumerate(curves)]
    assert sum(result.autoregressive.p_less <= 0.05 for result in results) >= 85
    assert sum(result.autoregressive.p_greater <= 0.05 for result in results) == 0


@pytest.mark.parametrize("layers", [5, 7, 8])
@pytest.mark.parametrize("seed", range(3))
def test_few_layers_are_put_in_every_order(layers: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(layers)
    result = tried(values).permutation
    assert result.exact
    for alternative, p in (("less", result.p_less), ("greater", result.p_greater)):
        assert p == pytest.approx(kendalltau(np.arange(layers), values, method="exact", alternative=alternative).pvalue)


def test_many_layers_are_put_in_random_order() -> None:
    values = np.random.default_rng(5).standard_normal(15) + 0.05 * np.arange(15)
    result = tried(values, resamples=9_999).permutation
    theirs = kendalltau(np.arange(15), values, method="exact", alternative="greater").pvalue
    assert not result.exact and result.smallest_p == 1 / 10_000
    assert binomtest(round(result.p_greater * 10_000) - 1, 9_999, theirs).pvalue > 0.001


@pytest.mark.parametrize("layers", [5, 6, 31])
def test_the_smallest_p_is_that_of_a_curve_that_falls_all_the_way(layers: int) -> None:
    # τ is discrete: among independent layers −1 comes once in n!, and more often among alike ones.
    falling = -np.cumsum(np.random.default_rng(6).random(layers))
    result = tried(falling, resamples=9_999)
    assert result.tau == -1.0
    assert result.autoregressive.smallest_p <= result.autoregressive.p_less
    assert result.autoregressive.p_less <= result.autoregressive.smallest_p + 0.01
    if layers == 5:
        assert result.autoregressive.smallest_p >= 1 / 120 - 0.003
    if layers == 31:
        assert result.autoregressive.p_less == 1 / 10_000


# --- awkward cases -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
@pytest.mark.parametrize("layers", [5, 12])
def test_a_flat_curve_has_no_trend(value: float, layers: int) -> None:
    rounding = 1e-16 * value * np.random.default_rng(layers).standard_normal(layers)
    result = tried(np.full(layers, value) + rounding)
    assert (result.tau, result.slope, result.mann_kendall) == (0.0, pytest.approx(0.0), 1.0)
    assert min(result.autoregressive.p_less, result.autoregressive.p_greater) > 0.3
    assert (result.permutation.p_less, result.permutation.p_greater) == (1.0, 1.0)
    for interval in block_bootstrap_tau(np.full(layers, value) + rounding, rng=np.random.default_rng(0), resamples=99):
        assert (interval.low, interval.high) == (0.0, 0.0)


@pytest.mark.parametrize("slope", [-0.1, 1 / 3])
def test_a_line_is_a_trend(slope: float) -> None:
    result = tried(slope * np.arange(12) + 0.7, resamples=999)
    assert result.tau == np.sign(slope)
    assert min(result.autoregressive.p_less, result.autoregressive.p_greater) <= 0.01
    assert result.slope == pytest.approx(slope)
    for interval in block_bootstrap_tau(slope * np.arange(12) + 0.7, rng=np.random.default_rng(0), resamples=99):
        assert interval.low == interval.high == np.sign(slope)


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((2, 6)), np.array([0, 1, 2, np.nan, 4]), np.zeros(0)])
def test_what_has_no_trend_to_be_tested_is_refused(values: Floats) -> None:
    message = rf"a trend needs at least 5 finite layer values, not shape \({', ?'.join(map(str, values.shape))},?\)"
    with pytest.raises(ValueError, match=message):
        tried(values)
    with pytest.raises(ValueError, match=message):
        block_bootstrap_tau(values, rng=np.random.default_rng(0))


# --- block bootstrap -----------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "block"), [(5, 2), (8, 2), (9, 3), (27, 3), (31, 4), (64, 4)])
def test_blocks_are_neighbours_and_start_anywhere(length: int, block: int) -> None:
    drawn = block_draws(length, 500, np.random.default_rng(7))
    assert drawn.shape == (500, length)
    starts = drawn[:, ::block]
    for step in range(1, block):
        inside = drawn[:, step::block]
        assert (inside == starts[:, : inside.shape[1]] + step).all()
    heads = starts[:, : length // block]  # the last block may be cut short, never moved
    assert set(np.unique(heads)) == set(range(length - block + 1))


def test_draws_are_blocks_of_layers_that_keep_their_depth() -> None:
    values = (0.05 * np.arange(11) + np.random.default_rng(8).standard_normal(11)).round(1)
    ours = block_bootstrap_tau(values, rng=np.random.default_rng(1), resamples=199)
    starts = np.random.default_rng(1).integers(0, 9, size=(199, 4))
    draws = []
    for row in starts:
        layers = np.concatenate([np.arange(s, s + 3) for s in row])[:11]
        draws.append(kendalltau(layers, values[layers]).statistic)
    for interval, level in zip(ours, (0.95, 0.90), strict=True):
        expected = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
        assert (interval.low, interval.high) == pytest.approx(tuple(expected))
        assert interval.level == level
        assert interval.method == "block bootstrap over layers"
    assert ours[0].low <= ours[1].low <= ours[1].high <= ours[0].high


@pytest.mark.parametrize(
    ("length", "phi", "slope"), [(11, 0.0, 0.0), (11, 0.7, -0.3), (31, 0.0, -0.1), (31, 0.7, -0.3)]
)
def test_interval_covers_the_expected_tau(length: int, phi: float, slope: float) -> None:
    # At φ = 0.7 and no trend it falls to 85 %. Residuals put back on the Theil–Sen line would cover 49 to 92 %.
    line = slope * np.arange(length)
    truth = float(kendall_tau(line + ar1(phi, 4_000, length, np.random.default_rng(9))).mean())
    covered = 0
    for seed, curve in enumerate(ar1(phi, 200, length, np.random.default_rng(10))):
        interval, _ = block_bootstrap_tau(line + curve, rng=np.random.default_rng(seed), resamples=299)
        covered += interval.low <= truth <= interval.high
        assert interval.low <= float(kendall_tau(line + curve)) <= interval.high
    assert one_sided_lower(covered, 200) >= 0.85


def test_percentiles_leave_out_the_two_tails() -> None:
    wide, narrow = percentile_intervals(np.arange(1_001.0), (0.95, 0.90), "given")
    assert (wide.low, wide.high) == pytest.approx((25.0, 975.0))
    assert (narrow.low, narrow.high) == pytest.approx((50.0, 950.0))
    assert (wide.level, narrow.level, wide.method) == (0.95, 0.90, "given")
