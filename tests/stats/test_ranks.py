"""Weights of ranks against SciPy's mean ranks, and against every way of breaking a tie."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from moe_claims.stats.ranks import rank_weights

FEW = st.lists(st.integers(0, 3), min_size=2, max_size=5)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=9))
def test_weights_that_are_ranks_are_scipys_mean_ranks(values: list[int]) -> None:
    assert rank_weights(values, np.arange(1, len(values) + 1)) == pytest.approx(rankdata(values))


@given(FEW, st.integers(0, 2**32 - 1))
def test_ties_share_what_all_ways_of_breaking_them_give_on_average(values: list[int], seed: int) -> None:
    weights = np.random.default_rng(seed).standard_normal(len(values))
    ways = []
    for order in permutations(range(len(values))):
        places = np.lexsort((order, values))
        held = np.empty(len(values))
        held[places] = weights
        ways.append(held)
    assert rank_weights(values, weights) == pytest.approx(np.mean(ways, axis=0))


@given(st.integers(0, 2**32 - 1))
def test_rows_are_ranked_each_on_its_own_and_labels_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights, order = rng.integers(0, 6, (3, 4, 7)), rng.standard_normal(7), rng.permutation(7)
    whole = rank_weights(values, weights)
    assert np.allclose(whole[2, 1], rank_weights(values[2, 1], weights))
    assert np.allclose(whole[..., order], rank_weights(values[..., order], weights))
    assert np.allclose(whole.sum(axis=-1), weights.sum())


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match=r"4 ranks need as many weights, not shape \(3,\)"):
        rank_weights(np.zeros((2, 4)), np.zeros(3))
    with pytest.raises(ValueError, match="NaN has no rank"):
        rank_weights([1.0, np.nan], [0.0, 1.0])
