"""Geometry of forest plots: positions of the effects and intervals of one claim on one axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

Row = Mapping[str, Any]

WIDTH = 600.0
"""Width of the axis, in SVG units."""
LINE = 24.0
"""Height of one row, in SVG units."""
_REACH = 3
"""How far intervals may extend on each side beyond what the axis must hold, in units of that length."""
_TICKS = 6
"""Approximate maximum number of ticks."""


@final
@dataclass(frozen=True)
class Mark:
    """Positions of one row: its effect, its interval, and the paper's value for its model."""

    row: Row
    y: float
    effect: float
    low: float
    high: float
    cut_low: bool
    """Whether the interval is cut at the lower end of the axis."""
    cut_high: bool
    paper: float | None


@final
@dataclass(frozen=True)
class Forest:
    """Positions from 0 to ``WIDTH`` across, and from 0 to ``height`` down."""

    height: float
    none: float
    """Position of no effect."""
    smallest: float
    """Position of the smallest effect of interest, on the claimed side."""
    ticks: tuple[tuple[float, str], ...]
    """(Position, label) of each tick."""
    marks: tuple[Mark, ...]


def forest(rows: Sequence[Row]) -> Forest | None:
    """The plot of all rows that have an effect and an interval; None if no row has both.

    The axis holds all effects, no effect, the smallest effect of interest and the paper's values. Intervals may extend
    beyond these by three times that length on each side, and are cut there, so that one very wide interval does not
    make the others unreadable.
    """
    shown = [row for row in rows if row["effect"]["value"] is not None and row["effect"]["ci_low"] is not None]
    if not shown:
        return None
    smallest = shown[0]["effect"]["smallest_of_interest"]
    anchors = [0.0, smallest, *(row["effect"]["value"] for row in shown)]
    anchors += [row["published"]["value"] for row in shown if row["published"]]
    span = max(anchors) - min(anchors)
    low: float = max(min(anchors) - _REACH * span, min([*anchors, *(row["effect"]["ci_low"] for row in shown)]))
    high: float = min(max(anchors) + _REACH * span, max([*anchors, *(row["effect"]["ci_high"] for row in shown)]))
    margin = 0.03 * (high - low)
    low, high = low - margin, high + margin

    def at(value: float) -> float:
        return round(WIDTH * (min(max(value, low), high) - low) / (high - low), 2)

    marks = tuple(
        Mark(
            row,
            LINE * (index + 0.5),
            at(row["effect"]["value"]),
            at(row["effect"]["ci_low"]),
            at(row["effect"]["ci_high"]),
            row["effect"]["ci_low"] < low,
            row["effect"]["ci_high"] > high,
            at(row["published"]["value"]) if row["published"] else None,
        )
        for index, row in enumerate(shown)
    )
    return Forest(LINE * len(shown), at(0.0), at(smallest), _ticks(low, high, at), marks)


def _ticks(low: float, high: float, at: Any) -> tuple[tuple[float, str], ...]:
    """Ticks at multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    decimals = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step), math.floor(high / step)
    return tuple((at(i * step), f"{i * step:.{decimals}f}".replace("-", "−")) for i in range(first, last + 1))
