"""Which experts of a layer are marked: is it always the same one, and are the marked ones special otherwise?

Labels of experts are arbitrary, so under the null a layer's marks fall on any of its
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

Marks = NDArray[np.bool_]
_ENUMERATE = 40_320
"""Up to so many ways to place the marks of all layers are enumerated, as relabelings are elsewhere."""


def random_marks(counts: ArrayLike, experts: int, rng: np.random.Generator) -> Marks:
    """(B,) numbers of marks → (B, E), each row's marks on different experts, all sets as likely (Floyd's algorithm)."""
    numbers = np.asarray(counts)
    marks, rows = np.zeros((len(numbers), experts), dtype=np.bool_), np.arange(len(numbers))
    for step in range(int(numbers.max(initial=0))):
        active = rows[numbers > step]
        newest = experts - numbers[active] + step
        drawn = rng.integers(0, newest + 1)
        marks[active, np.where(marks[active, drawn], newest, drawn)] = True
    return marks


@final
@dataclass(frozen=True)
class MostMarkedResult:
    """The expert that is marked in most layers."""

    expert: int
    """Its number; the lowest one of several."""
    count: int
    """Layers in which it is marked."""
    by_chance: TestResult
    """The count against marks that come as often as given, on any expert."""
    given_numbers: TestResult
    """The count against each layer's own number of marks, on any expert."""


def most_marked(
    marked: ArrayLike, chances: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> MostMarkedResult:
    """Whether one and the same expert is marked in more layers than chance would have it.

    Args:
        marked: (L, E) marks.
        chances: (K + 1,) chances of 0, 1, … K marks in a layer where nothing is special.
        rng: seeded generator.
        resamples: Monte Carlo draws of each of the two nulls.

    Raises:
        ValueError: marks that are not (L, E), or chances that do not sum to 1 or mark more than there are.
    """
    marks = _checked(marked)
    layers, experts = marks.shape
    p = np.asarray(chances, dtype=np.float64)
    if p.ndim != 1 or not 1 <= len(p) <= experts + 1 or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"chances of 0 to {experts} marks at most must sum to 1")
    counts = marks.sum(axis=0)
    numbers = np.broadcast_to(marks.sum(axis=1), (resamples, layers))
    observed, tests = int(counts.max()), []
    for drawn in (rng.choice(len(p), size=(resamples, layers), p=p), numbers):
        total = np.zeros((resamples, experts), dtype=np.int64)
        for layer in range(layers):
            total += random_marks(drawn[:, layer], experts, rng)
        found = test_against(observed, total.max(axis=1), exact=False)
        # The best that can come: one mark in every layer, all on one expert.
        tests.append(replace(found, smallest_p=max(found.smallest_p, float(experts) ** (1 - layers))))
    return MostMarkedResult(int(counts.argmax()), observed, *tests)


def marked_mean(
    values: ArrayLike, marked: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> TestResult:
    """The mean of a value over the marked experts of all layers, against marks on any expert.

    Args:
        values: (L, E).
        marked: (L, E) marks, one at least; layers without any play no part.
        rng: seeded generator.
        resamples: Monte Carlo placements; up to 40,320 are enumerated instead.

    Raises:
        ValueError: shapes that differ, no marks, or numbers that are not finite.
    """
    marks, numbers = _checked_with(values, marked)
    if not marks.any():
        raise ValueError("a mean over marked experts needs at least one mark")
    some = marks.any(axis=1)
    marks, numbers = marks[some], numbers[some]
    counts, experts = marks.sum(axis=1), marks.shape[1]
    exact = prod(comb(experts, int(count)) for count in counts) <= _ENUMERATE
    if exact:
        null = reduce(
            np.add.outer, [_all_sums(row, int(count)) for row, count in zip(numbers, counts, strict=True)]
        ).ravel()
    else:
        null = np.zeros(resamples)
        for row, count in zip(numbers, counts, strict=True):
            null += random_marks(np.full(resamples, count), experts, rng) @ row
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
    observed = float(numbers[marks].sum() / total)
    return replace(test_against(observed, null / total, exact=exact), smallest_p=min(lowest, highest))


def marked_difference(values: ArrayLike, marked: ArrayLike) -> StudentResult:
    """Mean of a value over marked experts less that over the unmarked ones of the same layers.

    Values are pooled over the layers that have a mark; every such layer is left out once.

    Args:
        values: (L, E).
        marked: (L, E) marks, in 2 layers at least.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, marks in fewer than 2 layers, or on all experts.
    """
    marks, numbers = _checked_with(values, marked)
    some = marks.any(axis=1)
    marks, numbers = marks[some], numbers[some]
    layers = len(marks)
    if layers < 2 or marks.all(axis=1).any():
        raise ValueError("a difference needs marks on some experts, not all, of at least 2 layers")
    sums = np.stack([(numbers * marks).sum(axis=1), marks.sum(axis=1), (numbers * ~marks).sum(axis=1), (~marks).sum(1)])

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


def _checked_with(values: ArrayLike, marked: ArrayLike) -> tuple[Marks, Floats]:
    marks, numbers = _checked(marked), np.asarray(values, dtype=np.float64)
    if numbers.shape != marks.shape or not np.isfinite(numbers).all():
        raise ValueError(f"values {numbers.shape} must be finite, one for each of the marks {marks.shape}")
    return marks, numbers


def _checked(marked: ArrayLike) -> Marks:
    marks = np.asarray(marked, dtype=np.bool_)
    if marks.ndim != 2 or 0 in marks.shape:
        raise ValueError(f"marks must be (L, E), not {marks.shape}")
    return marks
