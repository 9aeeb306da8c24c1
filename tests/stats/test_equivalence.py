"""Equivalence: the 90 % interval inside ± a bound is the same as two one-sided tests at 5 %, both rejecting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from moe_claims.stats.domain_tests import t_interval
from moe_claims.types import Interval


@given(seed=st.integers(0, 10_000), size=st.integers(4, 30), bound=st.floats(0.05, 2), shift=st.floats(-1, 1))
def test_inside_is_two_one_sided_t_tests(seed: int, size: int, bound: float, shift: float) -> None:
    values = np.random.default_rng(seed).standard_normal(size) + shift
    above = ttest_1samp(values, -bound, alternative="greater").pvalue  # Schuirmann 1987
    below = ttest_1samp(values, bound, alternative="less").pvalue
    p = max(above, below)
    if abs(p - 0.05) > 1e-9:
        assert t_interval(list(values), 0.90).inside(bound) is bool(p < 0.05)


def test_absence_is_claimed_falsely_in_at_most_5_percent_of_cases() -> None:
    # The effect is exactly the smallest of interest: calling it absent is the error that the test bounds.
    rng, bound, trials = np.random.default_rng(0), 0.5, 2_000
    false = sum(t_interval(list(rng.standard_normal(20) + bound), 0.90).inside(bound) for _ in range(trials))
    assert binomtest(false, trials, 0.05, alternative="greater").pvalue > 0.001
    # And absence is found, mostly, where there is nothing.
    found = sum(t_interval(list(rng.standard_normal(20)), 0.90).inside(0.8) for _ in range(trials))
    assert found / trials > 0.8


@pytest.mark.parametrize(("low", "high", "inside"), [(-0.1, 0.1, True), (-0.2, 0.1, False), (0.0, 0.2, False)])
def test_the_bound_itself_is_outside(low: float, high: float, inside: bool) -> None:
    assert Interval(low, high, 0.90, "made up").inside(0.2) is inside
