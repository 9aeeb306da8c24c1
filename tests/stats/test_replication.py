"""The four replication criteria against formulas written out and simulated repetitions."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from moe_claims.stats.replication import Criteria, criteria
from moe_claims.types import Interval

EFFECTS, ERRORS = st.floats(-5, 5), st.floats(0.01, 5)


def compare(ours: float, our_se: float, published: float, published_se: float, none: float = 0.0) -> Criteria:
    interval = Interval(ours - 2 * our_se, ours + 2 * our_se, 0.95, "given")
    return criteria(ours, our_se, interval, published, published_se, none=none)


# --- small telescopes ----------------------------------------------------------------------------


def test_the_telescope_finds_its_effect_one_time_in_three() -> None:
    # Simonsohn (2015): the effect at which the published study had power 1/3 ("33 %") at 5 % two-sided.
    effect = brentq(lambda d: norm.sf(norm.isf(0.025) - d) - 1 / 3, 0, 5)
    assert compare(0.1, 1.0, 0.5, 0.7).small_telescope == pytest.approx(0.7 * effect, rel=1e-6)
    both_tails = norm.sf(norm.isf(0.025) - effect) + norm.cdf(-norm.isf(0.025) - effect)
    assert round(100 * both_tails) == 33


@given(EFFECTS, ERRORS, EFFECTS, ERRORS)
def test_the_telescope_is_a_one_sided_test(ours: float, our_se: float, published: float, published_se: float) -> None:
    result = compare(ours, our_se, published, published_se)
    sign = 1 if published >= 0 else -1
    p_smaller = norm.cdf(sign * (ours - result.small_telescope) / our_se)
    assume(abs(p_smaller - 0.05) > 1e-9)
    assert result.small_telescope_passed == (p_smaller > 0.05)


def test_effects_of_the_published_size_pass_and_effects_of_none_fail() -> None:
    assert compare(0.4, 0.05, 0.4, 0.1).small_telescope_passed
    assert not compare(0.0, 0.05, 0.4, 0.1).small_telescope_passed
    assert not compare(-0.4, 0.05, 0.4, 0.1).small_telescope_passed
    assert compare(-0.4, 0.05, -0.4, 0.1).small_telescope_passed


def test_an_effect_as_small_as_the_telescope_fails_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(1)
    truth = compare(0.0, 1.0, 1.0, 0.6).small_telescope
    failed = sum(not compare(truth + rng.standard_normal(), 1.0, 1.0, 0.6).small_telescope_passed for _ in range(2_000))
    assert binomtest(failed, 2_000, 0.05).pvalue > 0.001


# --- intervals -----------------------------------------------------------------------------------


def test_a_repetition_falls_into_the_prediction_interval_at_its_level() -> None:
    rng = np.random.default_rng(2)
    inside = sum(
        compare(
            0.3 + 0.5 * rng.standard_normal(), 0.5, 0.3 + 0.2 * rng.standard_normal(), 0.2
        ).ours_in_prediction_interval
        for _ in range(3_000)
    )
    assert binomtest(inside, 3_000, 0.95).pvalue > 0.001


@given(EFFECTS, ERRORS, EFFECTS, ERRORS)
def test_the_prediction_interval_is_a_z_test_of_the_difference(
    ours: float, our_se: float, published: float, published_se: float
) -> None:
    p = 2 * norm.sf(abs(ours - published) / np.hypot(our_se, published_se))
    assume(abs(p - 0.05) > 1e-9)
    assert compare(ours, our_se, published, published_se).ours_in_prediction_interval == (p > 0.05)


def test_the_published_value_is_looked_for_in_our_interval_and_its_ends_count() -> None:
    for low, high, inside in ((0.1, 0.5, True), (0.5, 0.9, True), (0.51, 0.9, False), (0.1, 0.49, False)):
        result = criteria(0.3, 0.1, Interval(low, high, 0.95, "given"), 0.5, 0.1)
        assert result.published_in_our_interval is inside


# --- pooled --------------------------------------------------------------------------------------


def test_dersimonian_and_laird_by_hand() -> None:
    # 0.2 and 0.8, both ± 0.1. Q = 0.6²/(0.1² + 0.1²) = 18; C = 200 − 20,000/200 = 100; τ² = (18 − 1)/100 = 0.17.
    # Each weighs 1/(0.01 + 0.17); the mean is 0.5, its error √(0.18/2) = 0.3; I² = 17/18.
    result = compare(0.2, 0.1, 0.8, 0.1)
    assert result.pooled_estimate == pytest.approx(0.5)
    assert result.pooled.high - result.pooled_estimate == pytest.approx(0.3 * norm.isf(0.025))
    assert result.pooled_estimate - result.pooled.low == pytest.approx(0.3 * norm.isf(0.025))
    assert result.heterogeneity_i2 == pytest.approx(17 / 18)


def test_unequal_errors_by_hand() -> None:
    # 1 ± 1 and 5 ± 2. Q = 16/5; C = 1.25 − 1.0625/1.25 = 0.4; τ² = 2.2/0.4 = 5.5; weights 1/6.5 and 1/9.5.
    result = compare(1.0, 1.0, 5.0, 2.0)
    mean = (1 / 6.5 + 5 / 9.5) / (1 / 6.5 + 1 / 9.5)
    assert result.pooled_estimate == pytest.approx(mean)
    assert result.pooled.high == pytest.approx(mean + norm.isf(0.025) / np.sqrt(1 / 6.5 + 1 / 9.5))
    assert result.heterogeneity_i2 == pytest.approx(2.2 / 3.2)


@given(EFFECTS, ERRORS, ERRORS)
def test_effects_that_agree_are_pooled_by_their_precision(effect: float, our_se: float, published_se: float) -> None:
    result = compare(effect, our_se, effect, published_se)
    assert result.heterogeneity_i2 == 0.0
    assert result.pooled_estimate == pytest.approx(effect)
    assert result.pooled.high - result.pooled.low == pytest.approx(
        2 * norm.isf(0.025) / np.sqrt(our_se**-2 + published_se**-2)
    )


@given(EFFECTS, ERRORS, EFFECTS, ERRORS)
def test_the_pooled_mean_lies_between_and_heterogeneity_is_a_share(
    ours: float, our_se: float, published: float, published_se: float
) -> None:
    result = compare(ours, our_se, published, published_se)
    assert min(ours, published) - 1e-9 <= result.pooled_estimate <= max(ours, published) + 1e-9
    assert 0.0 <= result.heterogeneity_i2 < 1.0
    assert result.pooled.low <= result.pooled_estimate <= result.pooled.high


@given(EFFECTS, ERRORS, EFFECTS, ERRORS, st.sampled_from([-1000.0, -1.0, 0.001]))
def test_units_and_orientation_change_no_answer(
    ours: float, our_se: float, published: float, published_se: float, unit: float
) -> None:
    assume(abs(published) > 1e-6)
    plain = compare(ours, our_se, published, published_se)
    borders = (
        abs(ours - published) - 1.959963984540054 * np.hypot(our_se, published_se),
        abs(ours - published) - 2 * our_se,
        np.sign(published) * (ours - plain.small_telescope) + norm.isf(0.05) * our_se,
        plain.pooled.low,
        plain.pooled.high,
    )
    assume(min(map(abs, borders)) > 1e-6)
    scaled = compare(unit * ours, abs(unit) * our_se, unit * published, abs(unit) * published_se)
    assert scaled.published_in_our_interval == plain.published_in_our_interval
    assert scaled.ours_in_prediction_interval == plain.ours_in_prediction_interval
    assert scaled.small_telescope_passed == plain.small_telescope_passed
    assert scaled.pooled_differs_from_none == plain.pooled_differs_from_none
    assert scaled.small_telescope == pytest.approx(unit * plain.small_telescope)
    assert scaled.pooled_estimate == pytest.approx(unit * plain.pooled_estimate, abs=1e-9 * abs(unit))
    assert scaled.heterogeneity_i2 == pytest.approx(plain.heterogeneity_i2, abs=1e-6)


# --- the value of no effect ----------------------------------------------------------------------


def test_the_pooled_estimate_differs_from_none_on_the_published_side_only() -> None:
    # 0.5 and 0.6, both ± 0.1, pool to 0.55 ± 0.14.
    assert compare(0.5, 0.1, 0.6, 0.1).pooled_differs_from_none
    assert compare(-0.5, 0.1, -0.6, 0.1).pooled_differs_from_none
    assert not compare(0.5, 0.1, 0.6, 0.1, none=0.42).pooled_differs_from_none  # 0.55 − 0.14 = 0.41
    assert compare(0.5, 0.1, 0.6, 0.1, none=0.40).pooled_differs_from_none
    # 0.996 and 0.25 of a level of 0.95, far apart: pooled, they say nothing.
    assert not compare(0.25, 0.01, 0.996, 0.001, none=0.95).pooled_differs_from_none
    # Published just above none, ours far below: the pooled estimate differs from none on the other side.
    assert not compare(-5.0, 0.001, 0.001, 1.0).pooled_differs_from_none


def test_a_telescope_points_from_none_towards_the_published_value() -> None:
    above, below = compare(0.97, 0.01, 0.996, 0.01, none=0.95), compare(0.30, 0.01, 0.253, 0.01, none=0.95)
    assert above.small_telescope == pytest.approx(2 * 0.95 - below.small_telescope)
    assert above.small_telescope > 0.95
    assert below.small_telescope_passed
    assert not compare(0.97, 0.01, 0.253, 0.01, none=0.95).small_telescope_passed


@given(EFFECTS, ERRORS, EFFECTS, ERRORS, st.floats(-5, 5))
def test_shifting_everything_with_none_changes_no_answer(
    ours: float, our_se: float, published: float, published_se: float, shift: float
) -> None:
    assume(abs(published) > 1e-6)
    plain = compare(ours, our_se, published, published_se)
    sign = np.sign(published)
    borders = (
        abs(ours - published) - 1.959963984540054 * np.hypot(our_se, published_se),
        abs(ours - published) - 2 * our_se,
        sign * (ours - plain.small_telescope) + norm.isf(0.05) * our_se,
        plain.pooled.low,
        plain.pooled.high,
    )
    assume(min(map(abs, borders)) > 1e-6)
    moved = compare(ours + shift, our_se, published + shift, published_se, none=shift)
    for name in (
        "published_in_our_interval",
        "ours_in_prediction_interval",
        "small_telescope_passed",
        "pooled_differs_from_none",
    ):
        assert getattr(moved, name) == getattr(plain, name)
    assert moved.pooled_estimate == pytest.approx(plain.pooled_estimate + shift, abs=1e-6)
    assert moved.small_telescope == pytest.approx(plain.small_telescope + shift, abs=1e-9)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("our_se", "published_se"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_standard_errors_of_nothing_are_refused(our_se: float, published_se: float) -> None:
    with pytest.raises(ValueError, match=rf"standard errors must be positive, not {our_se} and {published_se}"):
        compare(0.1, our_se, 0.2, published_se)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(place: int, value: float) -> None:
    numbers = [0.1, 1.0, 0.2, 1.0]
    numbers[place] = value
    with pytest.raises(ValueError, match=r"effects and standard errors must be finite, not \("):
        criteria(numbers[0], numbers[1], Interval(0.0, 1.0, 0.95, "given"), numbers[2], numbers[3])


def test_a_published_effect_of_zero_gives_finite_answers() -> None:
    result = compare(0.1, 0.1, 0.0, 0.1)
    assert np.isfinite([value for value in astuple(result) if isinstance(value, float)]).all()
    assert result.small_telescope > 0
