"""How large the parts of a checkpoint are, as stored and as numbers, from the headers of its files alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, final, runtime_checkable

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import DenseModel
from moe_claims.models.families.table import ROLES
from moe_claims.models.storage.tensor_source import MemorySource, SafetensorsFolder

_PARTS = ("_scale_inv", "_blocks", "_scales")
"""Endings of the tensors that a quantised matrix is stored in, beside or in place of its own name."""


@runtime_checkable
class _Described(Protocol):
    """A source that knows from its headers what each tensor is and where."""

    def described(self, name: str) -> tuple[str, str, tuple[int, ...], int, int]:
        """File, dtype, shape, first byte and size in bytes of a tensor."""


@final
@dataclass(frozen=True)
class Sizes:
    """Bytes of a checkpoint's parts as stored, and how many numbers they are; layers by their true index."""

    kind: str
    """``folder``, ``network`` or ``memory``: how the tensors are read."""
    whole: int
    """Bytes of all tensors."""
    layers: Mapping[int, int]
    """Bytes of each decoder layer."""
    experts: Mapping[int, int]
    """Bytes of the routed experts of each MoE layer."""
    fused: Mapping[int, int]
    """Bytes of the tensor that holds two matrices of every expert of a layer; 0 where each has its own."""
    routers: Mapping[int, int]
    """Bytes of the router of each MoE layer."""
    outside: int
    """Bytes of embedding, final norm and head."""
    numbers: Mapping[int, int]
    """Numbers (weights) in each decoder layer."""
    expert_numbers: Mapping[int, int]
    """Numbers in the routed experts of each MoE layer."""
    outside_numbers: int
    """Numbers in embedding, final norm and head, one that is shared counted once."""
    largest: int
    """Bytes of the largest tensor that is stored for itself, apart from experts."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Sizes":
        """The sizes of a checkpoint; reads no weight.

        Raises:
            ModelError: a tensor is missing, or experts differ in shape.
        """
        read, stored = checkpoint._source, _stored(checkpoint._source)
        count = checkpoint.text_config.get("num_hidden_layers")
        most = count if isinstance(count, int) else None
        prefix = _prefix(checkpoint)
        sizes = {name: _size(stored, name) for name in stored.names()}
        layers: dict[int, int] = {}
        numbers: dict[int, int] = {}
        outside = outside_numbers = largest = 0
        experts = {layer: _expert_names(checkpoint, layer) for layer in checkpoint.moe_layers}
        of_experts = frozenset[str]().union(*experts.values())
        for name, size in sizes.items():
            layer = _layer(name, prefix, most)
            if layer is not None:
                layers[layer] = layers.get(layer, 0) + size
            elif _is_outside(name):
                outside += size
            if _whole(name) not in of_experts:
                largest = max(largest, size)
        for name in read.names():
            layer = _layer(name, prefix, most)
            if layer is not None:
                numbers[layer] = numbers.get(layer, 0) + prod(read.shape(name))
            elif _is_outside(name):
                outside_numbers += prod(read.shape(name))
        by_layer: dict[int, int] = dict.fromkeys(experts, 0)
        owner = {name: layer for layer, names in experts.items() for name in names}
        for name, size in sizes.items():
            if (layer := owner.get(_whole(name))) is not None:
                by_layer[layer] += size
        layout = checkpoint._layout
        share = 0 if layout.is_split else 2 / 3
        return cls(
            kind=_kind(stored),
            whole=sum(sizes.values()),
            layers=dict(sorted(layers.items())),
            experts=by_layer,
            fused={layer: round(share * size) for layer, size in by_layer.items()},
            routers={layer: sizes.get(layout.router(layer), 0) for layer in experts},
            outside=outside,
            numbers=dict(sorted(numbers.items())),
            expert_numbers={layer: sum(prod(checkpoint.shape(layer, role)) for role in ROLES) for layer in experts},
            outside_numbers=outside_numbers,
            largest=largest,
        )


def fingerprint(checkpoint: Checkpoint) -> tuple[str, str]:
    """What identifies a checkpoint without its weights being read: (what was hashed, SHA-256).

    ``weights``: weights that are in memory anyway, as generated ones are. ``headers``: the config as it is read, and of
    every tensor its name, file, dtype, shape, position and size. Two trainings of one architecture may have the same
    headers.
    """
    stored = _stored(checkpoint._source)
    if not isinstance(stored, _Described):
        return "weights", checkpoint.sha256
    return _of_headers(checkpoint.config, stored)


def _of_headers(config: dict[str, Any], stored: Any) -> tuple[str, str]:
    found = {name: stored.described(name) for name in sorted(stored.names())}
    content = json.dumps([config, found], sort_keys=True)
    return "headers", hashlib.sha256(content.encode()).hexdigest()


def files_of(checkpoint: Checkpoint) -> "list[str]":
    """Paths of the files that a local checkpoint's weights are in; empty where they are elsewhere."""
    stored = _stored(checkpoint._source)
    if not isinstance(stored, SafetensorsFolder):
        return []
    return sorted({str(stored.folder / stored.described(name)[0]) for name in stored.names()})


def dense_sizes(dense: DenseModel) -> int:
    """Bytes of the feed-forward matrices of a dense model, as stored; reads no weight."""
    stored = _stored(dense._source)
    return sum(_size(stored, name) for name in stored.names() if ".mlp." in name)


def dense_fingerprint(dense: DenseModel) -> tuple[str, str]:
    """What identifies a dense model without its weights being read; as ``fingerprint``."""
    stored = _stored(dense._source)
    if not isinstance(stored, _Described):
        return "weights", dense.identity
    return _of_headers(dense.config, stored)


def stored_dtype(checkpoint: Checkpoint) -> str:
    """Name in torch of the dtype that the experts' matrices are read in, quantised ones as what they stand for."""
    stored = _stored(checkpoint._source)
    name = checkpoint._layout.stored(checkpoint.moe_layers[0], "down")[0]
    if stored is not checkpoint._source:
        return "bfloat16"
    return stored.described(name)[1] if isinstance(stored, _Described) else str(stored.get(name).dtype).split(".")[1]


def _stored(source: Any) -> Any:
    """The source below one that dequantises."""
    return getattr(source, "_source", source)


def _kind(source: object) -> str:
    if isinstance(source, SafetensorsFolder):
        return "folder"
    return "memory" if isinstance(source, MemorySource) else "network"


def _size(source: Any, name: str) -> int:
    return int(source.described(name)[4] if isinstance(source, _Described) else source.get(name).nbytes)


def _prefix(checkpoint: Checkpoint) -> str:
    """What stands before the index of a decoder layer in names of tensors."""
    first = checkpoint.moe_layers[0]
    return checkpoint._layout.router(first).partition(f".{first}.")[0] + "."


def _layer(name: str, prefix: str, most: int | None) -> int | None:
    number = name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else ""
    if not number.isdecimal():
        return None
    return int(number) if most is None or int(number) < most else None


def _is_outside(name: str) -> bool:
    """Whether a tensor is in no numbered part; further layers and vision towers are numbered."""
    return not any(part.isdecimal() for part in name.split("."))


def _whole(name: str) -> str:
    """Name of the matrix that a stored tensor is a part of."""
    return next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)


def _expert_names(checkpoint: Checkpoint, layer: int) -> frozenset[str]:
    def names() -> Iterator[str]:
        for role in ROLES:
            yield from checkpoint._layout.stored(layer, role)

    return frozenset(names())
