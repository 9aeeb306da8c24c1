"""How all figures look: page sizes, colours that colour-blind readers tell apart, tick labels, and inert text."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from moe_claims.figures.matplotlib_backend import library
from moe_claims.printable import one_line

WIDTH = 14.25
"""Inches of the widest page."""
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777"
OKABE_ITO = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Eight colours that every reader tells apart, one for each of up to eight experts."""
ROLE_NAMES = {"up": "W_up", "act": "W_act", "down": "W_down"}
ROLE_LINES = {"up": (BLUE, "o", "-"), "act": (VERMILION, "s", "--"), "down": (GREEN, "^", ":")}
"""Colour, marker and line of each matrix kind: any one of the three would do."""

_FONT = "DejaVu Sans"
_LONGEST = 60
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user's are; text stays text and is never read as a formula."""
    library()
    from matplotlib import style as styles

    settings = {
        "font.family": _FONT,
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "moe_claims",
    }
    with styles.context(["default", settings]):
        yield


def page(width: float, height: float, title: str, name: str) -> Any:
    """An empty figure of so many inches, with its kind and the model's name as heading."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.12 / width, 1 - 0.1 / height, title, fontsize=10.5, fontweight="bold", va="top")
    figure.text(0.12 / width, 1 - 0.31 / height, inert(name, 110), fontsize=8.5, color="#333333", va="top")
    return figure


HEADING = 0.6
"""Inches that the heading of a page takes."""


def box(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at a place in inches, ``top`` measured from the upper edge."""
    whole, tall = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / tall, width / whole, height / tall))


def ticks(count: int, last: str | None = None, *, most: int = 9) -> tuple[list[int], list[str]]:
    """Places and labels on an axis of experts 0 to ``count`` − 1, thinned to what can be read; the last by its name.

    Args:
        count: number of experts.
        last: label of one more entry behind them.
        most: labels that have room, the last not counted.
    """
    step = next(step for step in (*_STEPS, count) if count / step <= most)
    places = list(range(0, count, step))
    labels = [str(place) for place in places]
    if last is None:
        return places, labels
    if step > 1 and count - places[-1] < step:  # the two labels would touch
        del places[-1], labels[-1]
    return [*places, count], [*labels, last]


def inert(text: str, longest: int = _LONGEST) -> str:
    """Text of models and texts as one short line, with the code of each sign that the font lacks or that would steer
    a terminal or a reader's eye.
    """
    known = _glyphs()
    flat = "".join(sign if ord(sign) in known else _written_out(sign) for sign in one_line(text))
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _written_out(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}"


@cache
def _glyphs() -> frozenset[int]:
    """Code points of the font."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())


def in_blocks(count: int, across: int) -> list[range]:
    """So many columns in as few blocks as hold ``across`` each, all about as wide."""
    across = max(1, across)
    rows = -(-count // across)
    wide = -(-count // rows)
    return [range(first, min(first + wide, count)) for first in range(0, count, wide)]


def spread(layers: Sequence[int], most: int) -> tuple[int, ...]:
    """At most so many of the layers, first and last among them, evenly spread."""
    if len(layers) <= most:
        return tuple(layers)
    return tuple(layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most))


def named(layers: Sequence[int], of: int) -> str:
    """Which layers a figure shows, as a sentence."""
    shown = ", ".join(map(str, layers))
    if len(layers) == of:
        return f"Layers shown: {shown} (all MoE layers)."
    return f"Layers shown: {shown} ({len(layers)} of {of} MoE layers; --layers draws others)."


def rounded(value: float) -> float:
    """Up to two significant digits, away from zero: a limit that a colour bar can show."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return math.copysign(math.ceil(abs(value) / unit - 1e-9) * unit, value)
