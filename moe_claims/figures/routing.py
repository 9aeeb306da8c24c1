"""Figures of the experts that each token chose and of the balance of loads, by layer (paper, Appendix I)."""

from dataclasses import replace
from typing import Any

import numpy as np

from moe_claims.figures import heatmaps, style
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.figures.layer_maps import side_by_side
from moe_claims.measure.measurement import Floats, RoutedMeasurement

MOST_TOKENS = 64
"""Largest number of tokens that are shown, which is the length of the paper's prompt."""
_LEFT, _RIGHT, _WORDS = 0.8, 1.15, 0.6


def choices(routed: RoutedMeasurement, index: int, tokens: int) -> Floats:
    """(E, tokens) rank, from 1, of each expert among those chosen by a token of the first sequence; NaN if not chosen.

    Args:
        routed: the measurement.
        index: index of the layer in the measurement.
        tokens: number of tokens.
    """
    chosen = routed.chosen[index, :tokens].astype(np.int64)
    found = np.full((tokens, routed.router_logits.shape[-1]), np.nan)
    np.put_along_axis(found, chosen, np.broadcast_to(np.arange(1.0, chosen.shape[1] + 1), chosen.shape), axis=1)
    return np.asarray(found.T)


def patterns(subject: Subject) -> Drawing:
    """One strip per layer: experts by tokens of the first sequence, coloured by the rank among the chosen."""
    read = measured_part(subject.text)
    routed = read.routed
    tokens = int(min(routed.lengths[0], MOST_TOKENS))
    experts, k = routed.router_logits.shape[-1], routed.chosen.shape[-1]
    high = min(2.4, max(0.75, 0.085 * experts))
    pitch = high + 0.36
    height = style.HEADING + len(subject.layers) * pitch + _WORDS
    figure = style.page(style.WIDTH, height, "Experts chosen by each token of one sequence", subject.name)
    colours = heatmaps.Colours("cividis", 0.5, k + 0.5, "place among the chosen (1: highest score)")
    for row, (layer, index) in enumerate(zip(subject.layers, subject.indices(routed.layers), strict=True)):
        top = style.HEADING + 0.22 + row * pitch
        axis = style.box(figure, _LEFT, top, style.WIDTH - _LEFT - _RIGHT, high)
        image = _strip(axis, choices(routed, index, tokens), colours, k)
        axis.set_title(f"layer {layer}", fontsize=8, pad=3, loc="left")
        lowest = row == len(subject.layers) - 1
        axis.set_xticks(
            range(tokens), [style.inert(word, 12) for word in read.words[:tokens]] if lowest else [""] * tokens
        )
        axis.tick_params(axis="x", rotation=90, labelsize=6.5, length=1.5, pad=1.5)
    bar = style.box(figure, style.WIDTH - _RIGHT + 0.12, style.HEADING + 0.22, 0.12, min(2.6, max(1.5, height - 2)))
    step = max(1, -(-k // 8))
    figure.colorbar(image, cax=bar, ticks=range(1, k + 1, step)).set_label(colours.label, fontsize=7.5)
    whole = int(routed.lengths[0])
    cut = f"the first {tokens} of {whole} tokens" if tokens < whole else f"all {tokens} tokens"
    return Drawing(
        figure,
        (style.named(subject.layers, len(routed.layers)), f"The first sequence of '{style.inert(read.name)}', {cut}."),
    )


def _strip(axis: Any, chosen: Floats, colours: heatmaps.Colours, k: int) -> Any:
    import matplotlib as mpl

    # k colours of the scale, the darkest for the highest score; experts that were not chosen are light grey.
    steps = mpl.colormaps[colours.map].resampled(max(2, k + 1)).with_extremes(bad="#f2f2f2")
    shades = mpl.colors.ListedColormap(steps(np.arange(k) / max(1, k))).with_extremes(bad="#f2f2f2")
    image = axis.imshow(
        chosen, cmap=shades, vmin=colours.low, vmax=colours.high, aspect="auto", interpolation="nearest"
    )
    positions, labels = style.ticks(len(chosen))
    axis.set_yticks(positions, labels)
    axis.tick_params(axis="y", labelsize=6.5, length=2, pad=1.5)
    axis.set_ylabel("expert", fontsize=7)
    return image


def loads(subject: Subject) -> Drawing:
    """Maps of layers × experts: log₂ of the load over the even share, and the mean score."""
    routed = measured_part(subject.text).routed
    experts, k = routed.router_logits.shape[-1], routed.chosen.shape[-1]
    counts = np.stack([np.bincount(layer.ravel().astype(np.int64), minlength=experts) for layer in routed.chosen])
    even = counts.sum(axis=1, keepdims=True) / experts
    with np.errstate(divide="ignore"):
        ratio = np.log2(counts / even)
    seen = np.abs(ratio[np.isfinite(ratio)])
    most = style.rounded(max(0.5, float(seen.max()) if seen.size else 0.5))
    colours = heatmaps.Colours("RdBu_r", -most, most, "log₂ of load over the even share")
    means = scores_by_layer(routed)
    figure = side_by_side(
        "Loads of the experts",
        subject.name,
        routed.layers,
        (
            ("load over the even share", np.where(np.isfinite(ratio), ratio, -most), colours),
            (
                "mean softmax score, %",
                100 * means,
                replace(heatmaps.rising([100 * means], "mean softmax score, %"), map="cividis"),
            ),
        ),
    )
    never = int((counts == 0).sum())
    notes = [
        f"All {len(routed.layers)} MoE layers; top {k} of {experts} experts, {int(routed.lengths.sum()):,} tokens."
    ]
    if never:
        notes.append(f"{never} experts of a layer were never chosen and are drawn in the lowest colour.")
    return Drawing(figure, tuple(notes))


def scores_by_layer(routed: RoutedMeasurement) -> Floats:
    """(L, E) mean softmax score over tokens."""
    from moe_claims.figures.norms import scores

    return np.stack([scores(layer).mean(axis=0) for layer in routed.router_logits])
