"""Whether a reference point is more similar to the other points than these are to each other."""

from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, as_layers, test_against
from moe_claims.types import Interval

_ENUMERATE = 40_320
"""Up to so many choices of one point per layer are enumerated: as many as relabelings of experts are."""
_WIDEST = 2.0
"""No two similarities within ±1 differ by more: the end of an interval that the data leave open."""


@final
@dataclass(frozen=True, eq=False)
class OnePointResult:
    """The reference point of every layer compared with the layer's other points."""

    by_layer: Floats
    """(L,) mean similarity of the reference point to the others, less the mean similarity among these."""
    test: TestResult
    """The mean over layers, against that of any other point of each layer taken as the reference."""
    shifts: Floats
    """(n,) for every other choice of points, the shift of the reference point's similarities that makes it tie."""
    untold: int
    """Choices, the observed one included, that take the reference point in every layer: no shift tells them apart."""

    def interval(self, level: float = 0.95) -> Interval:
        """The shifts of the reference point's similarities that the test does not reject: the test inverted.

        Where too few choices exist to reject anything, the interval reaches to ±2.
        """
        ordered = np.sort(self.shifts)
        rejected = int((1 - level) / 2 * (len(ordered) + self.untold) + 1e-9) - self.untold
        low, high = (float(ordered[rejected]), float(ordered[-1 - rejected])) if rejected >= 0 else (-_WIDEST, _WIDEST)
        method = "inverted test of which point of a layer is the marked one"
        return Interval(max(low, -_WIDEST), min(high, _WIDEST), level, method)


def one_point(similarity: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> OnePointResult:
    """Tests whether the last point of every layer, the reference, differs from the layer's other points.

    Under the null any of a layer's points could be the reference, independently in every
    layer. A jackknife over the others would keep the reference point fixed and so miss how
    much that varies itself: where points share a part, it rejects a true null in 12 to 30 %
    (tried with 8 other points in 16 layers).

    Args:
        similarity: (L, P, P) or (P, P) symmetric similarities within ±1; the reference point is the last.
        rng: seeded generator.
        resamples: Monte Carlo choices of a point per layer; up to 40,320 are enumerated instead.

    Raises:
        ValueError: other shapes, fewer than 3 points, or similarities outside ±1.

    Source: permutation tests and their inversion to intervals, Lehmann and Romano 2005, chapter 5.
    """
    layers = as_layers(similarity, "similarity")
    number, points, _ = layers.shape
    if points < 3:
        raise ValueError(f"one point against the others needs at least 3 points, not {points}")
    if np.abs(layers).max() > 1 + 1e-9:
        raise ValueError("similarities must lie within ±1")
    apart = _apart(layers)
    observed = apart[:, -1]
    exact = points**number <= _ENUMERATE
    if exact:
        means = reduce(np.add.outer, apart).ravel() / number
        others = reduce(np.add.outer, np.tile(np.arange(points) < points - 1, (number, 1)).astype(np.int64)).ravel()
    else:
        choice = rng.integers(points, size=(resamples, number))
        means = apart[np.arange(number), choice].mean(axis=1)
        others = (choice < points - 1).sum(axis=1)
    test = test_against(float(observed.mean()), means, exact=exact)
    told = others > 0
    # A shift of the reference point's similarities moves its own difference by 1 and that of every other by −1/(P − 1).
    gap = 1 + 1 / (points - 1)
    shifts = (observed.mean() - means[told]) * number / (others[told] * gap)
    untold = int((~told).sum()) + (0 if exact else 1)
    return OnePointResult(observed, test, np.asarray(shifts), untold)


def _apart(layers: Floats) -> Floats:
    """(L, P, P) → (L, P) each point's mean similarity to the others, less that among the others."""
    points = layers.shape[-1]
    to_others = layers.sum(axis=-1) - layers.diagonal(axis1=1, axis2=2)
    among = to_others.sum(axis=-1, keepdims=True) / 2 - to_others
    pairs = (points - 1) * (points - 2) / 2
    return np.asarray(to_others / (points - 1) - among / pairs)
