"""Makes untrusted text safe to print: control characters and invisible characters become visible escapes.

Names and messages from models, files and third parties go through here before they reach a terminal or a report.
"""

from collections.abc import Mapping
from typing import Any


def printable(text: str) -> str:
    r"""Replaces every non-printable character with its Python escape, such as ``\x1b``, ``\u202e`` or ``\n``.

    Non-printable are control characters, marks that change the direction of writing, zero-width joiners, line breaks,
    spaces other than the plain one, and lone surrogates. No character is dropped.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def one_line(text: object) -> str:
    """Text on one line: each run of white space becomes one space; the rest is escaped by ``printable``."""
    return printable(" ".join(str(text).split()))


def printable_throughout(value: Any) -> Any:
    """A copy of a JSON value in which every string, object keys included, is made printable."""
    match value:
        case str():
            return printable(value)
        case Mapping():
            return {printable(str(name)): printable_throughout(member) for name, member in value.items()}
        case list() | tuple():
            return [printable_throughout(member) for member in value]
        case _:
            return value
