"""p-values from resampled or enumerated null distributions, and the permutation of expert labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import factorial
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.quantiles import LEVELS, sample_quantiles
from moe_claims.types import NullDistribution, Tail

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]
RESAMPLES = 9_999
"""Resamples of every Monte Carlo test, unless the set is enumerated."""
_ENUMERATE = 40_320
"""Up to 8! relabelings, of one layer or of several together, are enumerated."""
_AT_ONCE = 1_000
"""Relabelings whose statistics are computed together, unless a test says otherwise."""


@final
@dataclass(frozen=True)
class TestResult:
    """A one-sided test in both directions, from one null distribution."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    statistic: float
    p_greater: float
    p_less: float
    resamples: int
    exact: bool
    """Whether the null was enumerated in full."""
    smallest_p: float
    """The smallest p-value that this test can reach."""
    quantiles: tuple[float, ...]
    """Of the null, at ``LEVELS``. A Monte Carlo null is its draws alone; the p-values count the observed value too."""

    def null_distribution(
        self, method: str, statistic: str | None = None, *, tail: Tail = "upper", origin: float = 0.0, per: float = 1.0
    ) -> NullDistribution:
        """The null in a few quantiles, for the report.

        Args:
            method: what was resampled.
            statistic: what is on the axis; None for the claim's effect.
            tail: which of the two p-values is in the claimed direction.
            origin: taken off every value, such as the chance level of a share.
            per: every value is then divided by it, such as the number of tokens of a sum.

        Raises:
            ValueError: a ``per`` that is not positive would turn the axis round.
        """
        if not per > 0:
            raise ValueError(f"values of a null are given per a positive number, not per {per}")
        observed, *quantiles = (float((value - origin) / per) for value in (self.statistic, *self.quantiles))
        return NullDistribution(
            method, statistic, observed, tail, LEVELS, tuple(quantiles), draws=self.resamples, exact=self.exact
        )


