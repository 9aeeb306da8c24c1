"""Whether two values move in opposite directions over depth: both trends must show."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import RESAMPLES
from moe_claims.stats.trend import TrendResult, block_draws, percentile_intervals, tau_of_pairs, trend
from moe_claims.types import Interval


@final
@dataclass(frozen=True, eq=False)
class DivergingTrends:
    """A value that is said to rise and one that is said to fall, over the same layers."""

    rising: TrendResult
    """Trend of the value that is said to rise."""
    falling: TrendResult
    """Trend of the value that is said to fall."""
    difference: float
    """τ of the rising less τ of the falling, −2 to 2."""
    p_value: float
    """The larger of both one-sided p-values: one rises and the other falls."""
    p_opposite: float
    """The same for the opposite claim: the first falls and the second rises."""
    smallest_p: float
    """The smallest value that ``p_value`` can take."""
    intervals: tuple[Interval, ...]
    """Of the difference, one per level."""


def diverging_trends(
    rising: ArrayLike,
    falling: ArrayLike,
    *,
    rng: np.random.Generator,
    levels: tuple[float, ...] = (0.95, 0.90),
    resamples: int = RESAMPLES,
) -> DivergingTrends:
    """Tests two trends jointly, each against smooth curves without one.

    Rejecting only when both tests do keeps the level whatever the two have to do with each
    other (intersection–union test, Berger 1982). The interval draws blocks of neighbouring
    layers, the same ones for both values, so that what they share over depth cancels.

    Args:
        rising: (L,) the value that is said to rise.
        falling: (L,) the value that is said to fall.
        rng: seeded generator.
        levels: coverages asked for, one interval each.
        resamples: curves of each test, and draws of the interval.

    Raises:
        ValueError: lengths that differ, fewer than 5 layers, or numbers that are not finite.
    """
    up, down = np.asarray(rising, dtype=np.float64), np.asarray(falling, dtype=np.float64)
    if up.shape != down.shape:
        raise ValueError(f"both values need one number per layer, not {up.shape} and {down.shape}")
    first, second = trend(up, rng=rng, resamples=resamples), trend(down, rng=rng, resamples=resamples)
    layers = block_draws(len(up), resamples, rng)
    draws = tau_of_pairs(layers, up[layers]) - tau_of_pairs(layers, down[layers])
    a, b = first.autoregressive, second.autoregressive
    return DivergingTrends(
        rising=first,
        falling=second,
        difference=first.tau - second.tau,
        p_value=max(a.p_greater, b.p_less),
        p_opposite=max(a.p_less, b.p_greater),
        smallest_p=max(a.smallest_p, b.smallest_p),
        intervals=percentile_intervals(draws, levels, "joint block bootstrap over layers"),
    )
