"""The quantiles in which null distributions are reported: their levels, those of a sample and of Student's t."""

import numpy as np
from numpy.typing import ArrayLike

LEVELS = (0.0, 0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995, 1.0)
"""Levels of the quantiles that are reported, from the smallest value (0) to the largest (1)."""
OPEN_LEVELS = LEVELS[1:-1]
"""The same for distributions without a smallest or largest value, such as Student's t."""


def sample_quantiles(values: ArrayLike) -> tuple[float, ...]:
    """(n,) finite values → at each of ``LEVELS`` the smallest value that so large a share of them does not exceed.

    Nothing is interpolated (method 1 of Hyndman and Fan 1996): every quantile is a value of
    the sample, so that the few values of a discrete statistic stay those few, and a value
    above the quantile of a level has at most the rest of the sample at or above it.

    Raises:
        ValueError: no values.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        raise ValueError("an empty sample has no quantiles")
    return tuple(np.quantile(sample, LEVELS, method="inverted_cdf").tolist())


def t_quantiles(centre: float, error: float, degrees: float) -> tuple[float, ...]:
    """Quantiles, at ``OPEN_LEVELS``, of centre + error · t, with t of Student's distribution.

    Args:
        centre: the true value of an estimate.
        error: its standard error, in the same unit.
        degrees: degrees of freedom of that.
    """
    from scipy.stats import t

    return tuple((centre + error * t.ppf(OPEN_LEVELS, degrees)).tolist())
