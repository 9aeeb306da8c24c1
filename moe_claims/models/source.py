"""Where tensors come from: a folder of safetensors, or memory. Nothing else is ever read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, final

from moe_claims.errors import ModelError
from moe_claims.models.tensor_file import Span, TensorReader, read_spans

if TYPE_CHECKING:
    import torch


class TensorSource(Protocol):
    """Named tensors. A name that is not there is a KeyError."""

    def names(self) -> frozenset[str]:
        """Names of all tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, without reading it."""

    def get(self, name: str) -> "torch.Tensor":
        """The tensor of that name, on the CPU, in its stored dtype."""

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        """Tensors in the order of their names, read in whichever way is fastest."""


@final
class MemorySource:
    """Tensors of a model that was made in memory."""

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
    """A checkpoint directory: one or many ``.safetensors`` files.

    Raises:
        ModelError: no safetensors there, a shard of the index is missing, or a file is
            damaged; the message names the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spans: dict[Path, dict[str, Span]] = {}
        self._reader = TensorReader()
        self._where = self._index()

    def _index(self) -> dict[str, Path]:
        index = self.folder / "model.safetensors.index.json"
        if index.exists():
            weight_map = self._weight_map(index)
            missing = sorted({s for s in weight_map.values() if not (self.folder / s).exists()})
            if missing:
                raise ModelError(
                    f"'{self.folder}' lacks shard {missing[0]}"
                    + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                    + f" of the {len(set(weight_map.values()))} in its index: download it again"
                )
            return {name: self.folder / shard for name, shard in weight_map.items()}
        paths = sorted(self.folder.glob("*.safetensors"))
        if not paths:
            pickled = sorted(self.folder.glob("*.bin")) or sorted(self.folder.glob("*.pt"))
            if pickled:
                rewrite = (
                    "import torch; from safetensors.torch import save_file; "
                    f"save_file(torch.load('{pickled[0].name}', weights_only=True), '{pickled[0].stem}.safetensors')"
                )
                raise ModelError(
                    f"'{self.folder}' holds pickled weights ({pickled[0].name}), which are never loaded: if you trust "
                    f'them, rewrite each file there with python -c "{rewrite}"'
                )
            raise ModelError(f"'{self.folder}' has no *.safetensors file: give a folder that holds the weights")
        return {name: path for path in paths for name in self._header(path)}

    @staticmethod
    def _weight_map(index: Path) -> dict[str, str]:
        try:
            weight_map: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"'{index}' is not an index of safetensors files ({type(error).__name__}): download it again"
            ) from None
        return weight_map

    def _header(self, path: Path) -> dict[str, Span]:
        if path not in self._spans:
            self._spans[path] = read_spans(path)
        return self._spans[path]

    def _span(self, name: str) -> Span:
        return self._header(self._where[name])[name]  # the index may promise what the shard does not hold

    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._span(name).shape

    def get(self, name: str) -> "torch.Tensor":
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        return self._reader.read([(self._where[name], self._span(name)) for name in names])
