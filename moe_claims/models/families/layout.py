"""Detects which of its family's layouts a checkpoint has, and finds its routers and experts by tensor name."""

import re
from collections.abc import Callable
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, final

from moe_claims.models.families.table import ROLES, Family, Role

if TYPE_CHECKING:
    import torch


@final
class Layout:
    """The layout of a checkpoint, detected from tensor names and shapes; no tensor is read.

    Args:
        family: the model's row of the family table.
        names: names of all stored tensors.
        shape: function from the name of a stored tensor to its shape.
        routed: function that returns the number E of routed experts, if the router's shape does not tell it.
    """

    def __init__(
        self,
        family: Family,
        names: frozenset[str],
        shape: Callable[[str], tuple[int, ...]],
        routed: Callable[[], int] | None = None,
    ) -> None:
        self._family, self._names, self._shape, self._routed = family, names, shape, routed

    @cached_property
    def moe_layers(self) -> tuple[int, ...]:
        """Indices of the layers that have a router, in order."""
        return self._layers_with(*self._found)

    def _layers_with(self, layers: str, router: str) -> tuple[int, ...]:
        pattern = re.compile(rf"{re.escape(layers)}\.(\d+)\.{re.escape(router)}")
        return tuple(sorted(int(found[1]) for found in map(pattern.fullmatch, self._names) if found))

    @cached_property
    def _found(self) -> tuple[str, str]:
        """Prefix of the layers and name of the router in the checkpoint; transformers' own names if none match."""
        family = self._family
        prefixes = dict.fromkeys((family.published_layers or family.layers, family.layers))
        if family.part:
            prefixes[f"{family.part}.{family.layers}"] = None
        several = product(prefixes, family.routers)
        return next((found for found in several if self._layers_with(*found)), (family.layers, family.routers[-1]))

    def router(self, layer: int) -> str:
        """Name of the tensor with the router weights of a layer."""
        layers, router = self._found
        return f"{layers}.{layer}.{router}"

    @property
    def router_is_transposed(self) -> bool:
        """Whether router weights are stored as (d, E)."""
        return self._family.router_transposed and self._found[1] != self._family.routers[-1]

    @cached_property
    def experts(self) -> int:
        """Number E of routed experts."""
        if self._routed is not None:
            return self._routed()
        return self._shape(self.router(self.moe_layers[0]))[self.router_is_transposed]

    @property
    def block(self) -> str:
        """Path from a layer to the block that contains the experts; empty if the layer itself contains them."""
        return self._family.experts_of(self._found[1]).rpartition(".")[0]

    def _inside(self, layer: int, name: str) -> str:
        return ".".join(part for part in (self._found[0], str(layer), self.block, name) if part)

    @cached_property
    def together(self) -> dict[Role, str] | None:
        """Names, below the block, of the tensors that hold all experts of a layer, by role.

        None if every expert has tensors of its own.
        """
        first = self.moe_layers[0]
        for both, down in (("experts.gate_up_proj", "experts.down_proj"), self._family.stacked):
            if self._inside(first, down) in self._names:
                return {"up": both, "act": both, "down": down}
        if self._family.per_role and self._inside(first, self._family.per_role[2]) in self._names:
            return dict(zip(ROLES, self._family.per_role, strict=True))
        return None

    def stored(self, layer: int, role: Role) -> list[str]:
        """Names of the tensors that hold the matrices of a role: one for all experts, or one per expert."""
        if self.together is not None:
            return [self._inside(layer, self.together[role])]
        experts = f"{self._found[0]}.{layer}.{self._family.experts_of(self._found[1])}"
        return [f"{experts}.{expert}.{self._family.matrix(role)}.weight" for expert in range(self.experts)]

    @cached_property
    def is_split(self) -> bool:
        """Whether up and act are stored in separate tensors."""
        return self.together is None or self.together["up"] != self.together["act"]

    @cached_property
    def as_module(self) -> bool:
        """Whether the tensors of all experts have the same form as in the transformers module."""
        return not self.is_split and not self._otherwise

    @cached_property
    def _otherwise(self) -> str:
        """How fused tensors differ from transformers': ``interleaved``, ``transposed``, or empty if they do not."""
        kind = self._family.published_otherwise
        if kind == "interleaved":
            return kind if self.together is not None and self.together["down"] == self._family.stacked[1] else ""
        if kind == "transposed":  # the names are the same, so shapes decide; at most one of the two is square
            first = self.moe_layers[0]
            hidden = self._shape(self.router(first))[1]
            (both,), (down,) = ([self._shape(name) for name in self.stored(first, role)] for role in ("act", "down"))
            turned = down[2] == hidden if down[1] != down[2] else both[1] == hidden
            return kind if turned else ""
        return ""

    def first_rows(self, layer: int, role: Role) -> list[tuple[str, int]] | None:
        """For each expert, name of the tensor with its matrix, and first row in it; None if rows are not contiguous.

        Rows are counted over all axes but the last.
        """
        names = self.stored(layer, role)
        if self.together is None:
            return [(name, 0) for name in names]
        if self._family.flat or self._is_transposed or self._family.interleaved or self._otherwise:
            return None
        _, rows, _ = self._shape(names[0])
        skipped = rows // 2 if role == "up" and not self.is_split else 0
        return [(names[0], expert * rows + skipped) for expert in range(self.experts)]

    def shape(self, stored: tuple[int, ...], role: Role) -> tuple[int, int, int]:
        """Shape of what ``unpack`` returns for a tensor of shape ``stored``."""
        if self._family.flat:
            rows, columns = stored[0] // self.experts, stored[1]
            return (self.experts, columns, rows) if role == "down" else (self.experts, rows, columns)
        _, rows, columns = stored
        if self._is_transposed:
            rows, columns = columns, rows
        return self.experts, rows if role == "down" or self.is_split else rows // 2, columns

    def unpack(self, stored: "torch.Tensor", role: Role) -> "torch.Tensor":
        """Extracts up or act (E, m, d), or down (E, d, m), from the tensor that holds them for all experts."""
        if self._family.flat:
            apart = stored.reshape(self.experts, -1, stored.shape[-1])
            return apart.transpose(1, 2) if role == "down" else apart
        whole = stored[: self.experts]
        if self._is_transposed:
            whole = whole.transpose(1, 2)
        if role == "down" or self.is_split:
            return whole
        if self._family.interleaved or self._otherwise == "interleaved":
            return whole[:, ::2] if role == "act" else whole[:, 1::2]
        act, up = whole.chunk(2, dim=1)
        return act if role == "act" else up

    @property
    def _is_transposed(self) -> bool:
        return self._family.transposed or self._otherwise == "transposed"
