"""What counting alone can predict: unigram and trigram baselines for held-out text."""

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def _counts(keys: Ids) -> tuple[Ids, Ids]:
    values, counts = np.unique(keys, return_counts=True)
    return values, counts.astype(np.int64)


def _look_up(table: tuple[Ids, Ids], keys: Ids) -> NDArray[np.float64]:
    values, counts = table
    at = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return np.where(values[at] == keys, counts[at], 0).astype(np.float64)


def unigram_nats(train: Ids, held_out: Ids, vocabulary: int) -> float:
    """Mean cross-entropy (nats per token) of add-one unigram frequencies."""
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return float(-np.log(counts / counts.sum())[held_out].mean())


def trigram_nats(train: Ids, held_out: Ids, vocabulary: int) -> float:
    """Mean cross-entropy (nats per token) of an interpolated trigram model.

    Witten–Bell smoothing (Chen and Goodman 1998, section 2.5): each context gives weight
    n / (n + distinct followers) to its own counts and the rest to the shorter context.
    The first two tokens, which have no full context, are left out of the mean.
    """
    v = np.int64(vocabulary)

    def level(contexts: Ids, followers: Ids) -> tuple[tuple[Ids, Ids], tuple[Ids, Ids], tuple[Ids, Ids]]:
        pairs = _counts(contexts * v + followers)
        totals = _counts(contexts)
        return pairs, totals, _counts(pairs[0] // v)

    def mix(
        tables: tuple[tuple[Ids, Ids], tuple[Ids, Ids], tuple[Ids, Ids]],
        contexts: Ids,
        followers: Ids,
        shorter: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        pairs, totals, distinct = tables
        seen = _look_up(pairs, contexts * v + followers)
        n, types = _look_up(totals, contexts), _look_up(distinct, contexts)
        probability: NDArray[np.float64] = np.where(n > 0, (seen + types * shorter) / np.maximum(n + types, 1), shorter)
        return probability

    one = np.bincount(train, minlength=vocabulary) + 1.0
    p1 = (one / one.sum())[held_out[2:]]
    p2 = mix(level(train[:-1], train[1:]), held_out[1:-1], held_out[2:], p1)
    contexts = train[:-2] * v + train[1:-1]
    p3 = mix(level(contexts, train[2:]), held_out[:-2] * v + held_out[1:-1], held_out[2:], p2)
    return float(-np.log(p3).mean())
