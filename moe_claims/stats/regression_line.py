"""A least-squares line through values at known positions, and the standard errors of what it says."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import Floats


@final
@dataclass(frozen=True, eq=False)
class LineResult:
    """Lines through values at the same positions, one line per series."""

    slope: Floats
    """(…) slope, in units of the values per unit of position."""
    mean: Floats
    """(…) mean of the values: the line's height at ``centre``."""
    scatter: Floats
    """(…) standard deviation of the residuals on n − 2 degrees of freedom; NaN for two positions, which leave none."""
    centre: float
    """Mean position."""
    spread: float
    """Sum of squares of the positions about their mean."""
    places: int
    """Number n of positions."""

    def at(self, place: float) -> Floats:
        """(…) height of the line at a position."""
        return np.asarray(self.mean + self.slope * (place - self.centre))

    @property
    def slope_error(self) -> Floats:
        """(…) standard error of the slope."""
        return np.asarray(self.scatter / self.spread**0.5)

    def error_of_new(self, place: float) -> Floats:
        """(…) standard error of the distance between the line and a new value at a position."""
        return np.asarray(self.scatter * (1 + 1 / self.places + (place - self.centre) ** 2 / self.spread) ** 0.5)


def line(places: ArrayLike, values: ArrayLike) -> LineResult:
    """The least-squares line through each series.

    Args:
        places: (n,) positions.
        values: (…, n), each row a series of values at these positions.

    Raises:
        ValueError: fewer than 2 different positions, other shapes, or numbers that are not finite.
    """
    x, y = np.asarray(places, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or y.shape[-1:] != x.shape or not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError(f"a line needs finite values at finite positions, not shapes {y.shape} and {x.shape}")
    if len(np.unique(x)) < 2:
        raise ValueError("a line needs values at 2 different positions or more")
    centre, mean = float(x.mean()), y.mean(axis=-1)
    spread = float(((x - centre) ** 2).sum())
    slope = ((x - centre) * y).sum(axis=-1) / spread
    left = y - mean[..., None] - slope[..., None] * (x - centre)
    free = len(x) - 2
    scatter = np.sqrt((left**2).sum(axis=-1) / free) if free else np.full(y.shape[:-1], np.nan)
    return LineResult(slope, mean, scatter, centre, spread, len(x))
