"""Trend over depth: Kendall's τ against smooth curves without one, and Theil–Sen's line.

Neighbouring layers are alike. A plain permutation of the layers takes every smooth
wandering for a trend, so the deciding null is an AR(1) curve whose φ is estimated on the
data, corrected for the bias that short series have, and allowed to be as uncertain as it is.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, all_relabelings, enumerable, test_against
from moe_claims.types import Interval

FEWEST_LAYERS = 5
"""Below this the AR(1) bootstrap cannot tell a trend from anything."""
_GRID = np.linspace(0.0, 0.98, 25)
_CURVES = 1_000
ROUNDING = 1e-12
"""Differences below this share of the largest value are no differences."""


@final
@dataclass(frozen=True, eq=False)
class TrendResult:
    """Trend of one value per layer."""

    tau: float
    """Kendall's τ_b between depth and value."""
    slope: float
    """Theil–Sen slope per layer, in units of the values."""
    change: float
    """Theil–Sen slope times the distance from first to last layer of the trend."""
    phi: float
    """Lag-one autocorrelation of the residuals, corrected for small-sample bias."""
    autoregressive: TestResult
    """τ against AR(1) curves without trend. This test decides; its smallest p is that of τ = ±1 under them."""
    permutation: TestResult
    """τ against layers in random order: too lenient where neighbours are alike, and shown for comparison."""
    mann_kendall: float
    """Two-sided p of the Mann–Kendall normal approximation: as lenient, and shown for comparison."""


def kendall_tau(values: ArrayLike) -> Floats:
    """(…, n) series → (…) Kendall's τ_b with their index, ties in the values allowed."""
    rises, falls = _rises_and_falls(np.asarray(values, dtype=np.float64))
    pairs = np.shape(values)[-1] * (np.shape(values)[-1] - 1) // 2
    scale = np.sqrt((rises + falls) * pairs)
    return np.asarray(np.divide(rises - falls, scale, out=np.zeros_like(scale), where=scale > 0))


def _rises_and_falls(series: Floats) -> tuple[Floats, Floats]:
    """(…, n) → pairs (…) whose later value is higher, and lower; the others tie but for rounding."""
    first, second = np.triu_indices(series.shape[-1], 1)
    steps = series[..., second] - series[..., first]
    slack = ROUNDING * np.abs(series).max(axis=-1, keepdims=True)
    return (steps > slack).sum(axis=-1).astype(np.float64), (steps < -slack).sum(axis=-1).astype(np.float64)


def theil_sen(values: ArrayLike) -> tuple[Floats, Floats]:
    """(…, n) series → slopes and intercepts (…): medians of pair slopes and of what they leave."""
    series = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(series.shape[-1], 1)
    slope = np.median((series[..., second] - series[..., first]) / (second - first), axis=-1)
    index = np.arange(series.shape[-1])
    return np.asarray(slope), np.asarray(np.median(series - slope[..., None] * index, axis=-1))


def residuals(values: ArrayLike) -> Floats:
    """(…, n) series less their Theil–Sen line; 0 where only rounding is left."""
    series = np.asarray(values, dtype=np.float64)
    slope, intercept = theil_sen(series)
    left = series - intercept[..., None] - slope[..., None] * np.arange(series.shape[-1])
    left[np.abs(left) <= ROUNDING * np.abs(series).max(axis=-1, keepdims=True)] = 0.0
    return np.asarray(left)


def lag_one(errors: Floats) -> Floats:
    """(…, n) → (…) lag-one autocorrelation, 0 for a series that does not vary."""
    centred = errors - errors.mean(axis=-1, keepdims=True)
    scale = (centred**2).sum(axis=-1)
    product = (centred[..., 1:] * centred[..., :-1]).sum(axis=-1)
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 1e-300))


def ar1(phi: float | Floats, count: int, length: int, rng: np.random.Generator) -> Floats:
    """(count, length) stationary AR(1) curves with unit innovations; ``phi`` one for all, or (count,)."""
    curves = rng.standard_normal((count, length))
    curves[:, 0] /= np.sqrt(1 - np.square(phi))
    for step in range(1, length):
        curves[:, step] += phi * curves[:, step - 1]
    return curves


