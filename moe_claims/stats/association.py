"""Rank association within tokens, reduced to expert-by-expert tables that relabelings reuse."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.nulls import RESAMPLES, Floats, TestResult, all_relabelings, relabelings, test_against


def centred_ranks(values: ArrayLike) -> Floats:
    """(…, E) → ranks within the last axis (ties share their mean), centred, scaled to unit length.

    The inner product of two such rows is Spearman's ρ. A row of equal values becomes zeros.
    """
    from scipy.stats import rankdata

    array = np.asarray(values)
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


def cross_table(a: Floats, b: Floats, sequence_of: NDArray[np.integer[Any]]) -> CrossTable:
    """(L, T, E) twice and (T,) sequence indices (sorted) → their cross table."""
    layers, _, experts = a.shape
    counts = np.bincount(sequence_of)
    ends = np.cumsum(counts)
    sums = np.empty((len(counts), layers, experts, experts))
    for sequence, (start, stop) in enumerate(zip(ends - counts, ends, strict=True)):
        sums[sequence] = np.swapaxes(a[:, start:stop], 1, 2) @ b[:, start:stop]
    return CrossTable(sums, counts)


def label_test(table: CrossTable, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> TestResult:
    """Whether the association is more than arbitrary expert labels would give.

    The labels of one side are permuted independently in every layer, the same permutation
    for all tokens of the layer; one layer of up to 8 experts is enumerated.
    """
    per_layer = table.sums.sum(axis=0) / table.counts.sum()  # (L, E, E)
    layers, experts, _ = per_layer.shape
    exact = layers == 1 and experts <= 8
    labels = all_relabelings(experts) if exact else None
    null = np.zeros(len(labels) if labels is not None else resamples)
    columns = np.arange(experts)
    for layer in range(layers):
        draw = labels if labels is not None else relabelings(experts, resamples, rng)
        null += per_layer[layer][draw, columns].sum(axis=1) / layers
    return test_against(float(np.trace(per_layer, axis1=1, axis2=2).mean()), null, exact=exact)


def centre_across_sequences(values: Floats, sequence_of: NDArray[np.integer[Any]]) -> Floats:
    """(L, T, E) less each expert's mean over the tokens of the OTHER sequences.

    Taking the means from the other sequences keeps a token from being compared with itself.
    """
    counts = np.bincount(sequence_of)
    starts = np.cumsum(counts) - counts
    wide = np.asarray(values, dtype=np.float64)
    sums = np.add.reduceat(wide, starts, axis=1)  # (L, S, E)
    others = (sums.sum(axis=1, keepdims=True) - sums) / (counts.sum() - counts)[None, :, None]
    return np.asarray(wide - np.repeat(others, counts, axis=1))
