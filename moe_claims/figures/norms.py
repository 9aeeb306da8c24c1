"""Figures of output norms and router scores, by token and as counts of their ranks (paper, section 5.2)."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np

from moe_claims.figures import heatmaps, style
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.measure.measurement import Floats
from moe_claims.packs.look_into_moes.audits.figure_10 import figure10_counts
from moe_claims.packs.look_into_moes.paper import published

MOST_TOKENS = 12
_MAP, _SCATTER, _GAP = 4.3, 2.3, 0.5
_REACH = 3
"""The colours cover at least this power of two on both sides of chance; rarer cells have the lowest colour."""
_FAR = 30
"""Scores whose range exceeds this factor are drawn on a logarithmic axis; on a shorter one it would have no labels."""
_WRITTEN = 10
"""Largest number of ranks for which the share is written into every cell."""


def scores(logits: Floats) -> Floats:
    """(…, E) router logits → (…, E) softmax over all experts, whatever the model does with its scores."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def by_token(subject: Subject) -> Drawing:
    """Per layer, maps of norms and scores (tokens × experts, chosen experts marked), and scores plotted over norms."""
    read = measured_part(subject.short)
    routed, words = read.routed, read.words[:MOST_TOKENS]
    high = max(1.0, 0.15 * len(words))
    rows, left = len(subject.layers), 1.15
    width = left + 2 * (_MAP + _GAP) + 0.55 + _SCATTER + 0.4
    figure = style.page(
        width,
        style.HEADING + rows * (high + 0.62) + 0.25,
        "Output norms and router scores, token by token",
        subject.name,
    )
    for row, (layer, index) in enumerate(zip(subject.layers, subject.indices(routed.layers), strict=True)):
        norms, share = routed.output_norms[index, : len(words)], scores(routed.router_logits[index, : len(words)])
        chosen, top = routed.chosen[index, : len(words)], style.HEADING + 0.25 + row * (high + 0.62)
        for column, (values, what) in enumerate(((norms, "output norm"), (share, "softmax score"))):
            axis = style.box(figure, left + column * (_MAP + _GAP), top, _MAP, high)
            _token_map(figure, axis, values, chosen, what)
            axis.set_yticks(
                range(len(words)), [style.inert(word, 14) for word in words] if column == 0 else [""] * len(words)
            )
            axis.set_title(f"layer {layer}: {what}", fontsize=8, pad=3)
        axis = style.box(figure, left + 2 * (_MAP + _GAP) + 0.55, top, _SCATTER, high)
        _against(axis, norms, share, chosen)
        if row == 0:
            axis.legend(
                loc="lower right",
                bbox_to_anchor=(1.06, 1.02),
                ncols=2,
                fontsize=7,
                handletextpad=0.1,
                columnspacing=0.8,
            )
    tokens = routed.router_logits.shape[1]
    left_out = () if tokens == len(words) else (f"The first {len(words)} of {tokens} tokens are shown.",)
    return Drawing(figure, (style.named(subject.layers, len(routed.layers)), *left_out))


def _token_map(figure: Any, axis: Any, values: Floats, chosen: Any, what: str) -> None:
    colours = replace(heatmaps.rising([values], what), map="viridis" if what == "output norm" else "cividis")
    image = colours.drawn(axis, values, aspect="auto", interpolation="nearest")
    experts = values.shape[1]
    size = 16 if experts <= 16 else 5
    row = np.repeat(np.arange(len(values)), chosen.shape[1])
    axis.scatter(chosen.ravel(), row, marker="o", s=size, facecolors="white", edgecolors="black", linewidths=0.5)
    positions, labels = style.ticks(experts)
    axis.set_xticks(positions, labels)
    axis.tick_params(length=2, pad=1.5, labelsize=6.5)
    axis.set_xlabel("expert", fontsize=7, labelpad=1)
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.015)
    bar.ax.tick_params(labelsize=6.5)


