"""Four answers to 'did it replicate?', when a published value can be compared with ours."""

from dataclasses import dataclass
from math import isfinite
from statistics import NormalDist
from typing import final

from moe_claims.types import Interval

Z95 = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval in standard errors."""
_ONE_SIDED = NormalDist().inv_cdf(0.95)
_POWER_THIRD = Z95 - NormalDist().inv_cdf(2 / 3)
"""Effect in standard errors that a two-sided 5 % test finds, in its own direction, with power 1/3 (Simonsohn 2015)."""


@final
@dataclass(frozen=True)
class Criteria:
    """Four criteria of whether a published effect was replicated, which are always reported together."""

    published_in_our_interval: bool
    """The published value lies in our 95 % interval."""
    ours_in_prediction_interval: bool
    """Our value lies in ``prediction_interval``."""
    prediction_interval: Interval
    """Where a repetition of the published study would fall with 95 % chance (Patil, Peng and Leek 2016)."""
    small_telescope_passed: bool
    """Our effect is not significantly smaller than one that the published study had a third of a chance to find."""
    small_telescope: float
    """The effect that the published study had a third of a chance to find, in the unit of both."""
    pooled_differs_from_none: bool
    """The pooled interval lies off the value of no effect, on the side of the published value."""
    pooled: Interval
    """95 % interval of the random-effects mean of both (DerSimonian and Laird 1986)."""
    pooled_estimate: float
    """The random-effects mean of both."""
    heterogeneity_i2: float
    """Share of the variation between the two that is not sampling error, 0 to 1."""


def criteria(
    ours: float, our_se: float, our_interval: Interval, published: float, published_se: float, *, none: float = 0.0
) -> Criteria:
    """Compares an effect with its published value, both in the same units.

    Args:
        ours: our estimate.
        our_se: its standard error.
        our_interval: its 95 % interval.
        published: the published estimate.
        published_se: its standard error.
        none: the value that stands for no effect, such as 1/E for a share or the bound of a claim
            of level. On which side of it the published value lies is the published direction.

    Raises:
        ValueError: a standard error that is not positive, or numbers that are not finite.
    """
    numbers = (ours, our_se, published, published_se, none)
    if not all(isfinite(number) for number in numbers):
        raise ValueError(f"effects and standard errors must be finite, not {numbers}")
    if our_se <= 0 or published_se <= 0:
        raise ValueError(f"standard errors must be positive, not {our_se} and {published_se}")
    spread = (our_se**2 + published_se**2) ** 0.5
    prediction = Interval(published - Z95 * spread, published + Z95 * spread, 0.95, "prediction interval")
    sign = 1.0 if published >= none else -1.0
    telescope = none + sign * _POWER_THIRD * published_se
    q = (ours - published) ** 2 / spread**2  # Cochran's Q of two estimates has one degree of freedom
    weights = [our_se**-2, published_se**-2]
    scale = sum(weights) - sum(w**2 for w in weights) / sum(weights)
    between = max(0.0, (q - 1) / scale)
    weights = [1 / (our_se**2 + between), 1 / (published_se**2 + between)]
    mean = (weights[0] * ours + weights[1] * published) / sum(weights)
    reach = Z95 / sum(weights) ** 0.5
    return Criteria(
        published_in_our_interval=our_interval.low <= published <= our_interval.high,
        ours_in_prediction_interval=prediction.low <= ours <= prediction.high,
        prediction_interval=prediction,
        small_telescope_passed=sign * ours + _ONE_SIDED * our_se >= sign * telescope,
        small_telescope=telescope,
        pooled_differs_from_none=sign * (mean - none) > reach,
        pooled=Interval(mean - reach, mean + reach, 0.95, "random effects (DerSimonian–Laird)"),
        pooled_estimate=mean,
        heterogeneity_i2=max(0.0, (q - 1) / q) if q > 0 else 0.0,
    )
