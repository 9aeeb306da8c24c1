"""The interval of a difference, from the intervals of its two estimates: MOVER.

The method of variance estimates recovery reads a variance off each end of the two intervals, so that intervals that
are not symmetric give a difference whose interval is not symmetric either. It takes the estimates to be independent.
"""

from dataclasses import dataclass
from math import hypot, isfinite
from typing import final

from moe_claims.types import Interval

METHOD = "MOVER from two separate intervals (Zou and Donner)"


@final
@dataclass(frozen=True)
class Difference:
    """The difference of two estimates, with its interval."""

    value: float
    """Later less earlier estimate, in the unit of both."""
    interval: Interval
    """Interval of the difference, at the level of the two intervals."""

    @property
    def off_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.interval.low > 0 or self.interval.high < 0


def difference(earlier: float, earlier_interval: Interval, later: float, later_interval: Interval) -> Difference:
    """Later less earlier, with an interval that needs no standard error.

    Where the two estimates go up and down together, as those from the same text do, the interval is wider than it
    need be: it covers the difference more often than its level says.

    Args:
        earlier: an estimate.
        earlier_interval: its interval, which holds it.
        later: an independent estimate of the same quantity elsewhere, in the same unit.
        later_interval: its interval, likewise, at the same level.

    Raises:
        ValueError: numbers that are not finite, intervals of two levels, or an estimate outside its interval.

    Source: Zou and Donner, Statistics in Medicine 27 (2008) 1693–1702.
    """
    _check(earlier, earlier_interval)
    _check(later, later_interval)
    if earlier_interval.level != later_interval.level:
        raise ValueError(
            f"both intervals must be of one level, not of {earlier_interval.level:g} and {later_interval.level:g}"
        )
    value = later - earlier
    below = hypot(later - later_interval.low, earlier_interval.high - earlier)
    above = hypot(later_interval.high - later, earlier - earlier_interval.low)
    return Difference(value, Interval(value - below, value + above, earlier_interval.level, METHOD))


def _check(estimate: float, interval: Interval) -> None:
    if not all(isfinite(number) for number in (estimate, interval.low, interval.high)):
        raise ValueError(f"estimates and ends must be finite, not {estimate}, {interval.low} and {interval.high}")
    rounding = 1e-9 * max(abs(interval.low), abs(interval.high))  # an end may be the estimate, by another way
    if not interval.low - rounding <= estimate <= interval.high + rounding:
        raise ValueError(f"the interval [{interval.low:g}, {interval.high:g}] does not hold its estimate {estimate:g}")