def _against(axis: Any, norms: Floats, share: Floats, chosen: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    is_chosen = np.zeros(norms.shape, dtype=bool)
    np.put_along_axis(is_chosen, chosen.astype(np.int64), True, axis=1)
    options = {"s": 9, "linewidths": 0.6}
    axis.scatter(
        norms[~is_chosen], share[~is_chosen], facecolors="none", edgecolors=style.BLUE, label="not chosen", **options
    )
    axis.scatter(norms[is_chosen], share[is_chosen], color=style.VERMILION, marker="^", label="chosen", **options)
    axis.yaxis.set_major_locator(MaxNLocator(5))
    if share.max() > _FAR * share.min() > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")  # the default formatter writes formulas
        axis.minorticks_off()
    axis.set_xlabel("output norm", fontsize=7, labelpad=1)
    axis.yaxis.set_label_position("right")
    axis.set_ylabel("softmax score", fontsize=7, labelpad=2)
    axis.tick_params(length=2, pad=1.5, labelsize=6.5)


def rank_counts(subject: Subject) -> Drawing:
    """Counts of norm rank against score rank, summed over layers, beside the bars published for Mixtral."""
    routed = measured_part(subject.text).routed
    ours = routed.rank_counts().sum(axis=0).T.astype(np.float64)  # rows are norm ranks, as in the paper
    theirs = figure10_counts(published())
    panels = [
        (subject.name, ours, f"{int(ours.sum()) // len(ours):,} tokens × layers"),
        (
            "Mixtral 8x7B as published",
            theirs,
            f"about {theirs.sum() / len(theirs):,.0f} tokens × layers, read from bars",
        ),
    ]
    shares = [counts / counts.sum(axis=1, keepdims=True) for _, counts, _ in panels]
    logs = [_log_over_chance(share) for share in shares]
    most = max(_REACH, *(ceil(float(log.max())) for log in logs))
    side, left = 3.6, 0.75
    figure = style.page(
        left + 2 * side + 1.9,
        style.HEADING + side + 1.05,
        "Rank of output norm against rank of router score",
        subject.name,
    )
    colours = heatmaps.Colours("RdBu_r", -most, most, "how often, relative to chance")
    for column, ((name, _, of), share, log) in enumerate(zip(panels, shares, logs, strict=True)):
        axis = style.box(figure, left + column * (side + 0.75), style.HEADING + 0.4, side, side)
        image = colours.drawn(axis, np.maximum(log, -most), interpolation="nearest")
        axis.set_title(f"{style.inert(name, 44)}\n{of}", fontsize=8)
        _rank_axis(axis, len(share))
        if len(share) <= _WRITTEN:
            _write_shares(axis, share, log, most)
    bar = style.box(figure, left + 2 * side + 0.9, style.HEADING + 0.4, 0.13, side)
    marks = range(-most, most + 1)
    figure.colorbar(image, cax=bar, ticks=marks).set_label("how often, relative to chance", fontsize=7.5)
    bar.set_yticklabels([f"{2**mark}×" if mark >= 0 else f"1/{2**-mark}×" for mark in marks], fontsize=7)
    empty = tuple(
        f"{side}, {rare:,} of {log.size:,} cells are rarer than 1/{2**most} of chance and have the lowest colour."
        for side, log in zip(("Left", "Right"), logs, strict=True)
        if (rare := int((log < -most).sum()))
    )
    written = "" if len(ours) > _WRITTEN else "Numbers are per cent of a row. "
    return Drawing(figure, (f"{written}Mixtral's counts were read by eye from the printed bars.", *empty))


def _log_over_chance(share: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log2(share * share.shape[1]))


def _rank_axis(axis: Any, ranks: int) -> None:
    """Labels both axes with ranks from 1, the smallest; the largest is always labelled."""
    positions, _ = style.ticks(ranks)
    if positions[-1] != ranks - 1:
        positions = [*(position for position in positions if ranks - 1 - position >= positions[1]), ranks - 1]
    axis.set_xticks(positions, [str(position + 1) for position in positions])
    axis.set_yticks(positions, [str(position + 1) for position in positions])
    axis.invert_yaxis()
    axis.set_xlabel("score rank (largest score last)")
    axis.set_ylabel("norm rank (largest norm on top)")


def _write_shares(axis: Any, share: Floats, log: Floats, most: float) -> None:
    for row, column in np.ndindex(share.shape):
        per_cent = 100 * share[row, column]
        text = f"{per_cent:.0f}" if per_cent >= 0.5 or per_cent == 0 else "<1"
        dark = abs(log[row, column]) > 0.6 * most
        axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
