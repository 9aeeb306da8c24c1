"""Student's t: whether an estimate differs from 0, and the mean of independent units."""

from dataclasses import dataclass
from math import copysign, inf
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import Floats
from moe_claims.stats.quantiles import OPEN_LEVELS, t_quantiles
from moe_claims.types import Interval, NullDistribution, Tail

_NOTHING = 1e-12
"""An estimate within ± this is rounding: similarities are of the order of 1."""


@final
@dataclass(frozen=True)
class StudentResult:
    """An estimate whose error follows Student's t."""

    estimate: float
    """In its own unit; 0 is no effect."""
    standard_error: float
    """In the unit of the estimate."""
    degrees: float
    """Degrees of freedom of the standard error."""

    @property
    def p_greater(self) -> float:
        """One-sided p of an estimate above 0; can be 0, where the units do not differ."""
        return _upper_tail(self._t(), self.degrees)

    @property
    def p_less(self) -> float:
        """One-sided p of an estimate below 0."""
        return _upper_tail(-self._t(), self.degrees)

    def _t(self) -> float:
        # Units that are all alike leave no doubt about what they have in common, unless that is nothing.
        if abs(self.estimate) <= _NOTHING:
            return 0.0
        return self.estimate / self.standard_error if self.standard_error > 0 else copysign(inf, self.estimate)

    def interval(self, level: float, unit: str) -> Interval:
        """Symmetric t interval; ``unit`` is what the standard error was taken over, such as 'layers'."""
        from scipy.stats import t

        reach = float(t.ppf(0.5 + level / 2, self.degrees)) * self.standard_error
        return Interval(self.estimate - reach, self.estimate + reach, level, f"Student t over {unit}")

    def null_distribution(self, unit: str, *, tail: Tail = "upper") -> NullDistribution:
        """Where the estimate would lie if the truth were 0; ``unit`` as for the interval."""
        return NullDistribution(
            method=f"Student t over {unit}",
            statistic=None,
            observed=self.estimate,
            tail=tail,
            levels=OPEN_LEVELS,
            quantiles=t_quantiles(0.0, self.standard_error, self.degrees),
            draws=None,
            exact=False,
        )


def _upper_tail(t_value: float, degrees: float) -> float:
    from scipy.stats import t

    return float(t.sf(t_value, degrees))


def student(values: ArrayLike) -> StudentResult:
    """(n,) independent units → their mean, its standard error and n − 1 degrees of freedom.

    Raises:
        ValueError: fewer than 2 units, or numbers that are not finite.
    """
    units: Floats = np.asarray(values, dtype=np.float64)
    if units.ndim != 1 or len(units) < 2 or not np.isfinite(units).all():
        raise ValueError(f"a t test needs finite values of at least 2 units, not shape {units.shape}")
    return StudentResult(float(units.mean()), float(units.std(ddof=1)) / len(units) ** 0.5, len(units) - 1)
