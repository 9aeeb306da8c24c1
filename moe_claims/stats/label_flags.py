"""Experts that carry a flag: is it the same expert in many layers, and do flagged experts differ from the others?

Labels of experts are arbitrary, so under the null a layer's flags fall on any of its
experts, independently in every layer.
"""

from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from math import comb, prod
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, test_against
from moe_claims.stats.student import StudentResult

Flags = NDArray[np.bool_]
_ENUMERATE = 40_320
"""Up to so many ways to place the flags of all layers are enumerated: as many as relabelings of experts are."""


def random_flags(counts: ArrayLike, experts: int, rng: np.random.Generator) -> Flags:
    """(B,) numbers of flags → (B, E) bool, each row's flags on a random set of experts (Floyd's algorithm)."""
    numbers = np.asarray(counts)
    flags, rows = np.zeros((len(numbers), experts), dtype=np.bool_), np.arange(len(numbers))
    for step in range(int(numbers.max(initial=0))):
        active = rows[numbers > step]
        newest = experts - numbers[active] + step
        drawn = rng.integers(0, newest + 1)
        flags[active, np.where(flags[active, drawn], newest, drawn)] = True
    return flags


@final
@dataclass(frozen=True)
class MostFlaggedResult:
    """The expert that is flagged in most layers."""

    expert: int
    """Number of the expert; the lowest one of several."""
    count: int
    """Layers in which it is flagged."""
    by_chance: TestResult
    """The count against random flags that come as often as the given chances say, on any expert."""
    given_numbers: TestResult
    """The count against as many random flags as each layer has, on any expert."""


def most_flagged(
    flagged: ArrayLike, chances: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> MostFlaggedResult:
    """Whether one and the same expert is flagged in more layers than by chance.

    Args:
        flagged: (L, E) bool.
        chances: (K + 1,) chances of 0, 1, … K flags in a layer where no expert is special.
        rng: seeded generator.
        resamples: Monte Carlo draws of each of the two nulls.

    Raises:
        ValueError: flags that are not (L, E), or chances that do not sum to 1 or are of more flags than experts.
    """
    flags = _checked(flagged)
    layers, experts = flags.shape
    p = np.asarray(chances, dtype=np.float64)
    if p.ndim != 1 or not 1 <= len(p) <= experts + 1 or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"chances of 0 to {experts} flags at most must sum to 1")
    counts = flags.sum(axis=0)
    numbers = np.broadcast_to(flags.sum(axis=1), (resamples, layers))
    observed, tests = int(counts.max()), []
    for drawn in (rng.choice(len(p), size=(resamples, layers), p=p), numbers):
        total = np.zeros((resamples, experts), dtype=np.int64)
        for layer in range(layers):
            total += random_flags(drawn[:, layer], experts, rng)
        found = test_against(observed, total.max(axis=1), exact=False)
        # The best that can come: one flag in every layer, all on one expert.
        tests.append(replace(found, smallest_p=max(found.smallest_p, float(experts) ** (1 - layers))))
    return MostFlaggedResult(int(counts.argmax()), observed, *tests)


def flagged_mean(
    values: ArrayLike, flagged: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> TestResult:
    """The mean of a value over the flagged experts of all layers, against flags on any expert.

    Args:
        values: (L, E).
        flagged: (L, E) bool, one true at least; layers without any are left out.
        rng: seeded generator.
        resamples: Monte Carlo placements; up to 40,320 are enumerated instead.

    Raises:
        ValueError: shapes that differ, no flag, or numbers that are not finite.
    """
    flags, numbers = _checked_with(values, flagged)
    if not flags.any():
        raise ValueError("a mean over flagged experts needs at least one flag")
    some = flags.any(axis=1)
    flags, numbers = flags[some], numbers[some]
    counts, experts = flags.sum(axis=1), flags.shape[1]
    exact = prod(comb(experts, int(count)) for count in counts) <= _ENUMERATE
    if exact:
        null = reduce(
            np.add.outer, [_all_sums(row, int(count)) for row, count in zip(numbers, counts, strict=True)]
        ).ravel()
    else:
        null = np.zeros(resamples)
        for row, count in zip(numbers, counts, strict=True):
            null += random_flags(np.full(resamples, count), experts, rng) @ row
    total = counts.sum()
    ordered = np.sort(numbers, axis=1)
    ends = [
        sum(float(part.sum()) for part in sides)
        for sides in zip(
            *((row[:count], row[experts - count :]) for row, count in zip(ordered, counts, strict=True)), strict=True
        )
    ]
    # Values may tie, so that even the best placement is one of many.
    lowest = test_against(ends[0] / total, null / total, exact=exact).p_less
    highest = test_against(ends[1] / total, null / total, exact=exact).p_greater
    observed = float(numbers[flags].sum() / total)
    return replace(test_against(observed, null / total, exact=exact), smallest_p=min(lowest, highest))


def flagged_difference(values: ArrayLike, flagged: ArrayLike) -> StudentResult:
    """Mean of a value over flagged experts less that over the other experts of the same layers.

    Values are pooled over the layers that have a flag; every such layer is left out once.

    Args:
        values: (L, E).
        flagged: (L, E) bool, some true in 2 layers at least.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, flags in fewer than 2 layers, or on all experts.
    """
    flags, numbers = _checked_with(values, flagged)
    some = flags.any(axis=1)
    flags, numbers = flags[some], numbers[some]
    layers = len(flags)
    if layers < 2 or flags.all(axis=1).any():
        raise ValueError("a difference needs flags on some experts, not all, of at least 2 layers")
    sums = np.stack([(numbers * flags).sum(axis=1), flags.sum(axis=1), (numbers * ~flags).sum(axis=1), (~flags).sum(1)])

    def difference(pooled: Floats) -> Floats:
        return np.asarray(pooled[0] / pooled[1] - pooled[2] / pooled[3])

    whole = sums.sum(axis=1, keepdims=True)
    left_out = difference(whole - sums)
    error = float(np.sqrt((layers - 1) / layers * ((left_out - left_out.mean()) ** 2).sum()))
    return StudentResult(float(difference(whole)[0]), error, layers - 1)


def _all_sums(row: Floats, count: int) -> Floats:
    """(E,) → sums over all sets of ``count`` of them."""
    sets: NDArray[np.integer[Any]] = np.asarray(list(combinations(range(len(row)), count)))
    return np.asarray(row[sets].sum(axis=1))


def _checked_with(values: ArrayLike, flagged: ArrayLike) -> tuple[Flags, Floats]:
    flags, numbers = _checked(flagged), np.asarray(values, dtype=np.float64)
    if numbers.shape != flags.shape or not np.isfinite(numbers).all():
        raise ValueError(f"values {numbers.shape} must be finite, one for each of the flags {flags.shape}")
    return flags, numbers


def _checked(flagged: ArrayLike) -> Flags:
    flags = np.asarray(flagged, dtype=np.bool_)
    if flags.ndim != 2 or 0 in flags.shape:
        raise ValueError(f"flags must be (L, E), not {flags.shape}")
    return flags
