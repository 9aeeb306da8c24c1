"""Which ``.safetensors`` files of a saved model hold its tensors: said by an index, or all that lie there."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePath

from moe_claims._util.strict_json import AmbiguousJsonError, parse
from moe_claims.errors import ModelError

INDEX = "model.safetensors.index.json"


def weight_map(content: bytes, index: str, remedy: str = "download it again") -> dict[str, str]:
    """Name of a tensor → name of the file beside the index that holds it.

    Only the name that is written down is judged: caches link from a model's folder to where the bytes are.

    Args:
        content: of the index.
        index: for messages.
        remedy: what to do about a broken one.

    Raises:
        ModelError: it is no index, or names anything but files beside it.
    """
    try:
        found = parse(content)["weight_map"]
        if not isinstance(found, dict):
            raise TypeError
    except (ValueError, TypeError, KeyError) as error:
        said = error if isinstance(error, AmbiguousJsonError) else type(error).__name__
        raise ModelError(f"'{index}' is not an index of safetensors files ({said}): {remedy}") from None
    for shard in found.values():
        if not isinstance(shard, str) or not shard.strip(".") or any(sign in shard for sign in "/\\\0"):
            raise ModelError(
                f"'{index}' names '{shard}' as a file of weights, which is no file name: nothing outside a model's own "
                "folder is read; get the model from a source you trust"
            )
    return found


def check_complete(
    where: str, shards: Mapping[str, str], present: Collection[str], remedy: str = "download it again"
) -> None:
    """Whether every file of an index is there.

    Raises:
        ModelError: one is missing.
    """
    wanted = set(shards.values())
    missing = sorted(wanted.difference(present))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"'{where}' lacks shard {missing[0]}{more} of the {len(wanted)} in its index: {remedy}")


def without_index(where: str, present: Collection[str], there: str = "there") -> list[str]:
    """The safetensors files among those that lie beside ``config.json``, where no index names them.

    Args:
        where: for messages.
        present: names of all files.
        there: where pickled weights can be rewritten.

    Raises:
        ModelError: there are none; pickled weights are named, and never opened.
    """
    found = sorted(name for name in present if name.endswith(".safetensors"))
    if found:
        return found
    pickled = [name for ending in (".bin", ".pt") for name in sorted(present) if name.endswith(ending)]
    if pickled:
        # Whoever named the file would otherwise write into a command that people paste.
        plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", pickled[0])
        named = PurePath(pickled[0] if plain else f"FILE{PurePath(pickled[0]).suffix}")
        rewrite = (
            "import torch; from safetensors.torch import save_file; "
            f"save_file(torch.load('{named}', weights_only=True), '{named.stem}.safetensors')"
        )
        raise ModelError(
            f"'{where}' holds pickled weights ({pickled[0]}), which are never loaded: if you trust them, rewrite each "
            f'file {there} with python -c "{rewrite}"'
        )
    raise ModelError(f"'{where}' has no *.safetensors file: give a folder that holds the weights")
