"""Gaps of the two largest scores against tables of normal order statistics, and rotations where they are exact."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.stats.permutation import Floats
from moe_claims.stats.top_gap import gap_ratio, top_gap, top_two

SEEDS = st.integers(0, 2**32 - 1)


# Means of the two largest of n normal values: Harter 1961, Biometrika 48, table 1. Mean of their
# sample standard deviation, c4: tables of control chart constants, such as ISO 7870-2:2013, table 2.
@pytest.mark.parametrize(
    ("experts", "first", "second", "c4"),
    [(5, 1.16296, 0.49502, 0.93999), (8, 1.42360, 0.85222, 0.96503), (10, 1.53875, 1.00136, 0.97266)],
)
def test_expected_gap_is_that_of_the_tables(experts: int, first: float, second: float, c4: float) -> None:
    assert gap_ratio(experts) == pytest.approx((first - second) / c4, abs=3e-5)


def test_expected_gap_of_two_and_three_in_closed_form() -> None:
    assert gap_ratio(2) == pytest.approx(2**0.5)  # their deviation is the gap over √2
    assert gap_ratio(3) == pytest.approx(3 / np.pi)  # mean of 2 sin φ, φ uniform up to 60°
    with pytest.raises(ValueError, match="at least 2 scores, not 1"):
        gap_ratio(1)


@given(SEEDS)
def test_top_two_are_the_last_of_the_sorted(seed: int) -> None:
    scores = np.random.default_rng(seed).integers(-5, 5, (3, 4, 6))
    ordered = np.sort(scores, axis=-1)
    assert (top_two(scores) == ordered[..., -1] - ordered[..., -2]).all()


# --- rotations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [3.0, 20.0, 45.0, 58.0])
def test_one_token_of_three_experts_has_a_uniform_angle(angle: float) -> None:
    # Three centred scores lie on a circle. φ degrees, of 60, from where the two largest are equal their
    # gap is √3 sin φ radii, and a rotation makes φ uniform.
    scores = np.cos(np.radians([60.0 - angle, 180.0 - angle, 300.0 - angle]))
    result = top_gap(scores[None, None], rng=np.random.default_rng(1))
    assert float(result.gaps[0, 0]) == pytest.approx(3**0.5 * np.sin(np.radians(angle)))
    assert result.rotations.p_greater == pytest.approx(1 - angle / 60, abs=0.02)
    assert result.rotations.p_less == pytest.approx(angle / 60, abs=0.02)


def test_one_token_is_ranked_as_among_gaussian_ones() -> None:
    rng = np.random.default_rng(2)
    gaussian = rng.standard_normal((20_000, 7))
    ratios = top_two(gaussian) / gaussian.std(axis=-1, ddof=1)
    for token in range(3):
        share = float((ratios >= ratios[token]).mean())
        result = top_gap(gaussian[None, token : token + 1], rng=rng)
        assert result.rotations.p_greater == pytest.approx(share, abs=0.025)


@settings(max_examples=15)
@given(SEEDS)
def test_labels_and_a_shift_of_all_scores_of_a_token_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((2, 5, 6))
    plain = top_gap(scores, rng=rng, resamples=99)
    moved = scores[..., rng.permutation(6)] + rng.standard_normal((2, 5, 1))
    for other, factor in ((moved, 1.0), (3.0 * scores, 3.0)):
        result = top_gap(other, rng=rng, resamples=99)
        assert result.gaps == pytest.approx(factor * plain.gaps)
        assert result.expected == pytest.approx(factor * plain.expected)


def static(rng: np.random.Generator) -> Floats:
    """One fixed pattern per layer, which every token repeats."""
    return rng.standard_normal((4, 1, 8)) + 0.05 * rng.standard_normal((4, 30, 8))


def repeated(rng: np.random.Generator) -> Floats:
    """A few words that a text repeats, each with a pattern of its own, of its own size."""
    words = np.exp(rng.standard_normal((1, 5, 1))) * rng.standard_normal((4, 5, 8))
    return words[:, rng.choice(5, 30, p=[0.4, 0.3, 0.15, 0.1, 0.05])]


def mixed(rng: np.random.Generator) -> Floats:
    return 0.5 * rng.standard_normal((4, 1, 8)) + rng.standard_normal((4, 30, 8))


@pytest.mark.parametrize("scores", [static, repeated, mixed])
def test_gaussian_scores_are_rejected_no_more_often_than_they_may(
    scores: Callable[[np.random.Generator], Floats],
) -> None:
    results = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        results.append(top_gap(scores(rng), rng=rng, resamples=499).rotations)
    for small in (sum(r.p_greater <= 0.05 for r in results), sum(r.p_less <= 0.05 for r in results)):
        assert binomtest(small, 100, 0.05, alternative="greater").pvalue > 0.001


def test_static_patterns_are_rejected_as_often_as_the_level_says() -> None:
    small = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        small += top_gap(static(rng), rng=rng, resamples=499).rotations.p_greater <= 0.2
    assert binomtest(small, 200, 0.2).pvalue > 0.001


def test_a_first_score_that_stands_out_is_found() -> None:
    rng = np.random.default_rng(3)
    scores = mixed(rng)
    scores += 1.0 * (scores == scores.max(axis=-1, keepdims=True))
    result = top_gap(scores, rng=rng)
    assert result.rotations.p_greater == result.rotations.smallest_p == 1e-4
    assert result.rotations.statistic == pytest.approx(float((result.gaps - result.expected).mean()))


def test_what_has_no_gap_beyond_chance_is_refused() -> None:
    for shape in ((2, 5, 2), (5, 6), (2, 0, 6)):
        with pytest.raises(ValueError, match="at least 3 experts and a token"):
            top_gap(np.zeros(shape), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be finite"):
        top_gap(np.full((1, 2, 4), np.inf), rng=np.random.default_rng(0))
