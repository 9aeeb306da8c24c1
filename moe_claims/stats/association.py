"""Rank association within tokens, reduced to expert-by-expert tables that relabelings reuse."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import RESAMPLES, Floats, Labels, TestResult, permute_labels


def centred_ranks(values: ArrayLike) -> Floats:
    """(…, E) → ranks within the last axis (ties share their mean), centred, scaled to unit length.

    The inner product of two such rows is Spearman's ρ. A row of equal values becomes zeros.

    Raises:
        ValueError: NaN, which has no rank; a row with it would pass for one without association.
    """
    from scipy.stats import rankdata

    array = np.asarray(values)
    if np.isnan(array).any():
        raise ValueError("NaN has no rank: the values to be ranked must all be numbers")
    ranks = rankdata(array, axis=-1) - (array.shape[-1] + 1) / 2
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    return np.asarray(np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0))


@final
@dataclass(frozen=True, eq=False)
class CrossTable:
    """How two rankings of the experts go together, summed over tokens.

    Attributes:
        sums: (S, L, E, E) by sequence and layer: Σ over tokens of a(expert i) · b(expert j).
            The trace over experts is the association as it is; the trace after relabeling
            one side is the association under arbitrary labels.
        counts: (S,) tokens of each sequence.
    """

    sums: Floats
    counts: NDArray[np.integer[Any]]

    @property
    def by_sequence(self) -> Floats:
        """(S,) sum over tokens of the association, averaged over layers."""
        return np.asarray(np.trace(self.sums, axis1=2, axis2=3).mean(axis=1))

    @property
    def mean(self) -> float:
        """Mean over tokens and layers."""
        return float(self.by_sequence.sum() / self.counts.sum())

    @property
    def by_layer(self) -> Floats:
        """(L,) mean over tokens."""
        return np.asarray(np.trace(self.sums, axis1=2, axis2=3).sum(axis=0) / self.counts.sum())


def _tokens_by_sequence(tokens: int, sequence_of: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """(T,) sequence indices → (S,) tokens of each; slices by sequence need them in order, and none empty."""
    indices = np.asarray(sequence_of)
    if indices.shape != (tokens,) or tokens == 0:
        raise ValueError(f"{tokens} tokens need as many sequence indices, not shape {indices.shape}")
    if indices[0] != 0 or not np.isin(np.diff(indices), (0, 1)).all():
        raise ValueError("sequence indices must count up from 0 in the order of the tokens, leaving none out")
    return np.asarray(np.bincount(indices))


def cross_table(a: Floats, b: Floats, sequence_of: NDArray[np.integer[Any]]) -> CrossTable:
    """(L, T, E) twice and (T,) sequence indices (sorted) → their cross table.

    Raises:
        ValueError: shapes that differ, or sequence indices out of order.
    """
    if a.ndim != 3 or a.shape != b.shape:
        raise ValueError(f"both sides must have one shape (L, T, E), not {a.shape} and {b.shape}")
    layers, tokens, experts = a.shape
    counts = _tokens_by_sequence(tokens, sequence_of)
    ends = np.cumsum(counts)
    sums = np.empty((len(counts), layers, experts, experts))
    for sequence, (start, stop) in enumerate(zip(ends - counts, ends, strict=True)):
        sums[sequence] = np.swapaxes(a[:, start:stop], 1, 2) @ b[:, start:stop]
    return CrossTable(sums, counts)


def label_test(table: CrossTable, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> TestResult:
    """Whether the association is more than arbitrary expert labels would give.

    The labels of one side are permuted independently in every layer, the same permutation
    for all tokens of the layer; up to 40,320 relabelings are enumerated.
    """
    per_layer = table.sums.sum(axis=0) / table.counts.sum()  # (L, E, E)
    layers, experts, _ = per_layer.shape
    columns = np.arange(experts)

    def relabeled(layer: int, labels: Labels) -> Floats:
        return np.asarray(per_layer[layer][labels, columns].sum(axis=1))

    null = permute_labels(relabeled, layers=layers, experts=experts, rng=rng, resamples=resamples)
    return null.test(float(np.trace(per_layer, axis1=1, axis2=2).mean()))


def centre_across_sequences(values: Floats, sequence_of: NDArray[np.integer[Any]]) -> Floats:
    """(L, T, E) less each expert's mean over the tokens of the OTHER sequences.

    Taking the means from the other sequences keeps a token from being compared with itself.
    What is left of an expert that never changes is 0, not rounding, which would be ranked.

    Raises:
        ValueError: fewer than 2 sequences, or indices out of order.
    """
    wide = np.asarray(values, dtype=np.float64)
    counts = _tokens_by_sequence(wide.shape[1], sequence_of)
    if len(counts) < 2:
        raise ValueError("means over the other sequences need at least 2 sequences, not 1")
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(wide, starts, axis=1)  # (L, S, E)
    others = (sums.sum(axis=1, keepdims=True) - sums) / (counts.sum() - counts)[None, :, None]
    left = wide - np.repeat(others, counts, axis=1)
    left[np.abs(left) <= 1e-12 * np.abs(wide).max(axis=1, keepdims=True)] = 0.0
    return np.asarray(left)
