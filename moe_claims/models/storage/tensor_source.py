"""Sources of named tensors: protocols, and implementations for a folder of safetensors files and for memory."""

import os.path
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, final, runtime_checkable

from moe_claims.models.storage import shards
from moe_claims.models.storage.safetensors_file import Span, TensorReader, read_spans

if TYPE_CHECKING:
    import torch


class TensorSource(Protocol):
    """Read access to named tensors. An unknown name raises KeyError."""

    def names(self) -> frozenset[str]:
        """Names of all tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""

    def get(self, name: str) -> "torch.Tensor":
        """A tensor, on the CPU, in its stored dtype."""

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        """Several tensors, in the order of ``names``; faster than one by one."""


@runtime_checkable
class RowSource(Protocol):
    """A source that can read some rows of a tensor without reading the rest, also from several threads at once."""

    def get_rows(self, parts: Sequence[tuple[str, int, int]]) -> "list[torch.Tensor]":
        """For each (name, first, last), rows first to last − 1 as a matrix.

        Rows are counted over all axes but the last.
        """


@final
class MemorySource:
    """Tensors of a model that was generated in memory."""

    def __init__(self, tensors: Mapping[str, "torch.Tensor"]) -> None:
        self._tensors = tensors

    def names(self) -> frozenset[str]:
        return frozenset(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name].shape)

    def get(self, name: str) -> "torch.Tensor":
        return self._tensors[name]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        return [self._tensors[name] for name in names]


@final
class SafetensorsFolder:
    """The tensors in a folder of one or several ``.safetensors`` files.

    Raises:
        ModelError: the folder has no safetensors file, a shard of its index is missing, or a file is damaged; the
            message names the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spans: dict[Path, dict[str, Span]] = {}
        self._reader = TensorReader()
        self._where = self._index()

    def __reduce__(self) -> "tuple[type[SafetensorsFolder], tuple[Path]]":
        """Another process opens the folder anew."""
        return SafetensorsFolder, (self.folder,)

    def _index(self) -> dict[str, Path]:
        index = self.folder / shards.INDEX
        if index.exists():
            weight_map = shards.weight_map(index.read_bytes(), str(index))
            # pathlib raises for a name too long for the file system.
            present = {s for s in weight_map.values() if os.path.exists(self.folder / s)}  # noqa: PTH110
            shards.check_complete(str(self.folder), weight_map, present)
            return {name: self.folder / shard for name, shard in weight_map.items()}
        beside = [path.name for path in self.folder.glob("*.*")]
        paths = [self.folder / name for name in shards.without_index(str(self.folder), beside)]
        return {name: path for path in paths for name in self._header(path)}

    def _header(self, path: Path) -> dict[str, Span]:
        if path not in self._spans:
            self._spans[path] = read_spans(path)
        return self._spans[path]

    def _span(self, name: str) -> Span:
        return self._header(self._where[name])[name]  # KeyError if the index names a tensor that the shard lacks

    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._span(name).shape

    def described(self, name: str) -> tuple[str, str, tuple[int, ...], int, int]:
        """File, dtype, shape, first byte and size in bytes of a tensor, from the headers."""
        span = self._span(name)
        return self._where[name].name, span.dtype, span.shape, span.begin, span.size

    def get(self, name: str) -> "torch.Tensor":
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        return self._reader.read([(self._where[name], self._span(name)) for name in names])

    def get_rows(self, parts: Sequence[tuple[str, int, int]]) -> "list[torch.Tensor]":
        spans = []
        for name, first, last in parts:
            span = self._span(name)
            columns = span.shape[-1]
            row = columns * span.size // prod(span.shape)
            found = Span(span.dtype, (last - first, columns), span.begin + first * row, (last - first) * row)
            spans.append((self._where[name], found))
        return self._reader.read(spans, threads=1)
