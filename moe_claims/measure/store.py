"""Measurements kept on disk under the hash of everything they depend on, layer by layer."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar, final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
T = TypeVar("T")
Load = Callable[[Arrays], T]
Measure = Callable[[Sequence[int]], Iterable[Arrays]]
"""Takes the positions of the missing keys in a list of keys, and yields their arrays in that order as they come."""
_KEY = "store.key"
"""The array in each file that holds the file's key, so that a file under the name of another is noticed."""


def key_of(**parts: object) -> str:
    """The key of a measurement, 40 hexadecimal digits: a hash of everything that its numbers depend on.

    Args:
        parts: what they depend on, by name; plain JSON values.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


class Snapshot(Protocol):
    """The state of a computation in steps, kept so that it can go on after an interruption."""

    def read(self) -> tuple[int, Arrays] | None:
        """The number of the last step that was written whole, and its arrays; None where no step was."""

    def write(self, step: int, arrays: Arrays) -> None:
        """Keeps the arrays of a step, in place of those of earlier steps."""

    def drop(self) -> None:
        """Forgets everything, once the computation is done."""


class Keeper(Protocol):
    """Keeps measurements under keys, such as the store on disk."""

    def get_or_measure(self, keys: Sequence[str], measure: Measure) -> list[Arrays]:
        """The arrays of each key, in order; those that are not kept yet are measured, and kept."""

    def snapshot(self, key: str) -> Snapshot:
        """The kept state of the measurement with this key, while that is under way."""


@final
class Forgetful:
    """Keeps nothing: for synthetic models by the hundred, each of which is measured once."""

    def get_or_measure(self, keys: Sequence[str], measure: Measure) -> list[Arrays]:
        """The arrays of each key, all measured now."""
        return list(measure(range(len(keys))))

    def snapshot(self, key: str) -> Snapshot:
        """A snapshot that forgets."""
        return NoSnapshot()


@final
class NoSnapshot:
    """A snapshot that forgets whatever is written."""

    def read(self) -> tuple[int, Arrays] | None:
        """None: nothing is ever kept."""
        return None

    def write(self, step: int, arrays: Arrays) -> None:
        """Does nothing."""

    def drop(self) -> None:
        """Does nothing."""


@final
class Store:
    """A folder of measurements that several processes may use at once.

    Files are written whole or not at all, and each carries its checksum: a damaged or
    foreign entry is measured again, with a warning that names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_or_measure(self, keys: Sequence[str], measure: Measure) -> list[Arrays]:
        """The stored arrays of each key, in order; one process measures what is missing, while others wait.

        Each entry is written as soon as it has been measured, so that an interrupted run goes on behind the last one.
        """
        with self._lock(key_of(keys=list(keys))):
            found = [_read(self._path(key)) for key in keys]
            missing = [number for number, arrays in enumerate(found) if arrays is None]
            if missing:
                for number, arrays in zip(missing, measure(missing), strict=True):
                    _write(self._path(keys[number]), arrays)
                    found[number] = arrays
            return [arrays for arrays in found if arrays is not None]

    def get_or_make(self, key: str, make: Callable[[], T], dump: Callable[[T], Arrays | None], load: Load[T]) -> T:
        """What was kept under a key, or what is made now, which one process does while others wait.

        Args:
            key: of the value.
            make: makes the value.
            dump: the value as arrays; None if it is not to be kept.
            load: the value from these arrays.
        """
        with self._lock(key):
            arrays = _read(self._path(key))
            if arrays is not None:
                return load(arrays)
            made = make()
            arrays = dump(made)
            if arrays is not None:
                try:
                    _write(self._path(key), arrays)
                except OSError as error:  # what was made is worth more than its copy
                    warnings.warn(f"not kept in '{self.folder}' ({error.strerror}): it is made again", stacklevel=2)
            return made

    def has(self, key: str) -> bool:
        """Whether there is an entry; whether it is whole is found when it is read."""
        return self._path(key).exists() and self._path(key).with_suffix(".sha256").exists()

    def snapshot(self, key: str) -> Snapshot:
        """The state of the measurement with this key, in a file beside the measurements."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileSnapshot(self.folder, key)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _lock(self, key: str) -> AbstractContextManager[Any]:
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{key}.lock")


@final
class FileSnapshot:
    """A snapshot on disk: one file for the last step, which replaces that of the step before once it is whole."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def _steps(self) -> list[int]:
        """That have files, whole or not, the last one first."""
        named = (path.stem.removeprefix(f"{self._key}-after-") for path in self._folder.glob(f"{self._key}-after-*"))
        return sorted({int(step) for step in named if step.isdecimal()}, reverse=True)

    def _path(self, step: int) -> Path:
        return self._folder / f"{self._key}-after-{step}.npz"

    def read(self) -> tuple[int, Arrays] | None:
        """The last step whose files are whole."""
        for step in self._steps():
            arrays = _read(self._path(step))
            if arrays is not None:
                return step, arrays
        return None

    def write(self, step: int, arrays: Arrays) -> None:
        """Writes a step's files, then removes those of the steps before."""
        _write(self._path(step), arrays)
        self._remove(keep=step)

    def drop(self) -> None:
        """Removes all files."""
        self._remove(keep=None)

    def _remove(self, *, keep: int | None) -> None:
        """Also what a run left half-written that was killed: hidden states may be large."""
        kept = () if keep is None else (self._path(keep), self._path(keep).with_suffix(".sha256"))
        for path in self._folder.glob(f"{self._key}-after-*"):
            if path not in kept:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Arrays | None:
    digest = path.with_suffix(".sha256")
    if not path.exists() or not digest.exists():
        return None
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest().encode() != digest.read_bytes().strip():
            warnings.warn(f"stored measurement '{path}' is damaged and is made again", stacklevel=2)
            return None
    with np.load(path, allow_pickle=False) as entry:
        arrays = {name: entry[name] for name in entry.files}
    if str(arrays.pop(_KEY, "")) != path.stem:
        warnings.warn(f"'{path}' holds another measurement than its name says and is made again", stacklevel=2)
        return None
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb+") as file:
        np.savez(file, **{**arrays, _KEY: np.asarray(path.stem)})  # type: ignore[arg-type]
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    partial.replace(path)
    beside = path.with_suffix(".sha256")
    partial = beside.with_name(f"{beside.name}.{os.getpid()}.partial")
    partial.write_bytes(digest.encode())
    partial.replace(beside)
