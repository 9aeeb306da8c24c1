"""Contrasts of pairs against sums token by token, and their label test against full enumeration."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.stats.mantel import mantel
from moe_claims.stats.pairs import choice_contrast, pair_test
from moe_claims.stats.permutation import Floats, off_diagonal

SEEDS = st.integers(0, 2**32 - 1)


def symmetric(rng: np.random.Generator, *shape: int) -> Floats:
    values = rng.standard_normal(shape)
    return values + np.swapaxes(values, -1, -2)


def choices(rng: np.random.Generator, tokens: int, experts: int, k: int) -> np.ndarray:
    return rng.permuted(np.tile(np.arange(experts), (tokens, 1)), axis=1)[:, :k]


# --- contrast ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([(2, 4), (2, 8), (3, 7), (4, 6)]))
def test_contrast_is_mean_among_chosen_less_mean_among_others(seed: int, sizes: tuple[int, int]) -> None:
    k, experts = sizes
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, 3)
    chosen = choices(rng, int(lengths.sum()), experts, k)
    similarity = symmetric(rng, experts, experts)
    weights = choice_contrast(chosen, np.repeat(np.arange(3), lengths), experts)
    assert np.array_equal(weights, np.swapaxes(weights, 1, 2))
    for sequence, part in enumerate(np.split(chosen, np.cumsum(lengths)[:-1])):
        by_hand = 0.0
        for token in part:
            others = set(range(experts)) - set(token.tolist())
            by_hand += np.mean([similarity[i, j] for i, j in combinations(token.tolist(), 2)])
            by_hand -= np.mean([similarity[i, j] for i, j in combinations(sorted(others), 2)])
        assert (off_diagonal(weights[sequence]) * off_diagonal(similarity)).sum() == pytest.approx(by_hand)


def test_the_order_of_the_chosen_is_nothing() -> None:
    chosen = choices(np.random.default_rng(0), 12, 6, 3)
    of = np.repeat([0, 1], 6)
    assert np.array_equal(choice_contrast(chosen, of, 6), choice_contrast(chosen[:, ::-1].astype(np.int16), of, 6))


def test_one_side_without_a_pair_is_refused() -> None:
    for k in (1, 5):
        with pytest.raises(ValueError, match=f"{k} chosen of 6 leave no pair on one side"):
            choice_contrast(choices(np.random.default_rng(0), 3, 6, k), np.zeros(3, int), 6)
    with pytest.raises(ValueError, match=r"chosen \(3, 2\) and sequences \(2,\)"):
        choice_contrast(np.zeros((3, 2), int), np.zeros(2, int), 6)


# --- label test ----------------------------------------------------------------------------------


def test_two_small_layers_are_enumerated_in_every_combination() -> None:
    rng = np.random.default_rng(1)
    weights, similarity = symmetric(rng, 2, 2, 4, 4)
    result = pair_test(weights, similarity, rng=rng)

    def statistic(*labels: tuple[int, ...]) -> float:
        layers = [similarity[layer][np.ix_(order, order)] for layer, order in enumerate(labels)]
        return float((off_diagonal(weights) * off_diagonal(np.array(layers))).sum() / 2)

    null = np.array([statistic(*labels) for labels in product(permutations(range(4)), repeat=2)])
    assert result.exact and result.resamples == 576
    assert result.statistic == pytest.approx(null[0])
    assert result.p_greater == np.mean(null >= null[0] - 1e-9)
    assert result.p_less == np.mean(null <= null[0] + 1e-9)


def test_in_one_layer_it_ranks_relabelings_as_pearson_does() -> None:
    rng = np.random.default_rng(2)
    weights, similarity = symmetric(rng, 2, 6, 6)
    ours, theirs = pair_test(weights - weights.mean(), similarity, rng=rng), mantel(weights, similarity, rng=rng)
    # Sum and sum of squares are the same for all relabelings, so that r is a rising function of the sum of products.
    assert ours.p_greater == theirs.mean_r.p_greater
    assert ours.p_less == theirs.mean_r.p_less


def rejections(plant: float, seeds: int) -> int:
    """How often p ≤ 0.05 for similarities that follow the weights by ``plant``."""
    small = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        # Experts that stand apart as a whole: experts, not pairs, are what is exchangeable.
        own, other = 2 * rng.standard_normal((2, 3, 8))
        weights = own[:, :, None] + own[:, None, :] + symmetric(rng, 3, 8, 8)
        similarity = other[:, :, None] + other[:, None, :] + symmetric(rng, 3, 8, 8) + plant * weights
        small += pair_test(weights, similarity, rng=rng, resamples=199).p_greater <= 0.05
    return small


def test_unrelated_patterns_with_structure_hold_the_level() -> None:
    assert binomtest(rejections(0.0, 150), 150, 0.05).pvalue > 0.001


def test_similarities_that_follow_the_weights_are_found() -> None:
    assert rejections(1.0, 20) >= 19


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        pair_test(np.zeros((2, 4, 4)), np.zeros((1, 4, 4)), rng=np.random.default_rng(0))
