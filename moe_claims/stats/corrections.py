"""p-values of several tests, adjusted for their number."""

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import Floats


def _checked(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be one row of numbers between 0 and 1")
    return p


def holm(p_values: ArrayLike) -> Floats:
    """(n,) p-values → (n,) adjusted ones, which control the chance of any false rejection (Holm 1979).

    Raises:
        ValueError: numbers that are not between 0 and 1, or more than one row.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """(n,) p-values → (n,) adjusted ones, which control the false discovery rate (Benjamini and Hochberg 1995).

    Raises:
        ValueError: numbers that are not between 0 and 1, or more than one row.
    """
    from scipy.stats import false_discovery_control

    p = _checked(p_values)
    return np.asarray(false_discovery_control(p, method="bh")) if len(p) else p
