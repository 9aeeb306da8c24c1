"""Figure of a training: one small panel per claim with its effect over the steps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_claims.errors import UsageError
from moe_claims.figures.matplotlib_backend import pyplot
from moe_claims.report.trajectory import ClaimTrajectory

_COLUMNS = 6
_BOUND, _GREY = "#d55e00", "#999999"
_LOOKS = {
    # Colours of Okabe and Ito; verdicts also differ in shape and filling, so that colour is not needed.
    "replicated": ("o", "#0072b2", "#0072b2", "replicated"),
    "direction-only": ("o", "#0072b2", "white", "right direction, less than claimed"),
    "absent": ("s", "#555555", "white", "absent"),
    "inconclusive": (".", _GREY, _GREY, "inconclusive"),
    "contradicted": ("X", _BOUND, _BOUND, "contradicted"),
}


def draw(trajectories: Sequence[ClaimTrajectory], path: Path, *, title: str) -> None:
    """Writes the figure: effects with 95 % intervals over the logarithm of the step, marked by verdict.

    The dashed line is the smallest effect of interest, the dotted one the freshly initialised architecture.

    Raises:
        UsageError: matplotlib is not installed, or no claim has an effect.
    """
    plots = pyplot()
    from matplotlib.lines import Line2D

    shown = [
        trajectory for trajectory in trajectories if any(row["effect"]["value"] is not None for row in trajectory.rows)
    ]
    if not shown:
        raise UsageError("there is nothing to draw: no claim has an effect at any point")
    rows = math.ceil(len(shown) / _COLUMNS)
    figure, axes = plots.subplots(
        rows, _COLUMNS, figsize=(2.45 * _COLUMNS, 1.8 * rows + 0.9), sharex=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, one in zip(axes.flat, shown, strict=False):
        _panel(axis, one)
    marks = [
        Line2D([], [], linestyle="", marker=shape, color=edge, markerfacecolor=fill, label=label)
        for shape, edge, fill, label in _LOOKS.values()
    ]
    marks += [
        Line2D([], [], color=_BOUND, linestyle="--", linewidth=1, label="smallest effect of interest"),
        Line2D([], [], color=_GREY, linestyle=":", linewidth=1.2, label="random initialisation"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, frameon=False)
    figure.suptitle(f"{title}: effect of each claim over training steps, with 95 % intervals", fontsize=11)
    for axis in axes.flat[max(0, len(shown) - _COLUMNS) : len(shown)]:  # the lowest panel of each column
        axis.set_xlabel("training step", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plots.close(figure)


def _panel(axis: Any, one: ClaimTrajectory) -> None:
    known = [(step, row) for step, row in zip(one.steps, one.rows, strict=True) if row["effect"]["value"] is not None]
    effects = [row["effect"]["value"] for _, row in known]
    axis.plot([step for step, _ in known], effects, color="#cccccc", linewidth=0.8, zorder=1)
    for step, row in known:
        shape, edge, fill, _ = _LOOKS[row["verdict"]]
        effect = row["effect"]
        if effect["ci_low"] is not None:
            axis.plot([step, step], [effect["ci_low"], effect["ci_high"]], color=edge, linewidth=1, zorder=2)
        axis.plot([step], [effect["value"]], shape, color=edge, markerfacecolor=fill, markersize=4.5, zorder=3)
    axis.axhline(known[-1][1]["effect"]["smallest_of_interest"], color=_BOUND, linewidth=0.9, linestyle="--", zorder=0)
    fresh = known[-1][1]["controls"].get("random_init", {}).get("effect")
    if fresh is not None:
        axis.axhline(fresh, color=_GREY, linewidth=1.2, linestyle=":", zorder=0)
    low, high = min(effects), max(effects)
    reach = max(high - low, abs(known[-1][1]["effect"]["smallest_of_interest"]), 1e-6)
    # Some intervals are so wide that nothing else would be visible; they are cut at the frame.
    axis.set_ylim(low - reach, high + reach)
    axis.set_xscale(
        "symlog", linthresh=max(1, min((step for step, _ in known if step), default=1))
    )  # so that step 0 can be shown
    weight = "bold" if one.family == "headline" else "normal"
    axis.set_title(one.name.replace(" [", "\n["), fontsize=7.5, fontweight=weight)
    axis.tick_params(labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
