"""Formulas as MathML, which browsers draw themselves: no script, no fonts from elsewhere, and read aloud as formulas.

Sphinx's own ways need the network (MathJax from a server) or LaTeX (pictures). This one needs latex2mathml alone.
"""

import re
import unicodedata
from html import unescape
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NOT_CONVERTED = re.compile(r"\\[A-Za-z]+")
"""A command that latex2mathml does not know is left in the formula as it stands."""

PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
"""Elements that browsers draw as an error with any other number of parts, as where an argument is missing."""


def mathml(latex: str, *, block: bool) -> str:
    r"""One formula.

    Args:
        latex: without the dollars.
        block: on a line of its own.

    Raises:
        ValueError: something of it cannot be shown.
    """
    try:
        made: str = convert(latex, display="block" if block else "inline")
    except Exception as error:  # the library has a class for each, and raises others of Python's
        raise ValueError(f"formula '{latex}' is no LaTeX that can be shown: {error!r}") from error
    if left := NOT_CONVERTED.search(made):
        raise ValueError(f"formula '{latex}' holds '{left[0]}', which latex2mathml does not know")
    for element in ElementTree.fromstring(made).iter():
        name = element.tag.rpartition("}")[2]
        if len(element) != PARTS.get(name, len(element)):
            raise ValueError(f"formula '{latex}' lacks an argument: {name} has {len(element)} of {PARTS[name]} parts")
    # It takes ± for a letter, which would then stand without space.
    return re.sub(r"<mi>([^<]+)</mi>", lambda it: f"<mo>{it[1]}</mo>" if _is_sign(unescape(it[1])) else it[0], made)


def _is_sign(text: str) -> bool:
    return all(unicodedata.category(character) == "Sm" for character in text)


def _write(writer: Any, node: nodes.Element, *, block: bool) -> None:
    try:
        text = mathml(node.astext(), block=block)
    except ValueError as error:
        raise ExtensionError(f"{node.source or ''}:{node.line or ''}: {error}") from None
    writer.body.append(f'<div class="math">{text}</div>' if block else text)
    raise nodes.SkipNode


def inline(writer: Any, node: nodes.Element) -> None:
    r"""``$x$``."""
    _write(writer, node, block=False)


def block(writer: Any, node: nodes.Element) -> None:
    r"""``$$x$$``."""
    _write(writer, node, block=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offers the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
