"""Generalized extreme Studentized deviate test: outliers of a small sample, their number unknown."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import Floats

Alternative = Literal["two-sided", "less", "greater"]
_SAMPLES, _CHUNK = 20_000, 500
_ROUNDING = 1e-12
"""A spread below this share of the largest value is rounding, from which nothing deviates."""


@final
@dataclass(frozen=True, eq=False)
class EsdResult:
    """The outliers of one sample or of many, found in ``most`` steps."""

    outliers: NDArray[np.bool_]
    """(…, n) whether each value is an outlier."""
    statistics: Floats
    """(…, most) deviation of the value that each step removes, in standard deviations of what was left."""
    critical: Floats
    """(most,) the critical value of each step."""


def generalized_esd(
    values: ArrayLike, most: int, *, alpha: float = 0.05, alternative: Alternative = "two-sided"
) -> EsdResult:
    """Finds up to ``most`` outliers among values that are otherwise normal.

    The most extreme value is removed ``most`` times; the outliers are those removed up to
    the last step whose statistic passes its critical value, so that several outliers
    cannot hide each other.

    Args:
        values: (…, n), each row a sample of its own.
        most: the largest number of outliers looked for, up to n − 2.
        alpha: chance of finding any in a row without one (about; see ``chance_of``).
        alternative: ``less`` and ``greater`` look on one side only, with all of ``alpha`` there.

    Raises:
        ValueError: fewer than 3 values, a ``most`` or ``alpha`` out of range, numbers that are not finite.

    Source: Rosner 1983, Technometrics 25, 165–172.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = sample.shape[-1] if sample.ndim else 0
    if n < 3 or not np.isfinite(sample).all():
        raise ValueError(f"outliers need samples of at least 3 finite values, not shape {sample.shape}")
    if not 1 <= most <= n - 2:
        raise ValueError(f"of {n} values between 1 and {n - 2} can be looked at as outliers, not {most}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, such as 0.05, not {alpha}")
    flat = sample.reshape(-1, n)
    rows, removed_at = np.arange(len(flat)), np.full(flat.shape, most)
    statistics = np.empty((len(flat), most))
    floor = _ROUNDING * np.abs(flat).max(axis=-1)
    for step in range(most):
        kept, left = removed_at == most, n - step
        mean = (flat * kept).sum(axis=-1) / left
        deviation = np.where(kept, flat - mean[:, None], 0.0)
        spread = np.sqrt((deviation**2).sum(axis=-1) / (left - 1))
        extreme = np.where(kept, _outward(deviation, alternative), -np.inf)
        furthest = extreme.argmax(axis=-1)
        removed_at[rows, furthest] = step
        statistics[:, step] = np.divide(extreme[rows, furthest], spread, out=np.zeros(len(flat)), where=spread > floor)
    critical = critical_values(n, most, alpha, alternative)
    number = np.where(statistics > critical, np.arange(1, most + 1), 0).max(axis=-1)
    outliers = (removed_at < number[:, None]).reshape(sample.shape)
    return EsdResult(outliers, statistics.reshape(*sample.shape[:-1], most), critical)


def _outward(deviation: Floats, alternative: Alternative) -> Floats:
    if alternative == "two-sided":
        return np.abs(deviation)
    return -deviation if alternative == "less" else deviation


def critical_values(n: int, most: int, alpha: float, alternative: Alternative) -> Floats:
    """(most,) critical values of the steps for samples of n (Rosner 1983, equation 2.5)."""
    from scipy.stats import t

    left = n - np.arange(most)
    sides = 2 if alternative == "two-sided" else 1
    quantile = t.ppf(1 - alpha / (sides * left), left - 2)
    return np.asarray((left - 1) * quantile / np.sqrt((left - 2 + quantile**2) * left))


@lru_cache(maxsize=64)
def chance_of(n: int, most: int, alpha: float, alternative: Alternative) -> tuple[float, ...]:
    """Chances that 0, 1, … ``most`` outliers are found in normal samples of n that have none.

    The critical values are approximations for small n, so these are simulated: always the
    same 20,000 samples, which makes the chances a function of the arguments.
    """
    rng, found = np.random.default_rng(19830501), np.zeros(most + 1)
    for _ in range(0, _SAMPLES, _CHUNK):
        result = generalized_esd(rng.standard_normal((_CHUNK, n)), most, alpha=alpha, alternative=alternative)
        found += np.bincount(result.outliers.sum(axis=-1), minlength=most + 1)
    return tuple((found / _SAMPLES).tolist())
