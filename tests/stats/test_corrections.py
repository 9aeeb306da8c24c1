"""Corrections for families of tests against published examples and the closed test."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from moe_claims.stats.corrections import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=7)

# Benjamini and Hochberg (1995), section 3.1 (Neuhaus et al. 1992: 15 endpoints of a trial of thrombolysis).
THROMBOLYSIS = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
    1.0,
]  # fmt: skip


def test_worked_example_of_holms_method() -> None:
    # The four hypotheses of the usual textbook example: only the first and the fourth are rejected at 5 %.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_thrombolysis() -> None:
    # The paper: controlling the familywise error rejects the first three at 5 %, controlling the false
    # discovery rate the first four.
    assert (holm(THROMBOLYSIS) <= 0.05).sum() == 3
    assert (benjamini_hochberg(THROMBOLYSIS) <= 0.05).sum() == 4
    assert benjamini_hochberg(THROMBOLYSIS)[3] == pytest.approx(0.0095 * 15 / 4)


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    # Closed testing: a hypothesis falls if every intersection with it falls, each by Bonferroni.
    count = len(p_values)
    subsets = [s for size in range(1, count + 1) for s in combinations(range(count), size)]
    closed = [max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in subsets if i in s) for i in range(count)]
    assert holm(p_values) == pytest.approx(closed)


@given(P_VALUES)
def test_adjusted_values_are_ordered_bounded_and_never_smaller(p_values: list[float]) -> None:
    raw = np.array(p_values)
    for adjusted in (holm(raw), benjamini_hochberg(raw)):
        assert (adjusted >= raw - 1e-15).all() and (adjusted <= 1.0).all()
        assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()
    assert (benjamini_hochberg(raw) <= holm(raw) + 1e-15).all()


@given(P_VALUES, st.randoms(use_true_random=False))
def test_order_of_the_tests_is_nothing(p_values: list[float], random: object) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for correct in (holm, benjamini_hochberg):
        assert correct([p_values[i] for i in order]) == pytest.approx(correct(p_values)[order])


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_true_nulls_beside_real_effects_are_rejected_at_most_at_the_nominal_rate(correlation: float) -> None:
    rng = np.random.default_rng(1)
    common = np.sqrt(correlation) * rng.standard_normal((3_000, 1))
    z = common + np.sqrt(1 - correlation) * rng.standard_normal((3_000, 8))
    z[:, :2] += 4.0
    p = norm.sf(z)
    false = sum((holm(row)[2:] <= 0.05).any() for row in p)
    assert binomtest(int(false), 3_000, 0.05, alternative="greater").pvalue > 0.001
    found = np.mean([(holm(row)[:2] <= 0.05).all() for row in p])
    assert found > 0.8


def test_the_bound_is_reached_and_not_merely_kept() -> None:
    rng = np.random.default_rng(2)
    family = rng.random((3_000, 5))
    exact = 1 - (1 - 0.05 / 5) ** 5  # Holm's first step on independent uniform values
    for correct in (holm, benjamini_hochberg):
        any_rejected = sum((correct(row) <= 0.05).any() for row in family)
        rate = exact if correct is holm else 0.05  # Simes' inequality is an equality there
        assert binomtest(int(any_rejected), 3_000, rate).pvalue > 0.001


def test_families_of_none_and_of_one() -> None:
    for correct in (holm, benjamini_hochberg):
        assert correct([]).shape == (0,)
        assert correct([0.03]) == [0.03]
        assert (correct([1.0, 1.0, 1.0]) == 1.0).all()


@pytest.mark.parametrize("p_values", [[0.5, np.nan], [1.1], [-0.1, 0.2], [[0.1, 0.2]], 0.3])
def test_what_is_no_row_of_p_values_is_refused(p_values: list[float]) -> None:
    for correct in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match=r"p-values must be one row of numbers between 0 and 1"):
            correct(p_values)