@lru_cache(maxsize=128)
def _estimates_of(length: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the estimate of φ on curves of this length, for every φ of the grid.

    Always the same simulated curves, so that the correction is a function of its input.
    """
    rng = np.random.default_rng(20070401)
    found = [lag_one(residuals(ar1(phi, _CURVES, length, rng))) for phi in _GRID]
    return np.maximum.accumulate([f.mean() for f in found]), np.asarray([f.std() for f in found])


def corrected_phi(values: ArrayLike) -> float:
    """φ of the AR(1) curve around a series' trend, its small-sample bias inverted, in [0, 0.98].

    A negative estimate becomes 0: the null stays at least as wide as independence.
    """
    series = np.asarray(values, dtype=np.float64)
    mean, _ = _estimates_of(len(series))
    return float(np.interp(float(lag_one(residuals(series))), mean, _GRID))


def null_curves(values: ArrayLike, length: int, resamples: int, rng: np.random.Generator) -> Floats:
    """(resamples, length) AR(1) curves without trend that are as smooth as a series may be.

    A dozen layers say little about φ, and a null with the one best φ is too narrow: at 11
    layers and φ = 0.7 it rejects 2 % at a level of 0.4 %. So every curve draws its own φ,
    as likely as it makes the series' estimate (normal, with the mean and spread that the
    estimate has for that φ); that rejects 0.4 %, and finds trends more often at 5 %.
    """
    series = np.asarray(values, dtype=np.float64)
    mean, spread = _estimates_of(len(series))
    fit = -0.5 * ((float(lag_one(residuals(series))) - mean) / spread) ** 2 - np.log(spread)
    weight = np.exp(fit - fit.max())
    return ar1(rng.choice(_GRID, size=resamples, p=weight / weight.sum()), resamples, length, rng)


def trend(values: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> TrendResult:
    """Whether a value rises or falls with depth.

    Args:
        values: (n,) one value per layer, in order of depth.
        rng: seeded generator.
        resamples: AR(1) curves, and random orders (all orders of up to 8 layers instead).

    Raises:
        ValueError: fewer than 5 layers, or numbers that are not finite.

    Source: Mann 1945; Kendall 1975; Sen 1968; the bias of φ: Marriott and Pope 1954.
    """
    from scipy.stats import norm

    series = _checked(values)
    n = len(series)
    tau = float(kendall_tau(series))
    slope = float(theil_sen(series)[0])
    phi = corrected_phi(series)
    curves = null_curves(series, n, resamples, rng)
    exact = enumerable(n, 1)
    orders = series[all_relabelings(n)] if exact else rng.permuted(np.broadcast_to(series, (resamples, n)), axis=1)
    rises, falls = _rises_and_falls(series)
    score = float(rises - falls)
    tied = np.unique(series, return_counts=True)[1]
    variance = (n * (n - 1) * (2 * n + 5) - float((tied * (tied - 1) * (2 * tied + 5)).sum())) / 18
    z = (score - np.sign(score)) / np.sqrt(variance) if variance > 0 else 0.0
    return TrendResult(
        tau=tau,
        slope=slope,
        change=slope * (n - 1),
        phi=phi,
        autoregressive=_against_curves(tau, kendall_tau(curves)),
        permutation=test_against(tau, kendall_tau(orders), exact=exact),
        mann_kendall=float(2 * norm.sf(abs(z))),
    )


def _checked(values: ArrayLike) -> Floats:
    series: Floats = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or len(series) < FEWEST_LAYERS or not np.isfinite(series).all():
        raise ValueError(f"a trend needs at least {FEWEST_LAYERS} finite layer values, not shape {series.shape}")
    return series


def _against_curves(tau: float, null: Floats) -> TestResult:
    """τ is discrete: even a curve that falls all the way has a chance that few layers do not make small."""
    best = min(
        test_against(1.0, null, exact=False).p_greater,
        test_against(-1.0, null, exact=False).p_less,
    )
    return replace(test_against(tau, null, exact=False), smallest_p=best)


def block_bootstrap_tau(
    values: ArrayLike, *, rng: np.random.Generator, levels: tuple[float, ...] = (0.95, 0.90), resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Percentile intervals of τ_b: blocks of neighbouring layers drawn with replacement.

    A drawn layer keeps its depth and its value (pairs, not residuals: no line is assumed),
    so that layers drawn twice are tied in both.

    Raises:
        ValueError: fewer than 5 layers, or numbers that are not finite.
    """
    series = _checked(values)
    layers = block_draws(len(series), resamples, rng)
    return percentile_intervals(tau_of_pairs(layers, series[layers]), levels, "block bootstrap over layers")


def tau_of_pairs(x: NDArray[np.integer[Any]], y: Floats) -> Floats:
    """(B, n) twice → (B,) Kendall's τ_b, ties (up to rounding) allowed on both sides."""
    first, second = np.triu_indices(y.shape[-1], 1)
    steps, slack = y[:, second] - y[:, first], ROUNDING * np.abs(y).max()
    dx, dy = np.sign(x[:, second] - x[:, first]), np.sign(np.where(np.abs(steps) > slack, steps, 0.0))
    scale = np.sqrt(np.abs(dx).sum(axis=-1) * np.abs(dy).sum(axis=-1))
    total = (dx * dy).sum(axis=-1)
    return np.asarray(np.divide(total, scale, out=np.zeros_like(scale), where=scale > 0))


def block_draws(length: int, resamples: int, rng: np.random.Generator) -> NDArray[np.integer[Any]]:
    """(resamples, length) indices: random blocks of n^(1/3) neighbours, rounded up (Künsch 1989)."""
    block = int(np.ceil(length ** (1 / 3)))
    starts = rng.integers(0, length - block + 1, size=(resamples, -(-length // block)))
    return np.asarray((starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :length])


def percentile_intervals(draws: Floats, levels: tuple[float, ...], method: str) -> tuple[Interval, ...]:
    """Percentile intervals of bootstrap draws, one per level."""
    ends = [np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2]) for level in levels]
    return tuple(
        Interval(float(low), float(high), level, method) for (low, high), level in zip(ends, levels, strict=True)
    )
