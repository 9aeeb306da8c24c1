"""Sums over pairs of experts, and whether arbitrary labels of the one side would give as much."""

from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import (
    RESAMPLES,
    Floats,
    Labels,
    TestResult,
    as_layers,
    off_diagonal,
    permute_labels,
    relabeled_pairs,
)

_AT_ONCE = 4_000_000
"""Pairs that are relabeled at once."""


def choice_contrast(chosen: NDArray[np.integer[Any]], sequence_of: NDArray[np.integer[Any]], experts: int) -> Floats:
    """(T, k) chosen experts → (S, E, E) weights of pairs, summed over the tokens of each sequence.

    One token gives 1/C(k, 2) to a pair that is chosen, −1/C(E − k, 2) to a pair of which neither is,
    and 0 to a mixed one. Times a token's similarities, summed over pairs, that is their mean among the
    chosen less their mean among the others. The diagonal is 0.

    Args:
        chosen: (T, k) experts of each token, in any order.
        sequence_of: (T,) sequence of each token, every one from 0 to S − 1 with tokens.
        experts: E.

    Raises:
        ValueError: fewer than two chosen or two others, which make no pair, or shapes that do not fit.
    """
    if chosen.ndim != 2 or sequence_of.shape != chosen.shape[:1]:
        raise ValueError(f"chosen {chosen.shape} and sequences {sequence_of.shape} must be (T, k) and (T,)")
    k = chosen.shape[1]
    if k < 2 or experts - k < 2:
        raise ValueError(f"{k} chosen of {experts} leave no pair on one side")
    tokens = np.bincount(sequence_of)
    sequences, own_index = len(tokens), sequence_of[:, None] * experts + chosen.astype(np.int64)
    own = np.bincount(own_index.ravel(), minlength=sequences * experts).reshape(sequences, experts)
    first, second = np.triu_indices(k, 1)
    pair_index = own_index[:, first] * experts + chosen[:, second]
    both = np.bincount(pair_index.ravel(), minlength=sequences * experts**2).reshape(sequences, experts, experts)
    both = both + both.transpose(0, 2, 1)
    # Of n tokens, those that chose neither: n less those that chose the one, or the other, or both counted twice.
    neither = tokens[:, None, None] - own[:, :, None] - own[:, None, :] + both
    weights = both / comb(k, 2) - neither / comb(experts - k, 2)
    weights[:, np.arange(experts), np.arange(experts)] = 0.0
    return np.asarray(weights)


def pair_test(
    weights: ArrayLike, similarity: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> TestResult:
    """Whether Σ over pairs of weight × similarity, mean over layers, is more than arbitrary labels would give.

    The experts of the similarities are relabeled, rows and columns together, independently in every
    layer. Up to 40,320 relabelings are enumerated.

    Args:
        weights: (L, E, E) symmetric.
        similarity: the same shape, symmetric.
        rng: seeded generator.
        resamples: Monte Carlo relabelings.

    Raises:
        ValueError: shapes that differ, not symmetric, or not finite.
    """
    first, second = as_layers(weights, "weights"), as_layers(similarity, "similarity")
    if first.shape != second.shape:
        raise ValueError(f"weights {first.shape} and similarity {second.shape} must have one shape")
    layers, experts, _ = first.shape
    pairs = off_diagonal(first)

    def relabeled(layer: int, labels: Labels) -> Floats:
        return np.asarray(relabeled_pairs(second[layer], labels) @ pairs[layer])

    at_once = max(1, _AT_ONCE // pairs.shape[1])
    null = permute_labels(relabeled, layers=layers, experts=experts, rng=rng, resamples=resamples, at_once=at_once)
    return null.test(float((pairs * off_diagonal(second)).sum(axis=1).mean()))
