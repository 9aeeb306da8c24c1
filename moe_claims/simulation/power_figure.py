"""Figure of the power curves: one small panel per claim."""

import math
from collections.abc import Sequence
from pathlib import Path

from moe_claims.figures.matplotlib_backend import pyplot
from moe_claims.judge.claim import key_of
from moe_claims.simulation.power import WANTED, Curve

_COLUMNS = 6
_LINE, _BOUND, _GREY = "#0072b2", "#d55e00", "#999999"
"""Blue and vermilion of Okabe and Ito, which colour-blind readers can tell apart, and grey."""


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Writes the figure of power over the mean effect; dashed lines are the smallest effect and the desired power.

    Raises:
        UsageError: matplotlib is not installed.
    """
    plots = pyplot()
    rows = math.ceil(len(curves) / _COLUMNS)
    figure, axes = plots.subplots(rows, _COLUMNS, figsize=(2.3 * _COLUMNS, 1.75 * rows), sharey=True)
    for axis in axes.flat[len(curves) :]:
        axis.axis("off")
    for axis, one in zip(axes.flat, curves, strict=False):
        effects = [point.effect for point in one.points]
        shares = [100 * point.found.share for point in one.points]
        axis.axhline(100 * WANTED, color=_GREY, linewidth=0.6, linestyle=":")
        axis.axvline(one.claim.smallest, color=_BOUND, linewidth=1, linestyle="--")
        axis.plot(effects, shares, color=_LINE, marker="o", markersize=3, linewidth=1.2)
        axis.set_title(key_of(one.claim.id, one.variant).replace("[", "\n["), fontsize=7.5)
        axis.set_ylim(-4, 104)
        axis.tick_params(labelsize=7)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.supxlabel(
        "mean effect on planted models of growing strength; dashed: smallest effect of interest", fontsize=9
    )
    figure.supylabel("found, % of models; dotted: 80 %", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plots.close(figure)