def test_against(observed: float, null: ArrayLike, *, exact: bool) -> TestResult:
    """The p-values, on either side, of an observed statistic in its null distribution.

    Values as near to the observed one as 1e-10 of the largest count as ties, because the
    same statistic summed in another order differs by rounding; being relative, the
    tolerance is the same in every unit of measurement. A Monte Carlo null does not hold the
    observed arrangement, so that is counted beside it: (b + 1)/(n + 1), Phipson and
    Smyth 2010. An enumerated null holds it already.

    Args:
        observed: the statistic of the data as they are.
        null: (n,) the statistic under the null.
        exact: whether ``null`` is the full enumeration, identity included.

    Raises:
        ValueError: an empty null, or numbers that are not finite.
    """
    values = np.asarray(null, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all() or not np.isfinite(observed):
        raise ValueError("a null distribution needs at least one value, and all of them finite")
    slack = 1e-10 * max(abs(observed), float(np.abs(values).max()))
    extra = 0 if exact else 1
    total = values.size + extra
    greater = (int((values >= observed - slack).sum()) + extra) / total
    less = (int((values <= observed + slack).sum()) + extra) / total
    return TestResult(float(observed), greater, less, int(values.size), exact, 1 / total, sample_quantiles(values))


test_against.__test__ = False  # type: ignore[attr-defined]  # nor a test function


def as_layers(matrices: ArrayLike, name: str) -> Floats:
    """(L, E, E) or (E, E) → (L, E, E), checked to be symmetric and finite.

    What float32 leaves of asymmetry is averaged away: relabeled pairs are read from both
    triangles, and would no longer tie with the pairs as they are.

    Raises:
        ValueError: another shape, or not symmetric, or not finite.
    """
    array: Floats = np.asarray(matrices, dtype=np.float64)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise ValueError(f"{name} must be (L, E, E), not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    if not np.allclose(array, array.transpose(0, 2, 1), atol=1e-6):
        raise ValueError(f"{name} must be symmetric")
    return np.asarray((array + array.transpose(0, 2, 1)) / 2)


def off_diagonal(matrices: Floats) -> Floats:
    """(…, E, E) symmetric → (…, E(E − 1)/2), the pairs above the diagonal."""
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[..., rows, columns])


def relabelings(experts: int, resamples: int, rng: np.random.Generator) -> Labels:
    """(resamples, E) random permutations of expert labels."""
    return rng.permuted(np.broadcast_to(np.arange(experts), (resamples, experts)), axis=1)


def all_relabelings(experts: int) -> Labels:
    """(E!, E) every permutation of expert labels, identity first; for E up to 8."""
    from itertools import permutations

    return np.asarray(list(permutations(range(experts))), dtype=np.int64)


def relabeled_pairs(matrix: Floats, labels: Labels) -> Floats:
    """(E, E) and (n, E) labels → (n, E(E − 1)/2), the pairs of the relabeled matrix."""
    rows, columns = np.triu_indices(matrix.shape[-1], 1)
    cells = labels[:, rows] * len(matrix)
    cells += labels[:, columns]
    return np.asarray(np.take(matrix, cells))  # one flat index is twice as fast as two


def enumerable(experts: int, layers: int) -> bool:
    """Whether all relabelings, independent in every layer, are few enough to be enumerated: E!^L."""
    return bool(factorial(experts) ** layers <= _ENUMERATE)


def mean_over_layers(by_layer: Sequence[Floats] | Floats, *, exact: bool) -> Floats:
    """Null values of each layer → null values of their mean over layers.

    Enumerated layers are combined in every way, (E!^L,); drawn ones draw by draw, (n,).
    """
    total = reduce(np.add.outer, by_layer).ravel() if exact else np.sum(by_layer, axis=0)
    return np.asarray(total / len(by_layer))


@final
@dataclass(frozen=True, eq=False)
class LabelNull:
    """The values that a statistic of every layer takes when the layer's expert labels are permuted."""

    by_layer: Floats
    """(L, n) the statistic by layer and relabeling, in the statistic's own unit."""
    exact: bool
    """Whether all n = E! relabelings of a layer were enumerated, the identity first; else n were drawn."""

    def squared(self) -> "LabelNull":
        """The null of the squared statistic, from the same relabelings."""
        return LabelNull(self.by_layer**2, self.exact)

    def mean(self) -> Floats:
        """Null values of the mean over layers: (E!^L,) where the relabelings were enumerated, else (n,)."""
        return mean_over_layers(self.by_layer, exact=self.exact)

    def test(self, observed: float) -> TestResult:
        """The p-values, on either side, of an observed mean over layers in this null."""
        return test_against(observed, self.mean(), exact=self.exact)


def permute_labels(
    statistic: Callable[[int, Labels], Floats],
    *,
    layers: int,
    experts: int,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    at_once: int = _AT_ONCE,
) -> LabelNull:
    """The null of a statistic under expert labels permuted independently in every layer.

    Up to 40,320 relabelings of all layers together are enumerated; else every layer gets draws of its own.

    Args:
        statistic: from the number of a layer, 0 to L − 1, and (n, E) relabelings to its (n,) values under these.
        layers: L.
        experts: E.
        rng: seeded generator; the draws do not depend on ``at_once``.
        resamples: relabelings of each layer that are drawn where they are not enumerated.
        at_once: at most this many relabelings are given to ``statistic`` in one call, which bounds its memory.
    """
    exact = enumerable(experts, layers)
    labels = all_relabelings(experts) if exact else None
    count = resamples if labels is None else len(labels)
    values = np.empty((layers, count))
    for layer in range(layers):
        for start in range(0, count, at_once):
            part = slice(start, min(start + at_once, count))
            some = relabelings(experts, part.stop - part.start, rng) if labels is None else labels[part]
            values[layer, part] = statistic(layer, some)
    return LabelNull(values, exact)
