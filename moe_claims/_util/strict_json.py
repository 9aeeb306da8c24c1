"""Parses JSON from model folders and refuses what different parsers could read differently, such as repeated keys."""

import json
from collections.abc import Callable
from typing import Any, final


@final
class AmbiguousJsonError(ValueError):
    """JSON that different parsers read differently: a repeated key, or nesting too deep for some of them."""


def parse(text: str | bytes, finish: Callable[[dict[str, Any]], Any] = lambda found: found) -> Any:
    """Parses JSON in which no object repeats a key.

    Args:
        text: the JSON; bytes must be UTF-8.
        finish: called on every parsed object; what it returns takes the object's place.

    Raises:
        ValueError: the text is not JSON.
        AmbiguousJsonError: an object repeats a key, or the nesting is too deep.
    """

    def once(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise AmbiguousJsonError(f"the key '{twice[:80]}' stands in it twice")
        return finish(found)

    try:
        # Decoded here, since json.loads guesses the encoding of bytes.
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=once)
    except RecursionError:
        raise AmbiguousJsonError("it is nested too deeply") from None
