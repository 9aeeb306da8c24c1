"""Whether three similarity matrices share one pattern (congruence among distance matrices), over layers."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import (
    RESAMPLES,
    Floats,
    TestResult,
    as_layers,
    off_diagonal,
    relabeled_pairs,
    relabelings,
    test_against,
)

_CELLS = 1 << 16
"""Relabeled pairs that are held at a time: more do not fit a processor's cache, and take three times as long."""


@final
@dataclass(frozen=True, eq=False)
class ConcordanceResult:
    """Agreement of three stacks of similarity matrices."""

    r: Floats
    """(L, 3) Pearson r over the pairs of each layer: first–second, first–third, second–third."""
    mean_r: TestResult
    """Mean over layers of the mean of the three, against relabeled second and third matrices."""


def concordance(
    first: ArrayLike, second: ArrayLike, third: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> ConcordanceResult:
    """Whether three patterns of similarity agree more than with arbitrary expert labels.

    The experts of the second and of the third matrix are relabeled, rows and columns
    together, apart from each other and independently in every layer: then no two of the
    three have anything to do with each other.

    Args:
        first: (L, E, E) or (E, E) symmetric similarities.
        second: the same shape.
        third: the same shape.
        rng: seeded generator.
        resamples: Monte Carlo relabelings.

    Raises:
        ValueError: shapes that differ, or fewer than 3 experts.

    Source: Legendre and Lapointe 2004 (global test of CADM), on r of values instead of ranks.
    """
    stacks = [as_layers(m, name) for m, name in ((first, "first"), (second, "second"), (third, "third"))]
    if any(stack.shape != stacks[0].shape for stack in stacks):
        raise ValueError(f"the three must have one shape, not {', '.join(str(stack.shape) for stack in stacks)}")
    layers, experts, _ = stacks[0].shape
    if experts < 3:
        raise ValueError(f"patterns over pairs need at least 3 experts, not {experts}")
    a, b, c = (_unit_pattern(stack) for stack in stacks)
    pairs = off_diagonal(a)
    r = np.stack([(off_diagonal(x) * off_diagonal(y)).sum(axis=-1) for x, y in ((a, b), (a, c), (b, c))], axis=-1)
    null = np.zeros(resamples)
    chunk = max(1, _CELLS // pairs.shape[-1])
    for layer in range(layers):
        for start in range(0, resamples, chunk):
            part = slice(start, min(start + chunk, resamples))
            # Relabeling changes neither mean nor length of a pattern, so that r stays an inner product.
            moved_b, moved_c = (
                relabeled_pairs(m[layer], relabelings(experts, part.stop - part.start, rng)) for m in (b, c)
            )
            null[part] += (moved_b + moved_c) @ pairs[layer] + np.einsum("np,np->n", moved_b, moved_c)
    return ConcordanceResult(r, test_against(float(r.mean()), null / (3 * layers), exact=False))


def _unit_pattern(matrices: Floats) -> Floats:
    """(L, E, E) with pairs centred and of unit length in every layer; zeros where only rounding varies."""
    pairs = off_diagonal(matrices)
    mean = pairs.mean(axis=-1)
    length = np.linalg.norm(pairs - mean[:, None], axis=-1)
    varies = length > 1e-13 * np.linalg.norm(pairs, axis=-1)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=varies)
    return np.asarray((matrices - mean[:, None, None]) * scale[:, None, None])
