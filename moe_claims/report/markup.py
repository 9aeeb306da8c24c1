"""Markdown in parts: text made inert, tables and lists, for every page that is written."""

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def escape(text: object) -> str:
    """Text from models, files and third parties, made inert in Markdown and in HTML made of it."""
    flat = " ".join(str(text).split())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", flat)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def listed(items: Sequence[str]) -> str:
    """Names one after the other, or 'none'."""
    return "; ".join(map(escape, items)) if items else "none"
