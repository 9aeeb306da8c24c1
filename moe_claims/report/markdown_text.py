"""Markdown in parts: text made inert, tables and lists, for every page that is written."""

import re
from collections.abc import Sequence

from moe_claims.printable import one_line

# The colon of an address and the dot behind www too, which GitHub's Markdown would make links of.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def escape(text: object) -> str:
    """Text from models, files and third parties, made inert in Markdown and in HTML made of it."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", one_line(text))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def listed(items: Sequence[str]) -> str:
    """Names one after the other, or 'none'."""
    return "; ".join(map(escape, items)) if items else "none"
