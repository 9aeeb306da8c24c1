"""Cochran's Q, I² and τ² against published meta-analyses and against their distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.stats.heterogeneity import heterogeneity

# Nine trials of specialist inpatient stroke care: differences in length of stay and their variances, Normand 1999,
# Table VIII (variances rounded to two digits).
STAY = [-20.0, -2.0, -55.0, -71.0, -4.0, 1.0, 11.0, -10.0, 7.0]
STAY_VARIANCE = [40.59, 2.05, 15.28, 150.22, 20.19, 1.22, 95.38, 8.03, 20.69]
# Nineteen studies of teachers' expectations, Raudenbush and Bryk 1985, as metafor's dat.raudenbush1985 has them.
TEACHERS = [
    0.03, 0.12, -0.14, 1.18, 0.26, -0.06, -0.02, -0.32, 0.27, 0.80, 0.54, 0.18, -0.02, 0.23, -0.18, -0.06, 0.30, 0.07,
    -0.07,
]  # fmt: skip
TEACHERS_VARIANCE = [
    0.0156, 0.0216, 0.0279, 0.1391, 0.1362, 0.0106, 0.0106, 0.0484, 0.0269, 0.0630, 0.0912, 0.0497, 0.0835, 0.0841,
    0.0253, 0.0279, 0.0193, 0.0088, 0.0303,
]  # fmt: skip
EFFECTS = st.lists(st.floats(-10, 10), min_size=2, max_size=8)


def test_normand_1999() -> None:
    # Table IX of Normand 1999 (Statistics in Medicine 18, 352): fixed effects −3.49; DerSimonian–Laird −14.10 with
    # 95 % interval −24.45 to −3.75 and τ² = 218.72, which rma(method="DL") of metafor gives too.
    result = heterogeneity(STAY, np.sqrt(STAY_VARIANCE))
    assert result.common == pytest.approx(-3.49, abs=0.005)
    assert result.pooled == pytest.approx(-14.10, abs=0.005)
    reach = 1.959964 * result.pooled_error
    assert (result.pooled - reach, result.pooled + reach) == pytest.approx((-24.45, -3.75), abs=0.005)
    assert result.tau2 == pytest.approx(218.72, abs=0.02)


def test_teachers_expectations() -> None:
    # metafor's own test of this example (test_analysis_example_raudenbush2009.r, after Raudenbush 2009, Tables 16.2
    # and 16.3): common effect 0.060, Q 35.83; DerSimonian–Laird 0.089, error 0.056, τ² 0.026.
    result = heterogeneity(TEACHERS, np.sqrt(TEACHERS_VARIANCE))
    assert result.common == pytest.approx(0.060, abs=0.0005)
    assert result.q == pytest.approx(35.83, abs=0.005)
    assert (result.pooled, result.pooled_error) == pytest.approx((0.089, 0.056), abs=0.0005)
    assert result.tau2 == pytest.approx(0.026, abs=0.0005)
    assert result.degrees == 18
    assert result.p_value == pytest.approx(0.0074, abs=0.00005)  # χ² of 35.83 with 18 degrees of freedom
    assert result.i2 == pytest.approx(1 - 18 / 35.83, abs=0.0005)


def test_estimates_of_one_effect_seldom_differ_significantly() -> None:
    rng = np.random.default_rng(0)
    errors = np.array([0.5, 1.0, 3.0])
    found = [heterogeneity(7.0 + errors * rng.standard_normal(3), errors) for _ in range(1_000)]
    assert binomtest(sum(one.p_value <= 0.05 for one in found), 1_000, 0.05).pvalue > 0.001
    assert np.mean([one.q for one in found]) == pytest.approx(2.0, abs=0.2)


def test_effects_that_differ_are_found() -> None:
    rng = np.random.default_rng(1)
    found = [heterogeneity(rng.normal([0.0, 4.0, 8.0], 1.0), np.ones(3)) for _ in range(400)]
    assert sum(one.p_value <= 0.05 for one in found) >= 390
    assert np.mean([one.tau2 for one in found]) == pytest.approx(16.0, abs=1.2)


@given(EFFECTS, st.floats(0.01, 100), st.floats(-1e3, 1e3), st.integers(-6, 6))
def test_units_and_origin_mean_nothing(effects: list[float], error: float, origin: float, power: int) -> None:
    errors = error * (1 + np.arange(len(effects)))
    plain = heterogeneity(effects, errors)
    unit = 10.0**power
    other = heterogeneity(unit * (np.asarray(effects) + origin), unit * errors)
    assert other.q == pytest.approx(plain.q, rel=1e-6, abs=1e-6)
    assert other.i2 == pytest.approx(plain.i2, abs=1e-5)
    assert other.tau2 == pytest.approx(unit**2 * plain.tau2, rel=1e-6, abs=1e-6 * unit**2 * max(1.0, error**2))
    assert min(effects) - 1e-9 <= plain.pooled <= max(effects) + 1e-9


def test_equal_effects_have_no_heterogeneity_and_exact_ones_nothing_else() -> None:
    same = heterogeneity([2.0, 2.0], [0.1, 5.0])
    assert (same.q, same.i2, same.tau2, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    exact = heterogeneity([1.0, 2.0], [1e-60, 1e-60])
    assert (exact.pooled, exact.i2, exact.tau2) == pytest.approx((1.5, 1.0, 0.5))


@pytest.mark.parametrize(
    ("effects", "errors", "message"),
    [
        ([1.0], [1.0], r"heterogeneity needs 2 effects or more, each with its error, not \(1,\) and \(1,\)"),
        ([1.0, 2.0], [1.0], r"each with its error, not \(2,\) and \(1,\)"),
        ([1.0, 2.0], [1.0, 0.0], r"standard errors finite and positive"),
        ([1.0, np.nan], [1.0, 1.0], r"effects must be finite"),
        ([1.0, 2.0], [1.0, np.inf], r"standard errors finite and positive"),
    ],
)
def test_what_cannot_be_compared_is_refused(effects: list[float], errors: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heterogeneity(effects, errors)
