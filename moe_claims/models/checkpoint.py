"""A checkpoint read by role, whatever its layout: router, up, act and down of each layer."""

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.families import Family, Role, family_of
from moe_claims.models.source import SafetensorsFolder, TensorSource
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch


@final
class Checkpoint:
    """The weights of one MoE language model.

    Attributes:
        name: for messages and tables.
        config: the parsed ``config.json``.
        family: the row of the family table.
    """

    def __init__(self, name: str, config: dict[str, Any], source: TensorSource) -> None:
        self.name = name
        self.config = config
        self.family: Family = family_of(config, name)
        self._source = source
        self._names = source.names()
        if not self.moe_layers:
            raise ModelError(
                f"'{name}' has no tensor that names a router of the {self.family.model_type} family "
                f"(such as '{self._router_name(0)}'): is it a complete checkpoint?"
            )

    @classmethod
    def open(cls, folder: Path, name: str) -> "Checkpoint":
        """The checkpoint in a directory.

        Raises:
            ModelError: config or weights are missing, damaged, dense or of an unknown family.
        """
        path = folder / "config.json"
        if not path.exists():
            raise ModelError(f"'{folder}' has no config.json: give the folder of a saved model")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"'{path}' is not valid JSON: {error}") from None
        if not isinstance(config, dict):
            raise ModelError(f"'{path}' is not the configuration of a model: it holds no JSON object")
        family_of(config, name)  # a dense model is refused before its weights are looked at
        return cls(name, config, SafetensorsFolder(folder))

    @cached_property
    def moe_layers(self) -> tuple[int, ...]:
        """Indices of the layers that have a router, in order; dense layers keep theirs."""
        pattern = re.compile(rf"{re.escape(self.family.layers)}\.(\d+)\.{self._block}\.{re.escape(self.family.router)}")
        return tuple(sorted(int(found[1]) for found in map(pattern.fullmatch, self._names) if found))

    @cached_property
    def experts(self) -> int:
        """Number E of routed experts."""
        return len(self.router(self.moe_layers[0]))

    @property
    def top_k(self) -> int:
        """Number k of experts chosen per token."""
        try:
            return int(self.config["num_experts_per_tok"])
        except KeyError:
            raise ModelError(f"the config of '{self.name}' does not say num_experts_per_tok") from None

    @cached_property
    def _block(self) -> str:
        for block in self.family.blocks:
            prefix = f".{block}.{self.family.router}"
            if any(name.endswith(prefix) for name in self._names):
                return block
        return self.family.blocks[-1]

    def _layer(self, layer: int) -> str:
        return f"{self.family.layers}.{layer}"

    def _router_name(self, layer: int) -> str:
        return f"{self._layer(layer)}.{self._block}.{self.family.router}"

    @property
    def _fused(self) -> bool:
        """Whether all experts of a layer share one tensor, as transformers saves them."""
        return f"{self._layer(self.moe_layers[0])}.{self._block}.experts.down_proj" in self._names

    def _get(self, name: str) -> "torch.Tensor":
        import torch

        try:
            tensor = self._source.get(name)
        except KeyError:
            raise ModelError(f"'{self.name}' lacks the tensor '{name}': is the checkpoint complete?") from None
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"'{self.name}' has NaN or infinite weights in the tensor '{name}': it cannot be measured")
        return tensor

    def router(self, layer: int) -> "torch.Tensor":
        """Router rows W_g of a layer, (E, d), stored dtype."""
        return self._get(self._router_name(layer))

    def matrix(self, layer: int, role: Role) -> "torch.Tensor":
        """One matrix of every expert of a layer: up and act (E, m, d), down (E, d, m), stored dtype."""
        import torch

        experts = f"{self._layer(layer)}.{self._block}.experts"
        if not self._fused:
            names = (f"{experts}.{expert}.{self.family.matrix(role)}.weight" for expert in range(self.experts))
            matrices = [self._get(name) for name in names]
            shapes = sorted({tuple(matrix.shape) for matrix in matrices})
            if len(shapes) > 1:
                raise ModelError(
                    f"'{self.name}' has experts of different shapes in layer {layer} "
                    f"({role}: {' and '.join(map(str, shapes))}): is the checkpoint damaged?"
                )
            return torch.stack(matrices)
        if role == "down":
            return self._get(f"{experts}.down_proj")
        act, up = self._get(f"{experts}.gate_up_proj").chunk(2, dim=1)
        return act if role == "act" else up

    def tensor(self, name: str) -> "torch.Tensor":
        """A tensor by its name in the transformers module (fused experts), whatever the layout on disk."""
        import torch

        prefix, fused, leaf = name.rpartition(".mlp.experts.")
        if fused and not self._fused and leaf in ("gate_up_proj", "down_proj"):
            layer = int(prefix.rpartition(".")[2])
            if leaf == "down_proj":
                return self.matrix(layer, "down")
            return torch.cat([self.matrix(layer, "act"), self.matrix(layer, "up")], dim=1)
        return self._get(self._on_disk(name))

    def _on_disk(self, name: str) -> str:
        return name.replace(".mlp.", f".{self._block}.") if name.startswith(self.family.layers) else name

    def has(self, name: str) -> bool:
        """Whether the checkpoint stores this tensor (module naming) by itself; tied weights are absent."""
        return self._on_disk(name) in self._names

    @cached_property
    def sha256(self) -> str:
        """Hash of all weights by role: the same weights have the same hash in both layouts."""
        import torch

        digest = hashlib.sha256()

        def add(label: str, tensor: "torch.Tensor") -> None:
            digest.update(f"{label} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)

        experts = tuple(f"{self._layer(layer)}.{self._block}.experts." for layer in self.moe_layers)
        # Sorted by label, since the block's name in one layout sorts elsewhere than in the other.
        labels = {n.replace(f".{self._block}.", ".moe."): n for n in self._names if not n.startswith(experts)}
        for label in sorted(labels):
            add(label, self._get(labels[label]))
        for layer in track(self.moe_layers, f"hashing {self.name}", unit="layers"):
            for role in ("up", "act", "down"):
                add(f"{layer} {role}", self.matrix(layer, role))
        return digest.hexdigest()
