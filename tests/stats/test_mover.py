"""The interval of a difference against published ones, against the z interval, and by how often it covers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from moe_claims.stats.mover import difference
from moe_claims.types import Interval

Z = float(norm.ppf(0.975))
FINITE = st.floats(-1e6, 1e6)
REACH = st.floats(0, 1e6)


def interval(low: float, high: float, level: float = 0.95) -> Interval:
    return Interval(low, high, level, "a method")


def wilson(successes: int, trials: int) -> tuple[float, Interval]:
    """A proportion and its score interval, by the formula of Wilson (1927)."""
    p, z2 = successes / trials, Z**2
    middle = p + z2 / (2 * trials)
    reach = Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return p, interval((middle - reach) / (1 + z2 / trials), (middle + reach) / (1 + z2 / trials))


# Newcombe, Statistics in Medicine 17 (1998) 873-890, Table II, method 10, contrasts (a) to (h): the score intervals of
# two proportions put together as MOVER does with any two intervals.
NEWCOMBE = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
]


@pytest.mark.parametrize(("one", "other", "low", "high"), NEWCOMBE)
def test_differences_of_proportions_are_newcombes(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    found = difference(*wilson(*other), *wilson(*one))
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=5.1e-5)
    assert found.interval.level == 0.95


@given(FINITE, REACH, FINITE, REACH)
def test_symmetric_intervals_add_as_variances_do(one: float, reach: float, other: float, width: float) -> None:
    found = difference(one, interval(one - reach, one + reach), other, interval(other - width, other + width))
    half = math.hypot(reach, width)
    assert found.value == other - one
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (other - one - half, other - one + half), abs=1e-6, rel=1e-9
    )


@given(FINITE, REACH, REACH, FINITE, REACH, REACH)
def test_backwards_it_is_the_mirror_image(
    one: float, below: float, above: float, other: float, under: float, over: float
) -> None:
    first, second = interval(one - below, one + above), interval(other - under, other + over)
    there, back = difference(one, first, other, second), difference(other, second, one, first)
    assert (back.value, back.interval.low, back.interval.high) == (
        -there.value,
        -there.interval.high,
        -there.interval.low,
    )
    assert there.interval.low <= there.value <= there.interval.high


def _covered(earlier: "np.ndarray", later: "np.ndarray", size: int) -> float:
    """How often the interval of two variances of normal samples covers their true difference of 0."""
    low, high = (size - 1) / chi2.ppf(0.975, size - 1), (size - 1) / chi2.ppf(0.025, size - 1)
    held = 0
    for one, other in zip(earlier, later, strict=True):
        found = difference(one, interval(one * low, one * high), other, interval(other * low, other * high))
        held += found.interval.low <= 0 <= found.interval.high
    return held / len(earlier)


def test_skewed_intervals_cover_at_their_level_and_paired_ones_beyond_it() -> None:
    # Variances of 12 normal numbers: their exact intervals reach twice as far up as down.
    rng, size, draws = np.random.default_rng(5), 12, 4000
    one, other = rng.normal(size=(2, draws, size))
    # A draw of 4,000 at 95 % has a standard error of 0.34 %.
    assert _covered(one.var(axis=1, ddof=1), other.var(axis=1, ddof=1), size) == pytest.approx(0.95, abs=0.015)
    paired = 0.8 * one + 0.6 * other
    assert _covered(one.var(axis=1, ddof=1), paired.var(axis=1, ddof=1), size) > 0.97


def test_a_planted_difference_is_seen() -> None:
    rng, draws = np.random.default_rng(6), 2000
    seen = 0
    for _ in range(draws):
        one, other = rng.normal(), 4.0 + rng.normal()
        found = difference(one, interval(one - Z, one + Z), other, interval(other - Z, other + Z))
        assert found.off_zero == (abs(found.value) > Z * math.sqrt(2))
        seen += found.off_zero
    assert seen / draws == pytest.approx(norm.sf(Z - 4 / math.sqrt(2)), abs=0.03)


@pytest.mark.parametrize(
    ("earlier", "first", "message"),
    [
        (0.0, interval(-1, 1, 0.9), r"both intervals must be of one level, not of 0\.9 and 0\.95"),
        (2.0, interval(-1, 1), r"the interval \[-1, 1\] does not hold its estimate 2"),
        (math.nan, interval(-1, 1), "estimates and ends must be finite, not nan, -1 and 1"),
        (0.0, interval(-math.inf, 1), "estimates and ends must be finite, not 0.0, -inf and 1"),
    ],
)
def test_what_cannot_be_put_together_is_refused(earlier: float, first: Interval, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        difference(earlier, first, 0.0, interval(-1, 1))
