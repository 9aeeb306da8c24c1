"""Figures of curves over all MoE layers, with a ring around the last layer, for the claims on depth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import style
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.figures.norms import scores
from moe_claims.measure.measurement import Floats, Integers, RoutedMeasurement
from moe_claims.models.families.table import Role
from moe_claims.packs.look_into_moes.depth_norms import norm_variation
from moe_claims.packs.look_into_moes.paper import models, published
from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import off_diagonal

_ORDER: tuple[Role, ...] = ("up", "act", "down")
_PANEL, _HIGH, _LEFT, _GAP = 3.6, 2.4, 0.8, 0.95


def outputs(subject: Subject) -> Drawing:
    """Mean similarity of two experts' outputs over depth."""
    routed = measured_part(subject.text).routed
    sums = off_diagonal(routed.angular_sums).mean(axis=-1)
    sequences, mean = sums / routed.lengths, sums.sum(axis=1) / routed.lengths.sum()
    figure, (axis,) = _page("Similarity of expert outputs over depth", subject.name, 1)
    low, high = sequences.min(axis=1), sequences.max(axis=1)
    axis.fill_between(
        routed.layers, low, high, color=style.BLUE, alpha=0.18, linewidth=0, label="single sequences, lowest to highest"
    )
    _curve(axis, routed.layers, mean, style.BLUE, "o", "-", "all tokens")
    if routed.dense_sums is not None and not isinstance(subject.reference, MoeClaimsError):
        to_reference = routed.dense_sums.sum(axis=1).mean(axis=-1) / routed.lengths.sum()
        _curve(
            axis, routed.layers, to_reference, style.VERMILION, "s", "--", f"experts against {subject.reference.label}"
        )
    axis.axhline(0.5, color=style.GREY, linewidth=0.8, linestyle=":", label="right angle")
    _finish(axis, routed.layers, "mean angular similarity")
    return Drawing(figure, (_of(routed),))


def weights(subject: Subject) -> Drawing:
    """Mean similarity of two experts' matrices, mean neurons and router rows over depth."""
    layers = subject.weights.layers
    figure, (left, right) = _page("Similarity of weights over depth", subject.name, 2)
    for axis, level in ((left, "matrix"), (right, "mean")):
        for role in _ORDER:
            values = off_diagonal(getattr(subject.weights, level)[role]).mean(axis=-1)
            _curve(axis, layers, values, *style.ROLE_LINES[role], style.ROLE_NAMES[role])
    _curve(right, layers, off_diagonal(subject.weights.router).mean(axis=-1), style.PURPLE, "D", "-.", "router W_g")
    for axis, heading in ((left, "flattened matrices"), (right, "mean neurons and router rows")):
        axis.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":")
        axis.set_title(heading)
        _finish(axis, layers, "mean cosine similarity")
    return Drawing(figure)


def association(subject: Subject) -> Drawing:
    """Pearson r, over pairs of experts, of router-row similarity and mean-neuron similarity, over depth."""
    layers = subject.weights.layers
    router = off_diagonal(subject.weights.router)
    figure, (axis,) = _page("Router rows and mean neurons: association by layer", subject.name, 1)
    for role in _ORDER:
        values = pearson(router, off_diagonal(subject.weights.mean[role]))
        _curve(axis, layers, values, *style.ROLE_LINES[role], style.ROLE_NAMES[role])
    printed = published()["table5_r_gate_act_by_layer"].get(models().get(subject.hub_id or "", ""))
    if printed:
        numbers = sorted(map(int, printed))
        axis.plot(
            numbers, [printed[str(number)] for number in numbers], "kx", markersize=5, label="W_act, paper's Table 5"
        )
    axis.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":")
    axis.set_ylim(-1.05, 1.05)
    _finish(axis, layers, "Pearson r over pairs of experts")
    return Drawing(figure, () if printed else ("The paper prints no values for this model.",))


def norms(subject: Subject) -> Drawing:
    """Output norms over depth: mean and range over experts, and their spread."""
    routed = measured_part(subject.text).routed
    by_expert = routed.output_norms.astype(np.float64).mean(axis=1)
    spread = np.asarray([norm_variation(layer).mean() for layer in routed.output_norms])
    figure, (left, right) = _page("Output norms over depth", subject.name, 2)
    left.fill_between(
        routed.layers,
        by_expert.min(axis=1),
        by_expert.max(axis=1),
        color=style.BLUE,
        alpha=0.18,
        linewidth=0,
        label="experts, lowest to highest mean",
    )
    _curve(left, routed.layers, by_expert.mean(axis=1), style.BLUE, "o", "-", "mean")
    left.set_ylim(0, 1.08 * left.get_ylim()[1])
    _finish(left, routed.layers, "Euclidean norm of an expert's output")
    _curve(right, routed.layers, spread, style.VERMILION, "s", "--", "over experts, mean over tokens")
    right.set_ylim(0, 1.08 * right.get_ylim()[1])
    _finish(right, routed.layers, "coefficient of variation")
    return Drawing(figure, (_of(routed),))


