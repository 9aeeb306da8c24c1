"""Reads the weights of an MoE checkpoint by role (router, up, act, down), whatever names and layout it uses on disk."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.progress import track
from moe_claims.errors import ModelError
from moe_claims.models.config import read_config, rotation_depends_on_length
from moe_claims.models.families.layout import Layout
from moe_claims.models.families.table import ROLES, Family, Role, family_of
from moe_claims.models.storage.quantised import dequantised, is_float8
from moe_claims.models.storage.tensor_source import RowSource, SafetensorsFolder, TensorSource
from moe_claims.models.storage.tensors import is_finite, stacked

if TYPE_CHECKING:
    import torch

_READ_TOGETHER = 1 << 24
"""Numbers that one read request covers, roughly."""

_QUANTISED = "quantization_config"

PartReader = Callable[[], "list[tuple[Role, torch.Tensor]]"]
"""Reads a part of a layer: (role, tensor) pairs with matrices of all experts, or some of their rows."""


@final
class Checkpoint:
    """The weights of one MoE language model.

    Attributes:
        name: name of the model, for messages and tables.
        config: the parsed ``config.json``, without its quantisation settings.
        family: the model's row of the family table.
    """

    def __init__(self, name: str, config: dict[str, Any], source: TensorSource) -> None:
        self.name = name
        self.family: Family = family_of(config, name)
        # A multimodal model may have this setting in its text config only.
        how = config.get(_QUANTISED) or self.family.text_config(config).get(_QUANTISED)
        self._source = dequantised(name, config | {_QUANTISED: how}, source)
        # The source dequantises what it reads, so transformers must build an unquantised model for it.
        self.config = _unquantised(config)
        self._names = self._source.names()
        if not self.moe_layers:
            raise ModelError(
                f"'{name}' has no tensor that names a router of the {self.family.model_type} family "
                f"(such as '{self._layout.router(0)}'): is it a complete checkpoint?"
            )

    def __reduce__(self) -> "tuple[type[Checkpoint], tuple[Any, ...]]":
        """Another process gets the place that the weights are read from, not what was worked out from it here."""
        return Checkpoint, (self.name, self.config, self._source)

    @classmethod
    def open(cls, folder: Path, name: str) -> "Checkpoint":
        """Opens the checkpoint in a directory.

        Raises:
            ModelError: config or weights are missing or damaged, or the model is dense or of an unknown family.
        """
        config = read_config(folder)
        family_of(config, name)  # refuses a dense model before its weights are opened
        return cls(name, config, SafetensorsFolder(folder))

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The text decoder's part of the config; the whole config if the model handles text only."""
        return self.family.text_config(self.config)

    @property
    def vocabulary(self) -> int:
        """Number of token ids that the model both reads and predicts: rows that only pad its matrices are none."""
        return int(self.text_config.get("unpadded_vocab_size") or self.text_config["vocab_size"])

    @cached_property
    def _layout(self) -> Layout:
        routed = self.family.routed
        return Layout(self.family, self._names, self._shape, partial(self._whole_number, routed) if routed else None)

    @cached_property
    def moe_layers(self) -> tuple[int, ...]:
        """Indices of the decoder layers that have a router, in order.

        Dense layers are counted in the numbering. Extra layers for multi-token prediction, stored after the last
        decoder layer, are left out.
        """
        config = self.text_config
        count = config.get("num_hidden_layers") if config.get("num_nextn_predict_layers") else None
        return tuple(layer for layer in self._layout.moe_layers if not isinstance(count, int) or layer < count)

    @property
    def experts(self) -> int:
        """Number E of routed experts."""
        return self._layout.experts

    @property
    def top_k(self) -> int:
        """Number k of experts chosen per token."""
        return self._whole_number(self.family.top_k)

    def _whole_number(self, key: str) -> int:
        value: Any = self.text_config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, list) and len(set(value)) == 1:  # one value per layer
            value = value[0]
        if not isinstance(value, int):
            raise ModelError(f"the config of '{self.name}' does not give {key} as one whole number for all layers")
        return value

    @property
    def alone(self) -> bool:
        """Whether every sequence must run in a micro-batch of its own.

        So it is if the family requires it, or if rotary frequencies depend on the length of the sequence.
        """
        return self.family.alone or rotation_depends_on_length(self.text_config)

    def get(self, name: str) -> "torch.Tensor":
        """Reads a tensor by its name on disk, in its stored dtype.

        Raises:
            ModelError: the tensor is missing, damaged or not finite.
        """
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        """Reads several tensors by their names on disk, in their stored dtype.

        Raises:
            ModelError: a tensor is missing, damaged or not finite.
        """
        try:
            tensors = self._source.get_many(names)
        except KeyError as error:
            raise self._lacking(error) from None
        for name, tensor in zip(names, tensors, strict=True):
            if is_float8(tensor):
                raise ModelError(
                    f"'{self.name}' stores '{name}' in float8, but its config has no quantization_config, which says "
                    "how to read it: take both from the same checkpoint"
                )
            if tensor.is_floating_point() and not is_finite(tensor):
                raise ModelError(
                    f"'{self.name}' has NaN or infinite weights in the tensor '{name}': it cannot be measured"
                )
        return tensors

    def _lacking(self, error: KeyError) -> ModelError:
        return ModelError(f"'{self.name}' lacks the tensor '{error.args[0]}': is the checkpoint complete?")

    def _shape(self, name: str) -> tuple[int, ...]:
        try:
            return self._source.shape(name)
        except KeyError as error:
            raise self._lacking(error) from None

    def router(self, layer: int) -> "torch.Tensor":
        """Router weights W_g of a layer, (E, d), in their stored dtype."""
        rows = self.get(self._layout.router(layer))
        return (rows.T if self._layout.router_is_transposed else rows)[: self.experts]

    def shape(self, layer: int, role: Role) -> tuple[int, int, int]:
        """Shape of the tensor that ``matrix`` returns, without reading it.

        Raises:
            ModelError: a tensor is missing, or experts differ in shape.
        """
        found = sorted({self._shape(name) for name in self._layout.stored(layer, role)})
        if self._layout.together is not None:
            return self._layout.shape(found[0], role)
        if len(found) > 1:
            raise ModelError(
                f"'{self.name}' has experts of different shapes in layer {layer} "
                f"({role}: {' and '.join(map(str, found))}): is the checkpoint damaged?"
            )
        rows, columns = found[0]
        return self.experts, rows, columns

    def piece_bytes(self, layer: int) -> int:
        """Size in bytes of the largest item of ``pieces`` for a layer."""
        small = isinstance(self._source, RowSource) and self._layout.first_rows(layer, "up") is not None
        return 4 * _READ_TOGETHER if small else self.layer_bytes(layer)

    def layer_bytes(self, layer: int) -> int:
        """Size in bytes of the experts of a layer, as stored."""
        configs = (self.text_config, self.config)
        stored = next((str(of[key]) for of in configs for key in ("dtype", "torch_dtype") if of.get(key)), "")
        return (2 if stored in ("bfloat16", "float16") else 4) * sum(prod(self.shape(layer, role)) for role in ROLES)

    def matrix(self, layer: int, role: Role) -> "torch.Tensor":
        """Reads one matrix of every expert of a layer: up and act (E, m, d), down (E, d, m), in the stored dtype.

        Raises:
            ModelError: a tensor is missing, damaged or not finite, or experts differ in shape.
        """
        names = self._layout.stored(layer, role)
        if self._layout.together is not None:
            return self._layout.unpack(self.get(names[0]), role)
        self.shape(layer, role)
        return stacked(self.get_many(names))

    def matrices(self, layer: int) -> "Iterator[tuple[Role, torch.Tensor]]":
        """Yields (role, what ``matrix`` returns) for all roles, reading each byte once."""
        for read in self._part_readers(layer):
            yield from read()

    def _part_readers(self, layer: int) -> "list[PartReader]":
        def whole(role: Role) -> "list[tuple[Role, torch.Tensor]]":
            return [(role, self.matrix(layer, role))]

        def both() -> "list[tuple[Role, torch.Tensor]]":
            stored = self.get(self._layout.stored(layer, "act")[0])
            return [("act", self._layout.unpack(stored, "act")), ("up", self._layout.unpack(stored, "up"))]

        if self._layout.is_split:
            return [partial(whole, role) for role in ROLES]
        return [both, partial(whole, "down")]

    def pieces(self, layer: int) -> "list[PartReader]":
        """Functions that read what ``matrices`` yields in small pieces (E, rows, columns), in order.

        Small pieces fit into a processor's caches and can be read in parallel. Where the storage does not allow it,
        the pieces are whole matrices. Small pieces are not checked for NaN or infinity; their sums show it.
        """
        source, first_rows = self._source, [self._layout.first_rows(layer, role) for role in ROLES]
        if not isinstance(source, RowSource) or None in first_rows:
            return self._part_readers(layer)

        def rows(role: Role, parts: list[tuple[str, int, int]]) -> "list[tuple[Role, torch.Tensor]]":
            return [(role, stacked(source.get_rows(parts)))]

        readers: list[PartReader] = []
        for role, experts in zip(ROLES, first_rows, strict=True):
            _, count, columns = self.shape(layer, role)
            some = max(1, _READ_TOGETHER // (self.experts * columns))
            for first in range(0, count, some):
                last = min(first + some, count)
                parts = [(name, start + first, start + last) for name, start in experts or ()]
                readers.append(partial(rows, role, parts))
        return readers

    def router_bias(self, layer: int) -> "torch.Tensor | None":
        """The router's bias, (E,); None in families whose routers have none."""
        if not self.family.router_bias:
            return None
        return self.get(f"{self._layout.router(layer).removesuffix('.weight')}.bias")

    @property
    def score_factor(self) -> float:
        """Factor that the router multiplies its scores by; 1 in most families."""
        if not self.family.score_factor:
            return 1.0
        value = self.text_config.get(self.family.score_factor)
        if not isinstance(value, int | float):
            raise ModelError(f"the config of '{self.name}' does not give {self.family.score_factor} as a number")
        return float(value)

    def is_experts(self, name: str) -> bool:
        """Whether a tensor name of the transformers module stands for the fused matrices of all experts of a layer."""
        _, experts, leaf = name.rpartition(".experts.")
        return bool(experts) and leaf in ("gate_up_proj", "down_proj")

    def put_experts(self, name: str, into: "torch.Tensor") -> None:
        """Copies the matrices of all experts of a layer into a tensor with the layout of the transformers module.

        Args:
            name: name of the tensor in the module; it ends in ``.experts.gate_up_proj`` or ``.experts.down_proj``.
            into: destination, with the shape of that tensor and any dtype.

        Raises:
            ModelError: a stored tensor is missing, damaged, not finite, or of another shape.
        """
        prefix, _, leaf = name.rpartition(".experts.")
        layer = int(re.findall(r"\.(\d+)\.", f"{prefix}.")[-1])
        roles: tuple[Role, ...] = ("down",) if leaf == "down_proj" else ("act", "up")
        if self._layout.as_module:
            (stored,) = self._layout.stored(layer, roles[0])
            self._check_shape(stored, self._shape(stored), into)
            into.copy_(self.get(stored))
            return
        experts, rows, columns = self.shape(layer, roles[0])
        self._check_shape(name, (experts, rows * len(roles), columns), into)
        for role, part in zip(roles, into.chunk(len(roles), dim=1), strict=True):
            if self._layout.together is not None:
                part.copy_(self.matrix(layer, role))
                continue
            names = self._layout.stored(layer, role)
            # Reading a few at a time is fast enough; reading all would take a third of a layer more memory.
            some = max(1, _READ_TOGETHER // (rows * columns))
            for first in range(0, experts, some):
                for expert_matrix, tensor in zip(
                    part[first:], self.get_many(names[first : first + some]), strict=False
                ):
                    expert_matrix.copy_(tensor)

    def _check_shape(self, name: str, stored: tuple[int, ...], into: "torch.Tensor") -> None:
        if stored != tuple(into.shape):
            raise ModelError(
                f"'{self.name}' stores '{name}' as {stored}, but its config asks for {tuple(into.shape)}: config and "
                "weights do not belong together"
            )

    @property
    def names(self) -> frozenset[str]:
        """Names of all stored tensors."""
        return self._names

    @cached_property
    def sha256(self) -> str:
        """Hash of all weights, by role.

        It is the same for both layouts of a family, as long as only the names of expert tensors differ.
        """
        import torch

        digest = hashlib.sha256()

        def add(label: str, tensor: "torch.Tensor") -> None:
            digest.update(f"{label} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)

        of_experts = (self._layout.stored(layer, role) for layer in self.moe_layers for role in ROLES)
        others = self._names.difference(*of_experts)
        block = self._layout.block
        # Sorted by label, since the names of the two layouts sort differently.
        labels = {name.replace(f".{block}.", ".moe.") if block else name: name for name in others}
        for label in sorted(labels):
            add(label, self.get(labels[label]))
        for layer in track(self.moe_layers, f"hashing {self.name}", unit="layers"):
            for role in ("up", "act", "down"):
                add(f"{layer} {role}", self.matrix(layer, role))
        return digest.hexdigest()


def _unquantised(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a config without quantisation settings, at any depth."""
    parts = ((key, value) for key, value in config.items() if key != _QUANTISED)
    return {key: _unquantised(value) if isinstance(value, dict) else value for key, value in parts}
