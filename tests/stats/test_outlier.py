"""The last layer against the line through the others: ordinary regressions, t, nulls and planted jumps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest, median_abs_deviation, t

from moe_claims.stats.outlier import (
    OutlierResult,
    block_bootstrap_in_mads,
    last_layer,
    others_mad,
    residual_in_mads,
    studentised_last,
)
from moe_claims.stats.permutation import Floats
from moe_claims.stats.proportions import one_sided_lower, one_sided_upper
from moe_claims.stats.trend import ar1, corrected_phi

SEEDS = st.integers(0, 2**32 - 1)


def tried(values: Floats, *, seed: int = 0, resamples: int = 199) -> OutlierResult:
    return last_layer(values, rng=np.random.default_rng(seed), resamples=resamples)


# --- against ordinary regressions ----------------------------------------------------------------


@given(SEEDS, st.integers(5, 40))
def test_studentised_residual_is_that_of_an_explicit_prediction(seed: int, layers: int) -> None:
    y = np.random.default_rng(seed).standard_normal(layers)
    x = np.column_stack([np.ones(layers), np.arange(layers)])
    others, new = x[:-1], x[-1]
    beta, *_ = np.linalg.lstsq(others, y[:-1], rcond=None)
    error = y[:-1] - others @ beta
    variance = error @ error / (layers - 1 - 2)
    expected = (y[-1] - new @ beta) / np.sqrt(variance * (1 + new @ np.linalg.inv(others.T @ others) @ new))
    assert float(studentised_last(y)) == pytest.approx(expected)


@given(SEEDS, st.integers(5, 40))
def test_studentised_residual_is_t_of_a_dummy_for_the_last_layer(seed: int, layers: int) -> None:
    # Cook and Weisberg (1982), section 2.2.1: the mean shift outlier model.
    y = np.random.default_rng(seed).standard_normal(layers)
    x = np.column_stack([np.ones(layers), np.arange(layers), np.arange(layers) == layers - 1]).astype(float)
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    error = y - x @ beta
    covariance = error @ error / (layers - 3) * np.linalg.inv(x.T @ x)
    assert float(studentised_last(y)) == pytest.approx(beta[2] / np.sqrt(covariance[2, 2]))


@given(SEEDS, st.integers(5, 40))
def test_residual_in_mads_is_scipys(seed: int, layers: int) -> None:
    y = np.random.default_rng(seed).standard_normal(layers)
    slope, intercept = np.polyfit(np.arange(layers - 1), y[:-1], 1)
    left = y - intercept - slope * np.arange(layers)
    assert float(residual_in_mads(y)) == pytest.approx(left[-1] / median_abs_deviation(left[:-1]))


@pytest.mark.parametrize("layers", [6, 12, 32])
def test_of_independent_layers_it_has_students_distribution(layers: int) -> None:
    values = np.random.default_rng(layers).standard_normal((3_000, layers))
    assert kstest(studentised_last(values), t(layers - 3).cdf).pvalue > 0.001


def test_many_series_at_once_are_as_one_by_one() -> None:
    many = np.random.default_rng(1).standard_normal((2, 3, 9))
    for function in (studentised_last, residual_in_mads):
        assert np.allclose(function(many), [[function(series) for series in row] for row in many])


# --- properties ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(SEEDS, st.integers(6, 20), st.floats(-50, 50), st.floats(-50, 50), st.floats(1e-4, 1e4))
def test_lines_and_units_change_nothing(seed: int, layers: int, offset: float, slope: float, scale: float) -> None:
    values = np.random.default_rng(seed).standard_normal(layers)
    moved = scale * (values + offset + slope * np.arange(layers))
    for function in (studentised_last, residual_in_mads):
        assert float(function(moved)) == pytest.approx(float(function(values)), rel=1e-5, abs=1e-7)
        assert float(function(-values)) == pytest.approx(-float(function(values)))


@given(SEEDS, st.floats(-100, 100))
def test_the_last_layer_has_no_part_in_its_own_yardstick(seed: int, jump: float) -> None:
    # Externally studentised: the line, its error and φ come from the others, so the residual grows in proportion.
    values = np.random.default_rng(seed).standard_normal(9)
    moved = values.copy()
    moved[-1] += jump
    unit = values.copy()
    unit[-1] += 1.0
    for function in (studentised_last, residual_in_mads):
        gain = float(function(unit)) - float(function(values))
        assert float(function(moved)) - float(function(values)) == pytest.approx(jump * gain, rel=1e-6, abs=1e-6)
    assert tried(moved, resamples=1).phi == corrected_phi(values[:-1])


# --- null and planted ----------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [8, 32])
@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_smooth_curves_without_a_jump_are_rejected_at_about_the_nominal_rate(layers: int, phi: float) -> None:
    curves = ar1(phi, 500, layers, np.random.default_rng(layers)) + 0.2 * np.arange(layers)
    results = [tried(curve, seed=seed) for seed, curve in enumerate(curves)]
    for side in ("p_greater", "p_less"):
        rejected = sum(getattr(result.studentised, side) <= 0.05 for result in results)
        assert one_sided_upper(rejected, 500) <= 0.11
        if phi == 0.0:
            assert binomtest(rejected, 500, 0.05).pvalue > 0.001


def test_plain_t_is_lenient_on_smooth_curves() -> None:
    curves = ar1(0.9, 4_000, 8, np.random.default_rng(2))
    rejected = int((t.sf(studentised_last(curves), 8 - 3) <= 0.05).sum())
    assert one_sided_lower(rejected, 4_000) >= 0.07


@pytest.mark.parametrize("layers", [8, 32])
def test_a_jump_of_six_innovation_deviations_is_found(layers: int) -> None:
    curves = ar1(0.5, 100, layers, np.random.default_rng(3)) - 0.3 * np.arange(layers)
    curves[:, -1] += 6.0
    results = [tried(curve, seed=seed) for seed, curve in enumerate(curves)]
    assert sum(result.studentised.p_greater <= 0.05 for result in results) >= 80
    assert sum(result.studentised.p_less <= 0.05 for result in results) == 0
    assert sum(result.in_mads >= 3 for result in results) >= 90


@given(SEEDS, st.sampled_from([6, 9, 12]))
def test_conformal_p_is_the_rank_among_leave_one_out_residuals(seed: int, layers: int) -> None:
    # The residual left out is the ordinary one over 1 − h.
    values = np.random.default_rng(seed).standard_normal(layers)
    x = np.column_stack([np.ones(layers), np.arange(layers)])
    hat = x @ np.linalg.inv(x.T @ x) @ x.T
    left_out = (values - hat @ values) / (1 - np.diag(hat))
    result = tried(values, resamples=1)
    assert result.conformal_p == pytest.approx((left_out >= left_out[-1] - 1e-9).mean())
    assert result.residual == pytest.approx(left_out[-1])


def test_conformal_p_cannot_go_below_one_over_the_layers() -> None:
    values = np.random.default_rng(4).standard_normal(12)
    values[-1] += 100
    assert tried(values).conformal_p == 1 / 12
    values[-1] -= 200
    assert tried(values).conformal_p == 1.0


# --- awkward cases -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e6])
@pytest.mark.parametrize("slope", [0.0, 0.1, -1 / 3])
def test_a_line_to_the_end_has_no_outlier(value: float, slope: float) -> None:
    values = value + slope * np.arange(8)
    result = tried(values)
    assert result.residual == pytest.approx(0.0, abs=1e-12 * max(1.0, value))
    assert abs(result.in_mads) < 0.01 and abs(result.studentised.statistic) < 0.01
    assert min(result.studentised.p_greater, result.studentised.p_less) > 0.3
    assert result.conformal_p == 1.0


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.3, 1.0])
def test_a_jump_from_a_line_is_an_outlier_however_the_line_is_rounded(slope: float) -> None:
    # Error 0 or 1e-17 by the luck of rounding: once the residual was 0 for one slope and 1e16 for the next.
    values = 0.2 + slope * np.arange(8)
    values[-1] += 0.5
    result = tried(values)
    assert np.isfinite(result.in_mads) and result.in_mads > 1e6
    assert result.studentised.p_greater == 1 / 200
    assert result.conformal_p == 1 / 8


def test_interval_draws_blocks_of_the_others_and_keeps_the_last() -> None:
    values = 0.1 * np.arange(9) + np.random.default_rng(5).standard_normal(9)
    values[-1] += 5
    wide, narrow = block_bootstrap_in_mads(values, rng=np.random.default_rng(1), resamples=99)
    starts = np.random.default_rng(1).integers(0, 7, size=(99, 4))
    draws = []
    for row in starts:
        layers = np.concatenate([[s, s + 1] for s in row])
        if len(set(layers)) > 2:  # two layers lie on their line, and leave no deviation
            line = np.polyfit(layers, values[layers], 1)
            left = values[layers] - np.polyval(line, layers)
            draws.append((values[-1] - np.polyval(line, 8)) / median_abs_deviation(left))
    assert (wide.low, wide.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert (narrow.low, narrow.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
    assert wide.method == "block bootstrap over the other layers"
    assert wide.low <= float(residual_in_mads(values)) <= wide.high


@pytest.mark.parametrize("scale", [1e-14, 1.0, 1e9])
def test_interval_does_not_depend_on_units(scale: float) -> None:
    values = np.random.default_rng(6).standard_normal(9)
    plain, scaled = (
        block_bootstrap_in_mads(unit * values, rng=np.random.default_rng(1), resamples=99)[0] for unit in (1.0, scale)
    )
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("slope", [0.0, 0.1, -1 / 3])
def test_others_on_a_line_give_no_unit(slope: float) -> None:
    values = 0.2 + slope * np.arange(8)
    values[-1] += 1.0
    assert float(others_mad(values)) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ValueError, match=r"the other layers lie on one line, so their deviations give no unit"):
        block_bootstrap_in_mads(values, rng=np.random.default_rng(0), resamples=99)


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((2, 8)), np.array([0, 1, 2, 3, 4, np.inf])])
def test_what_has_no_last_layer_to_be_tested_is_refused(values: Floats) -> None:
    message = r"a last layer needs 5 others with finite values, not shape \("
    with pytest.raises(ValueError, match=message):
        tried(values)
    with pytest.raises(ValueError, match=message):
        block_bootstrap_in_mads(values, rng=np.random.default_rng(0))
