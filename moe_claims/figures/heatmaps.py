"""Heat maps of experts against experts: grids of small maps with a common scale, on a page of limited width."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from moe_claims.figures import style
from moe_claims.measure.measurement import Floats

_SIGNED, _RISING = "RdBu_r", "viridis"
_MATTERS = 0.1
"""If the lowest value is below minus this share of the highest, half of the colours are used for negative values."""
_UNSEEN = "#999999"
"""Colour of cells without a value, such as an expert's similarity to itself."""
_GAP, _LEFT, _BAR, _BOTTOM = 0.13, 0.95, 0.95, 0.4
_SIDES = ((10, 1.2), (20, 1.45), (72, 1.63), (136, 2.6))
"""(Largest number of experts, side of a map in inches)."""
_BESIDE = 0.22
"""Height of a map's title in inches."""


@final
@dataclass(frozen=True)
class Colours:
    """A colour scale."""

    map: str
    """Name of the matplotlib colour map."""
    low: float
    """Value at its lower end."""
    high: float
    """Value at its upper end."""
    label: str
    """Quantity and unit, for the colour bar."""

    def drawn(self, axis: Any, values: Floats, **options: Any) -> Any:
        """Draws (rows, columns) values as an image on an axis; NaN is grey. Returns the image."""
        import matplotlib as mpl

        colours = mpl.colormaps[self.map].with_extremes(bad=_UNSEEN)
        return axis.imshow(values, cmap=colours, vmin=self.low, vmax=self.high, origin="upper", **options)


def signed(values: Sequence[Floats], label: str) -> Colours:
    """A common scale: red and blue around a white 0 if negative values are large enough, else from about 0 upwards."""
    low, high = _ends(values)
    if low < -_MATTERS * high:
        most = style.rounded(max(-low, high))
        return Colours(_SIGNED, -most, most, label)
    return Colours(_RISING, min(0.0, low), style.rounded(high) or 1.0, label)


def rising(values: Sequence[Floats], label: str) -> Colours:
    """A common scale from the lowest to the highest value."""
    low, high = _ends(values)
    return Colours(_RISING, low, high if high > low else low + 1.0, label)


def _ends(values: Sequence[Floats]) -> tuple[float, float]:
    numbers = np.concatenate([np.ravel(array) for array in values])
    seen = numbers[np.isfinite(numbers)]
    return (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)


def without_self(similarity: Floats) -> Floats:
    """A copy of (…, n, n) similarities with NaN on the diagonal, where each is compared with itself."""
    others = np.array(similarity, dtype=np.float64)
    index = np.arange(others.shape[-1])
    others[..., index, index] = np.nan
    return others


@final
@dataclass(frozen=True, eq=False)
class Row:
    """A row of maps: the same quantity in several layers or for several tokens."""

    label: str
    """Quantity, at the left of the row."""
    maps: Sequence[Floats] | Floats
    """One (n, n) map per column, with experts on both axes."""
    colours: Colours
    last: str | None = None
    """Label of the last entry of both axes if it is no expert."""


def grid(title: str, name: str, rows: Sequence[Row], columns: Sequence[str], *, side: str = "expert") -> Any:
    """A figure with rows of maps; columns are wrapped to the width of the page, and each scale has a colour bar.

    Args:
        title: kind of figure.
        name: name of the model.
        rows: rows with one map per column.
        columns: headings of the columns.
        side: label of both axes of every map.
    """
    entries = max(row.maps[0].shape[0] for row in rows)
    size = _inches(entries)
    blocks = style.in_blocks(len(columns), columns_of_page(entries))
    widest = max(len(block) for block in blocks)
    tall = _BESIDE + len(rows) * (size + _GAP) + _BOTTOM
    width = max(_LEFT + widest * (size + _GAP) + _BAR, 5.2)
    figure = style.page(width, style.HEADING + len(blocks) * tall, title, name)
    shared = len({row.colours for row in rows}) == 1
    for number, block in enumerate(blocks):
        top = style.HEADING + number * tall + _BESIDE
        for line, row in enumerate(rows):
            upper = top + line * (size + _GAP)
            image = None
            for column, index in enumerate(block):
                axis = style.box(figure, _LEFT + column * (size + _GAP), upper, size, size)
                image = row.colours.drawn(axis, row.maps[index], interpolation=_sharp(row.maps[index], size))
                _label(axis, row, line == len(rows) - 1, column == 0, side)
                if line == 0:
                    axis.set_title(style.inert(columns[index], 22), fontsize=8, pad=3)
            if not shared or line == 0:
                high = len(rows) * (size + _GAP) - _GAP if shared else size
                bar = style.box(figure, _LEFT + len(block) * (size + _GAP), upper, 0.12, min(high, 3.2))
                figure.colorbar(image, cax=bar).set_label(row.colours.label, fontsize=7.5)
                bar.tick_params(labelsize=7)
    return figure


def columns_of_page(entries: int) -> int:
    """Number of maps of ``entries`` experts that fit side by side on a page."""
    return int((style.WIDTH - _LEFT - _BAR + _GAP) / (_inches(entries) + _GAP))


def _label(axis: Any, row: Row, lowest: bool, first: bool, side: str) -> None:
    count = row.maps[0].shape[0] - (row.last is not None)
    positions, labels = style.ticks(count, row.last)
    axis.tick_params(length=2, pad=1.5, labelsize=6.5)
    axis.set_xticks(positions, labels if lowest else [""] * len(labels))
    axis.set_yticks(positions, labels if first else [""] * len(labels))
    if lowest:
        axis.set_xlabel(side, fontsize=7, labelpad=1.5)
    if first:
        axis.set_ylabel(f"{row.label}\n{side}", fontsize=7.5, labelpad=2)
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)


def _inches(entries: int) -> float:
    """Side of a map in inches, by its number of entries."""
    return next((inches for most, inches in _SIDES if entries <= most), 3.6)


def _sharp(values: Floats, inches: float) -> str:
    """Interpolation of a map: none, unless there are more cells than pixels, which are then averaged."""
    return "nearest" if values.shape[0] <= 100 * inches else style.AVERAGED
