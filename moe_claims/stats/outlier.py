"""Whether the last layer breaks with the trend of the others."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, test_against
from moe_claims.stats.trend import (
    FEWEST_LAYERS,
    ROUNDING,
    block_draws,
    corrected_phi,
    null_curves,
    percentile_intervals,
)
from moe_claims.types import Interval


@final
@dataclass(frozen=True, eq=False)
class OutlierResult:
    """The last layer against the line through the others."""

    residual: float
    """Last value less what the line predicts for its layer, in units of the values."""
    in_mads: float
    """The residual in median absolute deviations of the others' residuals."""
    studentised: TestResult
    """Externally studentised residual against AR(1) curves without an outlier; this test decides."""
    phi: float
    """Corrected lag-one autocorrelation of the other layers' residuals."""
    conformal_p: float
    """Rank of the last layer among all leave-one-out residuals; cannot go below 1/L."""


def _line(values: Floats) -> tuple[Floats, Floats]:
    """Least squares through all but the last of (…, n): residuals (…, n − 1), and the last's residual (…)."""
    others = np.arange(values.shape[-1] - 1)
    centre = others.mean()
    spread = ((others - centre) ** 2).sum()
    mean = values[..., :-1].mean(axis=-1, keepdims=True)
    slope = (values[..., :-1] * (others - centre)).sum(axis=-1, keepdims=True) / spread
    left = values[..., :-1] - mean - slope * (others - centre)
    last = values[..., -1] - mean[..., 0] - slope[..., 0] * (values.shape[-1] - 1 - centre)
    return np.asarray(left), np.asarray(last)


def studentised_last(values: ArrayLike) -> Floats:
    """(…, n) series → (…) externally studentised residual of the last value.

    The line and its error come from the other n − 1 values alone; the last one's residual
    is divided by its prediction error. Others that lie on a line but for rounding have
    rounding as their error, so that a jump from them is large and finite.
    """
    series = np.asarray(values, dtype=np.float64)
    left, last = _line(series)
    n = series.shape[-1] - 1
    index = np.arange(n)
    leverage = 1 / n + (n - index.mean()) ** 2 / ((index - index.mean()) ** 2).sum()
    error = np.sqrt((left**2).sum(axis=-1) / (n - 2) * (1 + leverage))
    return _ratio(last, error, series)


def _ratio(last: Floats, spread: Floats, series: Floats) -> Floats:
    """Residual over spread, no spread taken to be less than rounding; 0 for a series of zeros."""
    floor = np.maximum(spread, ROUNDING * np.abs(series).max(axis=-1))
    return np.asarray(np.divide(last, floor, out=np.zeros_like(last), where=floor > 0))


def others_mad(values: ArrayLike) -> Floats:
    """(…, n) series → (…) median absolute deviation of all but the last from the line through them."""
    left, _ = _line(np.asarray(values, dtype=np.float64))
    return np.asarray(np.median(np.abs(left - np.median(left, axis=-1, keepdims=True)), axis=-1))


def residual_in_mads(values: ArrayLike) -> Floats:
    """(…, n) series → (…) the last residual over the median absolute deviation of the others."""
    series = np.asarray(values, dtype=np.float64)
    return _ratio(_line(series)[1], others_mad(series), series)


def _conformal(values: Floats) -> float:
    """Share of layers whose residual from the line through all the others is at least the last one's."""
    n = len(values)
    index = np.arange(n)
    left_out = np.empty(n)
    for layer in range(n):
        keep = index != layer
        slope, intercept = np.polyfit(index[keep], values[keep], 1)
        left_out[layer] = values[layer] - intercept - slope * layer
    return float((left_out >= left_out[-1] - ROUNDING * np.abs(values).max()).mean())


def last_layer(values: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> OutlierResult:
    """Whether the last layer lies off the line through the others.

    Args:
        values: (L,) one value per layer, the last included.
        rng: seeded generator.
        resamples: AR(1) curves.

    Raises:
        ValueError: fewer than 6 layers, or numbers that are not finite.

    Source: Cook and Weisberg 1982, section 2.2.1; conformal rank: Vovk, Gammerman and Shafer 2005.
    """
    series = _checked(values)
    phi = corrected_phi(series[:-1])
    curves = null_curves(series[:-1], len(series), resamples, rng)
    return OutlierResult(
        residual=float(_line(series)[1]),
        in_mads=float(residual_in_mads(series)),
        studentised=test_against(float(studentised_last(series)), studentised_last(curves), exact=False),
        phi=phi,
        conformal_p=_conformal(series),
    )


def _checked(values: ArrayLike) -> Floats:
    series: Floats = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) <= FEWEST_LAYERS or not np.isfinite(series).all():
        raise ValueError(f"a last layer needs {FEWEST_LAYERS} others with finite values, not shape {series.shape}")
    return series


def block_bootstrap_in_mads(
    values: ArrayLike, *, rng: np.random.Generator, levels: tuple[float, ...] = (0.95, 0.90), resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Percentile intervals of ``residual_in_mads``: blocks of the other layers drawn with replacement.

    The line and the deviations are those of the drawn layers, each with its depth; the
    last layer stays. Draws that leave no deviation (too few different layers) are left out.

    Raises:
        ValueError: fewer than 6 layers, numbers that are not finite, or no draw is left,
            because the other layers lie on one line.
    """
    series = _checked(values)
    n = len(series) - 1
    x = block_draws(n, resamples, rng)
    y = series[x]
    centred = x - x.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    kept = spread > 0
    centred, y, spread, x = centred[kept], y[kept], spread[kept], x[kept]
    slope = (centred * y).sum(axis=1) / spread
    mean = y.mean(axis=1)
    left = y - mean[:, None] - slope[:, None] * centred
    deviation = np.abs(left - np.median(left, axis=1, keepdims=True))
    mad = np.median(deviation, axis=1)
    last = series[-1] - mean - slope * (n - x.mean(axis=1))
    usable = mad > ROUNDING * np.abs(series).max()
    if not usable.any():
        raise ValueError("the other layers lie on one line, so their deviations give no unit")
    return percentile_intervals(last[usable] / mad[usable], levels, "block bootstrap over the other layers")
