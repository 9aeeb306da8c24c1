"""Helpers to write Markdown: escaping, tables and lists."""

import re
from collections.abc import Sequence

from moe_claims.printable import one_line

# Including the colon of a URL and the dot after www, which GitHub's Markdown would turn into links.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def escape(text: object) -> str:
    """Any text, such as names from models, files and third parties, escaped for Markdown and for HTML made of it."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", one_line(text))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; headers and cells are Markdown."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def listed(items: Sequence[str]) -> str:
    """The items separated by commas, or ``none``."""
    return "; ".join(map(escape, items)) if items else "none"
