"""Whether estimates of one effect differ by more than their errors: Cochran's Q, I² and τ²."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike


@final
@dataclass(frozen=True)
class Heterogeneity:
    """How much k estimates differ beyond their sampling errors."""

    q: float
    """Cochran's Q, the weighted squared deviations from the common mean; k − 1 on average under homogeneity."""
    degrees: int
    """k − 1."""
    p_value: float
    """Of Q under homogeneity, χ² with k − 1 degrees of freedom."""
    i2: float
    """Share of the variation between estimates that is not sampling error, 0 to 1."""
    tau2: float
    """Variance of the true effects, in squared units of the effect."""
    common: float
    """Mean of the effects, weighted by precision alone."""
    pooled: float
    """Random-effects mean: the variance of the true effects is part of every error."""
    pooled_error: float
    """Its standard error."""


def heterogeneity(effects: ArrayLike, standard_errors: ArrayLike) -> Heterogeneity:
    """Homogeneity of independent estimates.

    With two or three estimates Q has little power: a large p says little.

    Args:
        effects: (k,) estimates of one effect.
        standard_errors: (k,) their standard errors, all positive.

    Raises:
        ValueError: fewer than 2 estimates, shapes that differ, an error that is not positive,
            or numbers that are not finite.

    Source: Cochran 1954; DerSimonian and Laird 1986 (τ²); Higgins and Thompson 2002 (I²).
    """
    from scipy.stats import chi2

    y, errors = np.asarray(effects, dtype=np.float64), np.asarray(standard_errors, dtype=np.float64)
    if y.ndim != 1 or y.shape != errors.shape or len(y) < 2:
        raise ValueError(
            f"heterogeneity needs 2 effects or more, each with its error, not {y.shape} and {errors.shape}"
        )
    if not np.isfinite(y).all() or not np.isfinite(errors).all() or not (errors > 0).all():
        raise ValueError("effects must be finite, and standard errors finite and positive")
    weights = errors**-2
    common = float((weights * y).sum() / weights.sum())
    q = float((weights * (y - common) ** 2).sum())
    degrees = len(y) - 1
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    tau2 = max(0.0, (q - degrees) / scale)
    random = 1 / (errors**2 + tau2)
    return Heterogeneity(
        q=q,
        degrees=degrees,
        p_value=float(chi2.sf(q, degrees)),
        i2=max(0.0, (q - degrees) / q) if q > 0 else 0.0,
        tau2=tau2,
        common=common,
        pooled=float((random * y).sum() / random.sum()),
        pooled_error=float(random.sum() ** -0.5),
    )
