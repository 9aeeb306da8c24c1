"""Geometry of null strips: a null distribution as bands between quantiles, with its median and the observed value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

WIDTH = 160.0
_ENDS = (0.005, 0.995)
"""Quantile levels at the ends of the strip; up to the extremes of all draws, the rest would be too small to see."""
_BANDS = ((0.025, 0.975), (0.1, 0.9), (0.3, 0.7))
"""Quantile levels of the lower and upper end of each band, wider bands first."""


@final
@dataclass(frozen=True)
class NullStrip:
    """Positions of one strip, from 0 to ``WIDTH``."""

    low: float
    high: float
    bands: tuple[tuple[float, float], ...]
    """(Position, width) of the bands that hold the middle 95, 80 and 40 %."""
    median: float
    observed: float
    axis: str | None
    """Name of the statistic on the axis; None if it is the effect."""
    said: str
    """The same in words, with the method that generated the null."""


def null_strip(null: Mapping[str, Any] | None) -> NullStrip | None:
    """The strip of a row's ``null_distribution``; None if the row has none."""
    if null is None:
        return None
    quantiles = dict(zip(null["levels"], null["quantiles"], strict=True))
    observed = null["observed"]
    ends = [quantiles[level] for level in _ENDS]
    low: float = min(observed, ends[0])
    high: float = max(observed, ends[1])
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(2 + (WIDTH - 4) * (value - low) / span, 2)

    return NullStrip(
        at(ends[0]),
        at(ends[1]),
        tuple((at(quantiles[a]), round(at(quantiles[b]) - at(quantiles[a]), 2)) for a, b in _BANDS),
        at(quantiles[0.5]),
        at(observed),
        None if null["is_effect"] else null["statistic"],
        _said(null, quantiles),
    )


def _said(null: Mapping[str, Any], quantiles: Mapping[float, float]) -> str:
    made = "" if null["draws"] is None else f", {null['draws']:,} {'arrangements' if null['exact'] else 'draws'}"
    worst = (
        f"; of {null['of_tests']} tests that must all reject, the one with the largest p"
        if null["of_tests"] > 1
        else ""
    )
    return (
        f"{null['statistic']}: observed {null['observed']:.3g}; by chance {quantiles[0.5]:.3g} in the middle, and "
        f"{quantiles[0.025]:.3g} to {quantiles[0.975]:.3g} in 95 of 100 cases ({null['method']}{made}{worst})"
    )
