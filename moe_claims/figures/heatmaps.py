"""Heat maps of experts against experts: grids of small ones that share a scale, on a page of bounded size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from moe_claims.figures import style
from moe_claims.measure.measurement import Floats

_SIGNED, _RISING = "RdBu_r", "viridis"
_MATTERS = 0.1
"""Share of the highest value from which on a negative one is worth half of the colours."""
_UNSEEN = "#999999"
"""Of cells without a value, such as an expert's similarity to itself."""
_GAP, _LEFT, _BAR, _BOTTOM = 0.13, 0.95, 0.95, 0.4
_SIDES = ((10, 1.2), (20, 1.45), (72, 1.63), (136, 2.6))
"""Up to so many experts, so many inches."""
_BESIDE = 0.22
"""Inches of a map's title."""


@final
@dataclass(frozen=True)
class Colours:
    """What a colour stands for."""

    map: str
    low: float
    high: float
    label: str
    """Quantity and unit, for the colour bar."""

    def drawn(self, axis: Any, values: Floats, **options: Any) -> Any:
        """The values as an image on an axis; NaN is grey."""
        import matplotlib as mpl

        colours = mpl.colormaps[self.map].with_extremes(bad=_UNSEEN)
        return axis.imshow(values, cmap=colours, vmin=self.low, vmax=self.high, origin="upper", **options)


def signed(values: Sequence[Floats], label: str) -> Colours:
    """A scale for all of them: red and blue around a white 0 where negative ones matter, else from about 0 upwards."""
    low, high = _ends(values)
    if low < -_MATTERS * high:
        most = style.rounded(max(-low, high))
        return Colours(_SIGNED, -most, most, label)
    return Colours(_RISING, min(0.0, low), style.rounded(high) or 1.0, label)


def rising(values: Sequence[Floats], label: str) -> Colours:
    """A scale for all of them, from the lowest to the highest."""
    low, high = _ends(values)
    return Colours(_RISING, low, high if high > low else low + 1.0, label)


def _ends(values: Sequence[Floats]) -> tuple[float, float]:
    numbers = np.concatenate([np.ravel(array) for array in values])
    seen = numbers[np.isfinite(numbers)]
    return (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)


def without_self(similarity: Floats) -> Floats:
    """(…, n, n) similarities → the same with NaN on the diagonal, where each is compared with itself."""
    others = np.array(similarity, dtype=np.float64)
    index = np.arange(others.shape[-1])
    others[..., index, index] = np.nan
    return others


@final
@dataclass(frozen=True, eq=False)
class Row:
    """Maps side by side: the same quantity in several layers, or of several tokens."""

    label: str
    maps: Sequence[Floats] | Floats
    """One per column, (n, n), experts on both axes."""
    colours: Colours
    last: str | None = None
    """Label of the last row and column, where it is no expert."""


def grid(title: str, name: str, rows: Sequence[Row], columns: Sequence[str], *, side: str = "expert") -> Any:
    """A page of maps: rows as given, columns wrapped into blocks as wide as the page, a colour bar for each scale.

    Args:
        title: kind of figure.
        name: of the model.
        rows: as many maps each as there are columns.
        columns: heading of each column.
        side: what stands on both axes of every map.
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
        for place, row in enumerate(rows):
            upper = top + place * (size + _GAP)
            image = None
            for column, index in enumerate(block):
                axis = style.box(figure, _LEFT + column * (size + _GAP), upper, size, size)
                image = row.colours.drawn(axis, row.maps[index], interpolation=_sharp(row.maps[index], size))
                _label(axis, row, place == len(rows) - 1, column == 0, side)
                if place == 0:
                    axis.set_title(style.inert(columns[index], 22), fontsize=8, pad=3)
            if not shared or place == 0:
                high = len(rows) * (size + _GAP) - _GAP if shared else size
                bar = style.box(figure, _LEFT + len(block) * (size + _GAP), upper, 0.12, min(high, 3.2))
                figure.colorbar(image, cax=bar).set_label(row.colours.label, fontsize=7.5)
                bar.tick_params(labelsize=7)
    return figure


def columns_of_page(entries: int) -> int:
    """How many maps of so many experts a page holds side by side."""
    return int((style.WIDTH - _LEFT - _BAR + _GAP) / (_inches(entries) + _GAP))


def _label(axis: Any, row: Row, lowest: bool, first: bool, side: str) -> None:
    count = row.maps[0].shape[0] - (row.last is not None)
    places, labels = style.ticks(count, row.last)
    axis.tick_params(length=2, pad=1.5, labelsize=6.5)
    axis.set_xticks(places, labels if lowest else [""] * len(labels))
    axis.set_yticks(places, labels if first else [""] * len(labels))
    if lowest:
        axis.set_xlabel(side, fontsize=7, labelpad=1.5)
    if first:
        axis.set_ylabel(f"{row.label}\n{side}", fontsize=7.5, labelpad=2)
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)


def _inches(entries: int) -> float:
    """Side of a map: large enough for its cells, and no larger."""
    return next((inches for most, inches in _SIDES if entries <= most), 3.6)


def _sharp(values: Floats, inches: float) -> str:
    """Cells keep their edges, unless there are more of them than dots: then neighbours are averaged, none dropped."""
    return "nearest" if values.shape[0] <= 100 * inches else "auto"
