"""Figures of experts and neurons in two principal components, by layer and matrix (paper, Appendix C)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import style
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.measure.measurement import Floats, Plane
from moe_claims.models.families.table import Role

_ORDER: tuple[Role, ...] = ("up", "act", "down")
_SIZE, _GAP, _LEFT = 1.7, 0.36, 0.85
_DOT = 0.015
"""Radius of a dot in inches."""
_SHUFFLE = 0
"""Seed of the random order in which neurons are drawn, so that no expert always covers another."""


def experts(subject: Subject) -> Drawing:
    """The flattened matrix of every expert as a dot, numbered if there is room; the reference as a cross."""
    found = measured_part(subject.projections)
    size = 8.0 if subject.experts <= 16 else 6.0
    crowded = 0

    def draw(axis: Any, plane: Plane) -> None:
        nonlocal crowded
        points, count = plane.points[0], subject.experts
        _limits(axis, points)
        if len(points) > count:
            axis.scatter(*points[count], marker="x", s=60, color=style.VERMILION, linewidths=2.2)
        axis.scatter(points[:count, 0], points[:count, 1], s=7, color=style.BLUE, linewidths=0)
        placed = numbered(_in_panel(axis, points[:count]), size)
        crowded += count - len(placed)
        for number, (x, y) in placed.items():
            axis.text(
                x / _SIZE, y / _SIZE, str(number), fontsize=size, ha="center", va="center", transform=axis.transAxes
            )

    figure = _panels(subject, "Experts in two principal components", found.experts, draw, right=0.1)
    left_out = (f"{crowded} numbers that had no room beside their dots are left out.",) if crowded else ()
    return Drawing(figure, (_layers(subject), *left_out, *_reference(subject, found.experts["up"][0], "cross")))


def numbered(points: Floats, size: float) -> dict[int, tuple[float, float]]:
    """Positions of labels beside their points, outermost points first, without overlap with labels or other points.

    Args:
        points: (n, 2) positions in inches from the panel's lower left corner.
        size: font size of the labels, in points.

    Returns:
        Index of a point → centre of its label in inches; points without room for a label are left out.
    """
    high = size / 72
    outermost = np.argsort(-np.linalg.norm(points - np.median(points, axis=0), axis=1), kind="stable")
    placed: dict[int, tuple[float, float]] = {}
    taken: list[tuple[float, float, float]] = []
    for number in map(int, outermost):
        half = 0.32 * high * len(str(number)) + 0.01
        x, y = points[number]
        beside = 0.04 + half
        for right, up in ((0.0, 0.09), (beside, 0.0), (-beside, 0.0), (0.0, -0.09)):
            spot = float(x + right), float(y + up), half
            others = np.abs(np.delete(points, number, axis=0) - spot[:2])
            covers = ((others[:, 0] < half + _DOT) & (others[:, 1] < high / 2 + _DOT)).any()
            if not covers and all(abs(spot[0] - a) > half + b or abs(spot[1] - c) > high for a, c, b in taken):
                placed[number] = spot[:2]
                taken.append(spot)
                break
    return placed


def neurons(subject: Subject) -> Drawing:
    """A sample of neurons of every expert, coloured by expert."""
    found = measured_part(subject.projections)
    colours = _colours(subject.experts)

    def draw(axis: Any, plane: Plane) -> None:
        sample, blocks = plane.points.shape[:2]
        flat, owner = plane.points.reshape(-1, 2), np.tile(np.arange(blocks), sample)
        order = np.random.default_rng(_SHUFFLE).permutation(len(flat))
        _limits(axis, flat)
        axis.scatter(
            flat[order, 0],
            flat[order, 1],
            c=colours[owner[order]],
            s=4,
            linewidths=0,
            antialiased=False,
            rasterized=True,
        )

    figure = _panels(subject, "Neurons in two principal components", found.neurons, draw, right=0.95)
    plane = found.neurons["up"][0]
    _key(figure, subject, colours, plane.points.shape[1] > subject.experts)
    sample = (
        f"{plane.points.shape[0]} neurons of each of {subject.experts} experts, drawn by lot with a fixed seed, the "
        "same indices of all experts; dots are laid down in random order, so that no expert lies on top throughout."
    )
    return Drawing(figure, (_layers(subject), sample, *_reference(subject, plane, "grey dots")))


def _colours(experts: int) -> Any:
    """(E + 1, 4) RGBA colours of the experts, and grey for the reference."""
    import matplotlib as mpl

    few = experts <= len(style.OKABE_ITO)
    shades = style.OKABE_ITO[:experts] if few else mpl.colormaps["viridis"](np.linspace(0, 1, experts))
    return mpl.colors.to_rgba_array([*shades, style.GREY])


def _key(figure: Any, subject: Subject, colours: Any, reference: bool) -> None:
    """Draws the key from colours to experts: a legend for few experts, a colour bar for many."""
    import matplotlib as mpl
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    few = subject.experts <= len(style.OKABE_ITO)
    marks = [(number, str(number)) for number in range(subject.experts)] if few else []
    if reference and not isinstance(subject.reference, MoeClaimsError):
        marks.append((subject.experts, subject.reference.label))
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=colours[number], label=label)
        for number, label in marks
    ]
    if handles:
        corner = (1 - 0.08 / width, 1 - style.HEADING / height)
        figure.legend(handles=handles, title="expert" if few else None, loc="upper right", bbox_to_anchor=corner)
    if not few:
        bar = style.box(figure, width - 0.85, style.HEADING + 0.35, 0.12, 3.0)
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, subject.experts - 1), "viridis")
        figure.colorbar(scale, cax=bar).set_label("expert", fontsize=7.5)


def _limits(axis: Any, points: Floats) -> None:
    """Sets the limits of both axes to hold all points and labels."""
    for low, high, put in zip(points.min(axis=0), points.max(axis=0), (axis.set_xlim, axis.set_ylim), strict=True):
        room = 0.12 * (high - low) or 1.0
        put(low - room, high + room)


def _in_panel(axis: Any, points: Floats) -> Floats:
    """(n, 2) coordinates → inches from the lower left corner of a panel."""
    lower = np.asarray([axis.get_xlim()[0], axis.get_ylim()[0]])
    upper = np.asarray([axis.get_xlim()[1], axis.get_ylim()[1]])
    return np.asarray((points - lower) / (upper - lower) * _SIZE)


def _panels(
    subject: Subject,
    title: str,
    planes: Mapping[Role, tuple[Plane, ...]],
    draw: Callable[[Any, Plane], None],
    *,
    right: float,
) -> Any:
    """A figure with one panel per layer and matrix, each drawn by ``draw``; ``right`` is its right margin in inches."""
    layers, pitch = subject.layers, _SIZE + _GAP
    blocks = style.in_blocks(len(layers), int((style.WIDTH - _LEFT - right) / pitch))
    width = _LEFT + max(len(block) for block in blocks) * pitch + right
    tall = 0.3 + len(_ORDER) * pitch + 0.2
    figure = style.page(max(width, 5.2), style.HEADING + len(blocks) * tall, title, subject.name)
    for number, block in enumerate(blocks):
        for row, role in enumerate(_ORDER):
            for column, index in enumerate(block):
                upper = style.HEADING + number * tall + 0.3 + row * pitch
                axis = style.box(figure, _LEFT + column * pitch, upper, _SIZE, _SIZE)
                plane = planes[role][index]
                draw(axis, plane)
                _frame(axis, plane)
                if row == 0:
                    axis.set_title(f"layer {layers[index]}", fontsize=8, pad=3)
                if column == 0:
                    axis.set_ylabel(f"{style.ROLE_NAMES[role]}\n{axis.get_ylabel()}", fontsize=7.5)
    return figure


def _frame(axis: Any, plane: Plane) -> None:
    first, second = plane.share
    axis.set_xlabel(f"1st component, {_per_cent(first)}", fontsize=6.5, labelpad=1)
    axis.set_ylabel(f"2nd, {_per_cent(second)}", fontsize=6.5, labelpad=1)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_linewidth(0.5)


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def _layers(subject: Subject) -> str:
    return style.named(subject.layers, len(subject.weights.layers))


def _reference(subject: Subject, plane: Plane, mark: str) -> tuple[str, ...]:
    reference = subject.reference
    if isinstance(reference, MoeClaimsError):
        return (f"No reference beside the experts: {reference}.",)
    if plane.points.shape[1] == subject.experts:
        return (f"{reference.label} is left out: its matrices have another shape than an expert's.",)
    return (f"The {mark}: {reference.label}, {style.inert(reference.name)}.",)
