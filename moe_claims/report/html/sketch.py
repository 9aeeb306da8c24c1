"""A null distribution in a strip: bands between its quantiles, its median, and what was observed. Geometry only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

WIDTH = 160.0
_BANDS = ((0.025, 0.975), (0.1, 0.9), (0.3, 0.7))
"""Levels of the lower and the upper end, the wider bands first."""


@final
@dataclass(frozen=True)
class Sketch:
    """Positions from 0 to ``WIDTH``."""

    low: float
    """Lowest quantile that is known."""
    high: float
    bands: tuple[tuple[float, float], ...]
    """Position and width of the middle 95, 80 and 40 %."""
    median: float
    observed: float
    said: str
    """The same in words."""


def sketch(null: Mapping[str, Any] | None) -> Sketch | None:
    """The strip of a null distribution as results hold it; None where there is none."""
    if null is None:
        return None
    quantiles = dict(zip(null["levels"], null["quantiles"], strict=True))
    observed = null["observed"]
    low: float = min(observed, *quantiles.values())
    high: float = max(observed, *quantiles.values())
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(2 + (WIDTH - 4) * (value - low) / span, 2)

    bands = tuple((at(quantiles[a]), round(at(quantiles[b]) - at(quantiles[a]), 2)) for a, b in _BANDS)
    said = (
        f"{null['statistic']}: observed {observed:.3g}; by chance {quantiles[0.5]:.3g} in the middle, and "
        f"{quantiles[0.025]:.3g} to {quantiles[0.975]:.3g} in 95 of 100 cases"
    )
    ends = min(quantiles.values()), max(quantiles.values())
    return Sketch(at(ends[0]), at(ends[1]), bands, at(quantiles[0.5]), at(observed), said)
