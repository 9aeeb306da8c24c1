"""Text from models, files and third parties as signs that can be seen: nothing in it steers a terminal or hides."""

from collections.abc import Mapping
from typing import Any


def legible(text: str) -> str:
    r"""The text with every sign that is not printed written out, as Python writes it: ``\x1b``, ``\u202e``, ``\n``.

    Those are control characters, marks that turn the direction of writing, joiners of no width, line breaks,
    spaces other than the plain one, and halves of surrogate pairs. No sign is left out.
    """
    return text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def one_line(text: object) -> str:
    """Text on one line: breaks and runs of spaces become one space, all else is written out as ``legible`` does."""
    return legible(" ".join(str(text).split()))


def legible_throughout(value: Any) -> Any:
    """A copy of a JSON value in which every text, names of members too, is legible."""
    match value:
        case str():
            return legible(value)
        case Mapping():
            return {legible(str(name)): legible_throughout(member) for name, member in value.items()}
        case list() | tuple():
            return [legible_throughout(member) for member in value]
        case _:
            return value
