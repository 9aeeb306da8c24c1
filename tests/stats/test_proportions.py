"""Exact binomial statistics against SciPy, R and the oldest significance test there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from moe_claims.stats.proportions import (
    Alternative,
    clopper_pearson,
    one_sided_lower,
    one_sided_upper,
    sign_quantiles,
    sign_test,
)
from moe_claims.stats.quantiles import LEVELS

COUNTS = st.integers(1, 300).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))
ALTERNATIVES: tuple[Alternative, ...] = ("greater", "less", "two-sided")


def test_interval_of_conovers_peas() -> None:
    # R's help page of binom.test, from Conover (1971) p. 97: 682 giant plants among 925;
    # "95 percent confidence interval: 0.7076683 0.7654066".
    interval = clopper_pearson(682, 925)
    assert interval.low == pytest.approx(0.7076683, abs=5e-8)
    assert interval.high == pytest.approx(0.7654066, abs=5e-8)
    assert interval.level == 0.95
    assert "Clopper–Pearson" in interval.method


def test_sign_test_of_arbuthnots_christenings() -> None:
    # Arbuthnot (1710): more boys than girls in all of 82 years, a chance of 1 in 4.836e24 of all-male years.
    assert sign_test(82, 82, alternative="greater") == pytest.approx(1 / 4.836e24, rel=1e-4)


@given(COUNTS, st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_interval_is_scipys(counts: tuple[int, int], level: float) -> None:
    ours = clopper_pearson(*counts, level=level)
    theirs = binomtest(*counts).proportion_ci(level, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(COUNTS, st.sampled_from(ALTERNATIVES))
def test_sign_test_is_scipys(counts: tuple[int, int], alternative: Alternative) -> None:
    expected = binomtest(*counts, p=0.5, alternative=alternative).pvalue
    assert sign_test(*counts, alternative=alternative) == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 300))
def test_quantiles_of_signs_are_the_least_counts_that_reach_the_level(trials: int) -> None:
    ours = sign_quantiles(trials)
    assert (ours[0], ours[-1]) == (0.0, trials)
    for level, count in zip(LEVELS[1:-1], ours[1:-1], strict=True):
        assert binom.cdf(count, trials, 0.5) > level - 1e-12
        assert binom.cdf(count - 1, trials, 0.5) < level + 1e-12


def test_the_median_of_an_odd_number_of_signs_is_exact() -> None:
    # P(X ≤ 19) of 39 is 1/2 but for rounding, because of which SciPy's binom.ppf says 20.
    assert sign_quantiles(39)[LEVELS.index(0.5)] == 19.0


def test_quantiles_of_no_signs_are_none() -> None:
    assert set(sign_quantiles(0)) == {0.0}
    with pytest.raises(ValueError, match="trials must be 0 or more, not -1"):
        sign_quantiles(-1)


@given(COUNTS)
def test_bounds_hold_the_proportion_and_mirror_each_other(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = one_sided_lower(successes, trials), one_sided_upper(successes, trials)
    assert low <= successes / trials <= high
    assert one_sided_upper(trials - successes, trials) == pytest.approx(1.0 - low, abs=1e-9)


@given(st.integers(1, 40), st.floats(0.02, 0.98))
def test_interval_covers_at_least_its_level(trials: int, truth: float) -> None:
    covering = (
        k for k in range(trials + 1) if clopper_pearson(k, trials).low <= truth <= clopper_pearson(k, trials).high
    )
    assert sum(binom.pmf(k, trials, truth) for k in covering) >= 0.95 - 1e-9


@given(st.integers(1, 60))
def test_sign_test_reaches_its_floor_and_no_less(trials: int) -> None:
    assert sign_test(trials, trials, alternative="greater") == 0.5**trials
    assert sign_test(0, trials, alternative="less") == 0.5**trials
    assert sign_test(trials, trials) == min(1.0, 2 * 0.5**trials)


def test_sign_test_holds_its_level() -> None:
    rejections = sum(binom.pmf(k, 38, 0.5) for k in range(39) if sign_test(k, 38, alternative="greater") <= 0.05)
    assert 0.02 < rejections <= 0.05


def test_no_successes_and_only_successes_end_at_the_border() -> None:
    assert clopper_pearson(0, 20).low == 0.0
    assert clopper_pearson(20, 20).high == 1.0
    # The rule of three in its exact form: none in 20 leaves up to 1 − 0.05**(1/20) = 13.9 %.
    assert one_sided_upper(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [
        (0, 0, "trials must be at least 1, not 0"),
        (5, 4, "successes must lie between 0 and the 4 trials, not 5"),
        (-1, 4, "successes must lie between 0 and the 4 trials, not -1"),
    ],
)
def test_impossible_counts_are_refused_by_all(successes: int, trials: int, message: str) -> None:
    for function in (clopper_pearson, one_sided_upper, one_sided_lower, sign_test):
        with pytest.raises(ValueError, match=message):
            function(successes, trials)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    for function in (clopper_pearson, one_sided_upper, one_sided_lower):
        with pytest.raises(ValueError, match=r"level must lie strictly between 0 and 1, such as 0\.95"):
            function(1, 2, level=level)


def test_an_unknown_alternative_is_refused() -> None:
    with pytest.raises(ValueError, match="alternative must be 'greater', 'less' or 'two-sided', not 'upper'"):
        sign_test(1, 2, alternative="upper")  # type: ignore[arg-type]
