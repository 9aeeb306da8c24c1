"""Student's t of independent units, against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, ttest_1samp

from moe_claims.stats.quantiles import OPEN_LEVELS
from moe_claims.stats.student import StudentResult, student

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 40), st.floats(-2, 2))
def test_of_independent_units_it_is_scipys_t_test(seed: int, units: int, mean: float) -> None:
    values = mean + np.random.default_rng(seed).standard_normal(units)
    ours = student(values)
    assert ours.p_greater == pytest.approx(ttest_1samp(values, 0.0, alternative="greater").pvalue)
    assert ours.p_less == pytest.approx(ttest_1samp(values, 0.0, alternative="less").pvalue)
    theirs = ttest_1samp(values, 0.0).confidence_interval(0.9)
    interval = ours.interval(0.9, "layers")
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))
    assert interval.level == 0.9 and interval.method == "Student t over layers"


@given(SEEDS, st.integers(2, 40), st.sampled_from(range(len(OPEN_LEVELS))))
def test_an_estimate_at_a_quantile_of_its_null_has_that_p(seed: int, units: int, at: int) -> None:
    null = student(np.random.default_rng(seed).standard_normal(units)).null_distribution("seeds")
    assert (null.levels, null.draws, null.exact, null.statistic) == (OPEN_LEVELS, None, False, None)
    assert null.method == "Student t over seeds"
    error = student(np.random.default_rng(seed).standard_normal(units)).standard_error
    there = StudentResult(null.quantiles[at], error, units - 1)
    assert there.p_less == pytest.approx(OPEN_LEVELS[at])


def test_the_null_of_many_units_is_normal_and_of_equal_ones_a_point() -> None:
    many = StudentResult(0.1, 2.0, 1e9).null_distribution("layers", tail="lower")
    assert many.quantiles == pytest.approx(tuple(2.0 * norm.ppf(OPEN_LEVELS)), abs=1e-6)
    assert (many.observed, many.tail) == (0.1, "lower")
    assert set(student(np.full(7, 0.25)).null_distribution("layers").quantiles) == {0.0}


@given(SEEDS, st.floats(1e-3, 1e3))
def test_signs_turn_and_units_carry_through(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).standard_normal(6)
    plain, turned = student(values), student(-scale * values)
    assert turned.estimate == pytest.approx(-scale * plain.estimate)
    assert turned.p_less == pytest.approx(plain.p_greater)


def test_level_on_normal_units() -> None:
    rng = np.random.default_rng(1)
    rejected = sum(student(rng.standard_normal(5)).p_greater <= 0.05 for _ in range(1_000))
    assert binomtest(rejected, 1_000, 0.05).pvalue > 0.001


@pytest.mark.parametrize(("value", "greater", "less"), [(0.25, 0.0, 1.0), (-0.25, 1.0, 0.0), (0.0, 0.5, 0.5)])
def test_units_that_are_all_alike_leave_no_doubt_but_of_nothing(value: float, greater: float, less: float) -> None:
    result = student(np.full(7, value))
    assert (result.p_greater, result.p_less) == (greater, less)
    assert (result.interval(0.95, "layers").low, result.interval(0.95, "layers").high) == (value, value)


def test_rounding_is_nothing_however_sure() -> None:
    assert StudentResult(3e-17, 1e-19, 20).p_greater == 0.5
    assert StudentResult(-3e-17, 0.0, 20).p_less == 0.5


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [[1.0, 2.0], [3.0, 4.0]]])
def test_what_is_no_sample_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"a t test needs finite values of at least 2 units, not shape \("):
        student(values)
