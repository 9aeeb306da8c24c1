"""JSON as it comes with models: what two readers could understand differently is refused."""

import json
from collections.abc import Callable
from typing import Any, final


@final
class UnclearJsonError(ValueError):
    """Text that is JSON to some readers, and not the same to others."""


def parse(text: str | bytes, finish: Callable[[dict[str, Any]], Any] = lambda found: found) -> Any:
    """JSON in which every key stands once.

    Args:
        text: the JSON, UTF-8 if bytes.
        finish: makes a value of every object.

    Raises:
        ValueError: it is no JSON, nested beyond reason (UnclearJsonError), or has a key twice (the same).
    """

    def once(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UnclearJsonError(f"the key '{twice[:80]}' stands in it twice")
        return finish(found)

    try:
        # Bytes in another encoding than UTF-8 would be guessed at.
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=once)
    except RecursionError:
        raise UnclearJsonError("it is nested too deeply") from None
