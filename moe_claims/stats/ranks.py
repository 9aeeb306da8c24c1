"""Entries of a row replaced by a weight that belongs to their rank; ties get the mean of their weights."""

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import Floats


def rank_weights(values: ArrayLike, weights: ArrayLike) -> Floats:
    """(…, E) values → (…, E) the weight of each entry's rank within the last axis.

    Entries that tie share the mean weight of the ranks that they hold together: otherwise the
    order of the labels would break the tie, on both sides of an association alike.

    Args:
        values: the numbers that are ranked.
        weights: (E,) weight of each rank, that of the smallest value first.

    Raises:
        ValueError: weights of another length, or NaN, which has no rank.
    """
    array, by_rank = np.asarray(values), np.asarray(weights, dtype=np.float64)
    if by_rank.shape != array.shape[-1:]:
        raise ValueError(f"{array.shape[-1]} ranks need as many weights, not shape {by_rank.shape}")
    if np.isnan(array).any():
        raise ValueError("NaN has no rank: the values to be ranked must all be numbers")
    rows = array.reshape(-1, array.shape[-1])
    order = rows.argsort(axis=-1, kind="stable")
    held = np.empty(rows.shape)
    np.put_along_axis(held, order, np.broadcast_to(by_rank, rows.shape), axis=-1)
    ascending = np.take_along_axis(rows, order, axis=-1)
    tied = (ascending[:, 1:] == ascending[:, :-1]).any(axis=-1)
    if tied.any():
        held[tied] = _shared(rows[tied], by_rank)
    return np.asarray(held.reshape(array.shape))


def _shared(rows: Floats, by_rank: Floats) -> Floats:
    """(n, E) rows with ties → mean weight of the ranks first to last that each entry holds with its equals."""
    from scipy.stats import rankdata

    first = rankdata(rows, method="min", axis=-1).astype(np.int64)
    last = rankdata(rows, method="max", axis=-1).astype(np.int64)
    cumulated = np.concatenate([[0.0], np.cumsum(by_rank)])
    return np.asarray((cumulated[last] - cumulated[first - 1]) / (last - first + 1))
