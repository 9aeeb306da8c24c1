"""Correlation of two similarity matrices against permuted labels (Mantel 1967), over layers."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

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


@final
@dataclass(frozen=True, eq=False)
class MantelResult:
    """Association of two stacks of similarity matrices."""

    r: Floats
    """(L,) Pearson r over the pairs of each layer."""
    mean_r: TestResult
    """The mean of r over layers against labels permuted independently in every layer."""
    mean_r2: TestResult
    """The mean of r² over layers, against the same permutations."""
    expected_r2: float
    """Mean of r² under the permutations: what unrelated patterns would give."""


def _unit_centred(values: Floats) -> Floats:
    """(…, n) less its mean, to unit length; zeros where only rounding is left, as of a constant row."""
    left = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(left, axis=-1, keepdims=True)
    varies = length > 1e-13 * np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(np.divide(left, length, out=np.zeros_like(left), where=varies))


def pearson(x: Floats, y: Floats) -> Floats:
    """Pearson r along the last axis; 0 where one side does not vary."""
    return np.asarray((_unit_centred(x) * _unit_centred(y)).sum(axis=-1))


def mantel(x: ArrayLike, y: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> MantelResult:
    """Whether two similarity patterns agree more than arbitrary labels would make them.

    The experts of one side are relabeled, rows and columns together, independently in
    every layer. Up to 40,320 relabelings (one layer of 8 experts) are enumerated in full.

    Args:
        x: (L, E, E) or (E, E) symmetric similarities.
        y: the same shape.
        rng: seeded generator.
        resamples: Monte Carlo relabelings.

    Raises:
        ValueError: shapes that differ, or fewer than 3 experts.

    Source: Mantel 1967; Legendre and Legendre 2012, section 10.5.
    """
    first, second = as_layers(x, "x"), as_layers(y, "y")
    if first.shape != second.shape:
        raise ValueError(f"x {first.shape} and y {second.shape} must have one shape")
    layers, experts, _ = first.shape
    if experts < 3:
        raise ValueError(f"a Mantel test needs at least 3 experts, not {experts}")
    pairs = off_diagonal(first)
    r = pearson(pairs, off_diagonal(second))

    def relabeled(layer: int, labels: Labels) -> Floats:
        return pearson(pairs[layer], relabeled_pairs(second[layer], labels))

    null = permute_labels(relabeled, layers=layers, experts=experts, rng=rng, resamples=resamples)
    squared = null.squared()
    return MantelResult(r, null.test(float(r.mean())), squared.test(float((r**2).mean())), float(squared.mean().mean()))
