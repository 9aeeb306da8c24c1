"""Measurements kept on disk under the hash of everything they depend on."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Measure = Callable[[], Arrays]
_KEY = "store.key"
"""Each file holds its own name, so that one put in another's place is noticed."""


def key_of(**parts: object) -> str:
    """A name for a measurement: the hash of all that it depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


@final
class Store:
    """A folder of measurements, safe for several processes.

    Files are written whole or not at all, and each carries its checksum: a damaged or
    foreign entry is measured again, with a warning that names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_or_measure(self, key: str, measure: Measure) -> Arrays:
        """The stored arrays, or those that ``measure`` makes now; one process measures, others wait."""
        path = self.folder / f"{key}.npz"
        with self._lock(key):
            stored = self._read(path)
            if stored is not None:
                return stored
            arrays = measure()
            self._write(path, arrays)
            return arrays

    def _lock(self, key: str) -> AbstractContextManager[Any]:
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{key}.lock")

    def _read(self, path: Path) -> Arrays | None:
        digest = path.with_suffix(".sha256")
        if not path.exists() or not digest.exists():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest().encode() != digest.read_bytes().strip():
            warnings.warn(f"stored measurement '{path}' is damaged and is made again", stacklevel=2)
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop(_KEY, "")) != path.stem:
            warnings.warn(f"'{path}' holds another measurement than its name says and is made again", stacklevel=2)
            return None
        return arrays

    def _write(self, path: Path, arrays: Arrays) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, _KEY: np.asarray(path.stem)})  # type: ignore[arg-type]
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest().encode()
        for target, data in ((path, content), (path.with_suffix(".sha256"), digest)):
            partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
            partial.write_bytes(data)
            partial.replace(target)
