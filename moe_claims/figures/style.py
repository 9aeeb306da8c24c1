"""Common style of all figures: page sizes, colours for colour-blind readers, tick labels, and escaped text."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from moe_claims.figures.matplotlib_backend import library
from moe_claims.printable import one_line

WIDTH = 14.25
"""Width of the widest page in inches."""
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777"
OKABE_ITO = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Eight colours that colour-blind readers can tell apart, for up to eight experts (Okabe and Ito)."""
ROLE_NAMES = {"up": "W_up", "act": "W_act", "down": "W_down"}
ROLE_LINES = {"up": (BLUE, "o", "-"), "act": (VERMILION, "s", "--"), "down": (GREEN, "^", ":")}
"""Colour, marker and line style of each matrix kind; each of the three identifies it."""

AVERAGED = "antialiased"
"""Interpolation of a map with more cells than pixels; from matplotlib 3.10 on also called ``auto``."""
_FONT = "DejaVu Sans"
_LONGEST = 60
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@contextmanager
def style() -> Iterator[None]:
    """Context with a fixed matplotlib style, independent of the user's; text is not interpreted as formulas."""
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
    """An empty figure of ``width`` × ``height`` inches, with its kind and the model's name as heading."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.12 / width, 1 - 0.1 / height, title, fontsize=10.5, fontweight="bold", va="top")
    figure.text(0.12 / width, 1 - 0.31 / height, inert(name, 110), fontsize=8.5, color="#333333", va="top")
    return figure


HEADING = 0.6
"""Height of a page's heading in inches."""


def box(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Adds axes at a position given in inches; ``top`` is measured from the upper edge."""
    whole, tall = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / tall, width / whole, height / tall))


def ticks(count: int, last: str | None = None, *, most: int = 9) -> tuple[list[int], list[str]]:
    """Tick positions and labels for an axis of experts 0 to ``count`` − 1, thinned to be readable.

    Args:
        count: number of experts.
        last: label of one more entry after the experts.
        most: largest number of labels, not counting ``last``.
    """
    step = next(step for step in (*_STEPS, count) if count / step <= most)
    positions = list(range(0, count, step))
    labels = [str(position) for position in positions]
    if last is None:
        return positions, labels
    if step > 1 and count - positions[-1] < step:  # the two labels would touch
        del positions[-1], labels[-1]
    return [*positions, count], [*labels, last]


def inert(text: str, longest: int = _LONGEST) -> str:
    """Text of models and texts as one short line; control characters and those that the font lacks are escaped."""
    known = _glyphs()
    flat = "".join(sign if ord(sign) in known else _written_out(sign) for sign in one_line(text))
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _written_out(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}"


@cache
def _glyphs() -> frozenset[int]:
    """Code points that the font has glyphs for."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())


def in_blocks(count: int, across: int) -> list[range]:
    """Splits ``count`` columns into as few blocks as possible, of at most ``across`` columns and about equal width."""
    across = max(1, across)
    rows = -(-count // across)
    wide = -(-count // rows)
    return [range(first, min(first + wide, count)) for first in range(0, count, wide)]


def spread(layers: Sequence[int], most: int) -> tuple[int, ...]:
    """Evenly spaced layers, no more than ``most``, including the first and the last."""
    if len(layers) <= most:
        return tuple(layers)
    return tuple(layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most))


def named(layers: Sequence[int], of: int) -> str:
    """Sentence that says which layers of ``of`` a figure shows."""
    shown = ", ".join(map(str, layers))
    if len(layers) == of:
        return f"Layers shown: {shown} (all MoE layers)."
    return f"Layers shown: {shown} ({len(layers)} of {of} MoE layers; --layers draws others)."


def rounded(value: float) -> float:
    """The value rounded away from zero to two significant digits, as a limit for a colour bar."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return math.copysign(math.ceil(abs(value) / unit - 1e-9) * unit, value)
