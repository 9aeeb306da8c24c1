"""Judgements kept beside the measurements, so that the same question asked again is answered in seconds.

A judgement is kept under everything that its numbers depend on: weights, texts, models compared with, options, the
source code of this package, and the versions of the libraries that compute. Judgements by packs of others are not kept:
what their code imports is not known.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from moe_claims.judge.pack import Pack
from moe_claims.measure.store import Arrays, key_of

_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "matplotlib")
_DOCUMENT = "document"


def judgement_key(packs: Iterable[Pack], **parts: object) -> str:
    """The key of a judgement by these packs.

    Args:
        packs: packs whose claims and audits are judged; all of them come with this package.
        parts: what else the judgement depends on; plain JSON values.
    """
    return key_of(
        what="judgement",
        packs=[pack.id for pack in packs],
        code=_code("moe_claims"),
        libraries={name: _version(name) for name in _LIBRARIES},
        **parts,
    )


@cache
def _code(package: str) -> str:
    """A hash of the source code of a package or module."""
    spec = find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec is not None else []
    named = [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".py", ".json", ".csv")
    ]
    if spec is not None and spec.origin is not None and not folders:
        named = [(package, Path(spec.origin))]
    found = hashlib.sha256()
    for name, path in sorted(named):
        found.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def as_arrays(document: Mapping[str, Any], files: Mapping[str, bytes]) -> Arrays:
    """A JSON document and some files as the arrays that a store keeps."""
    text = json.dumps(document).encode()
    return {_DOCUMENT: np.frombuffer(text, np.uint8)} | {
        f"file {name}": np.frombuffer(content, np.uint8) for name, content in files.items()
    }


def from_arrays(arrays: Arrays) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The document and the files that ``as_arrays`` was given."""
    document: dict[str, Any] = json.loads(arrays[_DOCUMENT].tobytes())
    files = {name.removeprefix("file "): found.tobytes() for name, found in arrays.items() if name != _DOCUMENT}
    return document, files
