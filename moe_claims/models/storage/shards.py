"""Finds the ``.safetensors`` files of a saved model: those that its index names, or all files if it has none."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePath

from moe_claims._util.strict_json import AmbiguousJsonError, parse
from moe_claims.errors import ModelError

INDEX = "model.safetensors.index.json"


def weight_map(content: bytes, index: str, remedy: str = "download it again") -> dict[str, str]:
    """Parses an index: name of each tensor → name of the file, beside the index, that holds it.

    Only the names in the index are checked. Links are allowed, since caches link from a model's folder to the data.

    Args:
        content: content of the index.
        index: its path, for messages.
        remedy: end of the error message: what to do about a broken index.

    Raises:
        ModelError: the content is not an index, or names anything but files beside it.
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
    """Checks that every file of an index is present.

    Args:
        where: folder or repository, for the message.
        shards: name of each tensor → name of its file.
        present: names of the files that exist.
        remedy: end of the error message: what to do about a missing file.

    Raises:
        ModelError: a file is missing; the message names the first.
    """
    wanted = set(shards.values())
    missing = sorted(wanted.difference(present))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"'{where}' lacks shard {missing[0]}{more} of the {len(wanted)} in its index: {remedy}")


def without_index(where: str, present: Collection[str], there: str = "there") -> list[str]:
    """The safetensors files of a model without an index, sorted.

    Args:
        where: folder or repository, for messages.
        present: names of the files beside ``config.json``.
        there: for the message, where pickled weights can be converted.

    Raises:
        ModelError: there are none. If there are pickled weights, the message says how to convert them; they are never
            opened here.
    """
    found = sorted(name for name in present if name.endswith(".safetensors"))
    if found:
        return found
    pickled = [name for ending in (".bin", ".pt") for name in sorted(present) if name.endswith(ending)]
    if pickled:
        # An untrusted file name must not end up in a command that people paste into a shell.
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
