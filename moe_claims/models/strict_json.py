"""JSON as it comes with models: what two readers could understand differently is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from moe_claims.errors import ModelError

INDEX = "model.safetensors.index.json"
"""What says in which of many files a tensor is."""


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


def read_index(folder: Path) -> dict[str, str] | None:
    """Tensor → name of the file in the same folder that holds it; None where there is no index.

    Only the name that is written down is judged: caches link from a model's folder to where the bytes are.

    Raises:
        ModelError: it is no index, or names anything but files beside it.
    """
    path = folder / INDEX
    if not path.exists():
        return None
    try:
        weight_map = parse(path.read_bytes())["weight_map"]
        if not isinstance(weight_map, dict):
            raise TypeError
    except (ValueError, TypeError, KeyError) as error:
        said = error if isinstance(error, UnclearJsonError) else type(error).__name__
        raise ModelError(f"'{path}' is not an index of safetensors files ({said}): download it again") from None
    for shard in weight_map.values():
        if not isinstance(shard, str) or not shard.strip(".") or any(sign in shard for sign in "/\\\0"):
            raise ModelError(
                f"'{path}' names '{shard}' as a file of weights, which is no file name: nothing outside a model's own "
                "folder is read; get the model from a source you trust"
            )
    return weight_map
