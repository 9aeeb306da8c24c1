"""Heat maps with a row for every MoE layer and a column for every expert."""

from collections.abc import Sequence
from typing import Any

from moe_claims.figures import style
from moe_claims.figures.heatmaps import Colours
from moe_claims.measure.measurement import Floats, Integers

_WIDTH, _LEFT, _GAP = 4.2, 0.7, 1.75
_LOWEST, _HIGHEST = 1.6, 6.0
"""Smallest and largest height of a map in inches."""


def side_by_side(title: str, name: str, layers: Integers, panels: Sequence[tuple[str, Floats, Colours]]) -> Any:
    """A figure with (L, E) maps side by side.

    Args:
        title: kind of figure.
        name: name of the model.
        layers: (L,) indices of the layers.
        panels: (heading, values, colour scale) of each map.
    """
    high = min(_HIGHEST, max(_LOWEST, 0.18 * len(layers)))
    width = _LEFT + len(panels) * (_WIDTH + _GAP) - 0.55
    figure = style.page(width, style.HEADING + high + 0.85, title, name)
    for column, (heading, values, colours) in enumerate(panels):
        left, top = _LEFT + column * (_WIDTH + _GAP), style.HEADING + 0.25
        axis = style.box(figure, left, top, _WIDTH, high)
        interpolation = "nearest" if values.shape[1] <= 400 else style.AVERAGED
        image = colours.drawn(axis, values, aspect="auto", interpolation=interpolation)
        axis.set_title(heading)
        positions, labels = style.ticks(values.shape[1])
        axis.set_xticks(positions, labels)
        axis.set_xlabel("expert")
        rows, _ = style.ticks(len(layers), most=16)
        axis.set_yticks(rows, [str(layers[row]) for row in rows])
        axis.set_ylabel("layer")
        bar = style.box(figure, left + _WIDTH + 0.12, top, 0.12, min(high, 3.2))
        figure.colorbar(image, cax=bar).set_label(colours.label, fontsize=7.5)
        bar.tick_params(labelsize=7)
    return figure