def router_norm(subject: Subject) -> Drawing:
    """Agreement of the ranks of norms and scores, and ratio of the best to the second score, over depth."""
    routed = measured_part(subject.text).routed
    figure, (left, right) = _page("Router scores over depth", subject.name, 2)
    _curve(left, routed.layers, rank_agreement(routed), style.BLUE, "o", "-", "mean over tokens")
    left.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":", label="chance")
    _finish(left, routed.layers, "Spearman ρ of norms and scores")
    first, second = _two_best(routed)
    _curve(right, routed.layers, first, style.VERMILION, "s", "--", "highest score")
    _curve(right, routed.layers, second, style.GREEN, "^", ":", "second score")
    right.axhline(1 / subject.experts, color=style.GREY, linewidth=0.8, linestyle=":", label="even share")
    right.set_ylim(0, 1.08 * right.get_ylim()[1])
    _finish(right, routed.layers, "softmax score, mean over tokens")
    return Drawing(figure, (_of(routed),))


def activations(subject: Subject) -> Drawing:
    """Magnitude of the intermediate states and the share of active ones, over depth."""
    routed = measured_part(subject.text).routed
    size, tokens = routed.magnitude_sums.sum(axis=1) / routed.lengths.sum(), routed.activation_share
    figure, (left, right) = _page("Intermediate states over depth", subject.name, 2)
    for axis, values, label in (
        (left, size, "mean |σ(W_act x)|"),
        (right, 100 * tokens, "neurons with |σ(W_act x)| > 0.001, %"),
    ):
        axis.fill_between(
            routed.layers,
            values.min(axis=1),
            values.max(axis=1),
            color=style.BLUE,
            alpha=0.18,
            linewidth=0,
            label="experts, lowest to highest",
        )
        _curve(axis, routed.layers, values.mean(axis=1), style.BLUE, "o", "-", "mean over experts")
        _finish(axis, routed.layers, label)
    left.set_ylim(0, 1.08 * left.get_ylim()[1])
    return Drawing(figure, (_of(routed),))


def rank_agreement(routed: RoutedMeasurement) -> Floats:
    """(L,) Spearman ρ of norms and scores within a token, mean over tokens."""
    counts = routed.rank_counts()
    experts = counts.shape[-1]
    centred = np.arange(experts) - (experts - 1) / 2
    return np.asarray(
        (counts * np.outer(centred, centred)).sum(axis=(1, 2)) * 12 / (experts**2 - 1) / counts.sum(axis=(1, 2))
    )


def _two_best(routed: RoutedMeasurement) -> tuple[Floats, Floats]:
    best = np.stack([np.sort(scores(layer), axis=-1)[:, -2:].mean(axis=0) for layer in routed.router_logits])
    return best[:, 1], best[:, 0]


def _page(title: str, name: str, panels: int) -> tuple[Any, Sequence[Any]]:
    width = 7.2 if panels == 1 else _LEFT + panels * (_PANEL + _GAP) - 0.5
    figure = style.page(width, style.HEADING + _HIGH + 1.2, title, name)
    wide = width - _LEFT - 0.3 if panels == 1 else _PANEL
    return figure, [
        style.box(figure, _LEFT + i * (wide + _GAP), style.HEADING + 0.25, wide, _HIGH) for i in range(panels)
    ]


def _curve(axis: Any, layers: Integers, values: Floats, colour: str, marker: str, line: str, label: str) -> None:
    size = 4 if len(layers) <= 40 else 2.5
    axis.plot(layers, values, color=colour, marker=marker, linestyle=line, markersize=size, linewidth=1.2, label=label)
    axis.plot(layers[-1:], values[-1:], marker="o", markersize=10, markerfacecolor="none", color=colour, linestyle="")


def _finish(axis: Any, layers: Integers, label: str) -> None:
    positions, _ = style.ticks(len(layers), most=14)
    axis.set_xticks([layers[position] for position in positions])
    axis.set_xlabel("layer (ring: the last)")
    axis.set_ylabel(label)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=7)


def _of(routed: RoutedMeasurement) -> str:
    return f"{int(routed.lengths.sum()):,} tokens of {len(routed.lengths)} sequences."
