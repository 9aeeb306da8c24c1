"""Weights of a checkpoint put into a model on the meta device, part by part, and taken out again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward.architecture import Parts
from moe_claims.models.forward.stored_names import StoredNames
from moe_claims.models.storage.buffer_pool import Buffers

if TYPE_CHECKING:
    import torch


@final
class Filling:
    """Fills and empties a model whose decoder layers have been taken out of it.

    Args:
        model: with all weights on the meta device.
        parts: what a text goes through; nothing else is filled.
        layers: its decoder layers.
        names: where the checkpoint has the model's tensors, made while the model was whole.
        checkpoint: where the weights come from.
        device: where they go.
    """

    def __init__(
        self, model: Any, parts: Parts, layers: Sequence[Any], names: StoredNames, checkpoint: Checkpoint, device: str
    ) -> None:
        self._model, self._parts, self._layers, self._names = model, parts, layers, names
        self._checkpoint, self._device = checkpoint, device
        self._buffers = Buffers()
        parts.compute_constants(parts.decoder, device)

    def layer_bytes(self) -> int:
        """Of the largest layer, as it runs."""
        return max(sum(int(t.numel() * t.element_size()) for _, t in _persistent(layer)) for layer in self._layers)

    def fill_outside(self) -> None:
        """Embedding, last norm and head get their weights, if they have none."""
        import torch

        tied = getattr(self._model.config, "tie_word_embeddings", False)
        # A tied head counts twice: left out as a duplicate, it would stay on the meta device and yield garbage.
        for name, tensor in _persistent(self._model):
            if tensor.is_meta and self._parts.belongs_to_text(name):
                stored = name
                if tied and not self._names.has(name):
                    stored = self._parts.embedding
                self._put(self._model, name, self._value(stored, tensor, torch.empty_like(tensor, device="cpu")))

    def empty_outside(self) -> None:
        """They are taken out again."""
        for name, tensor in _persistent(self._model):
            self._put(self._model, name, tensor.to("meta"))

    def read(self, index: int) -> "dict[str, torch.Tensor]":
        """The weights of a layer that has none, by name, on the CPU and as they run; a thread may do it."""
        prefix = f"{self._checkpoint.family.layers}.{index}"
        return {
            name: self._value(f"{prefix}.{name}", tensor, self._place(tensor))
            for name, tensor in _persistent(self._layers[index])
            if tensor.is_meta and not name.startswith(self._checkpoint.family.idle)
        }

    def fill(self, index: int, weights: "Mapping[str, torch.Tensor]") -> None:
        """A layer gets the weights that were read."""
        self._parts.compute_constants(self._layers[index], self._device)
        for name, tensor in weights.items():
            self._put(self._layers[index], name, tensor)

    def empty(self, index: int) -> None:
        """A layer's weights are taken out again."""
        self._layers[index].to("meta")

    def _value(self, stored: str, expected: "torch.Tensor", place: "torch.Tensor") -> "torch.Tensor":
        """A tensor by its name in the module, copied to its place.

        Raises:
            ModelError: it is missing, damaged, not finite, or of another shape.
        """
        if self._checkpoint.is_experts(stored):
            self._checkpoint.put_experts(stored, place)
            return place
        tensor = self._names.tensor(stored)
        if tensor.shape != expected.shape:
            raise ModelError(
                f"'{self._checkpoint.name}' stores '{stored}' as {tuple(tensor.shape)}, but its config asks for "
                f"{tuple(expected.shape)}: config and weights do not belong together"
            )
        # A copy, since matrix products depend in their last bits on how memory is aligned, which the file decides.
        return place.copy_(tensor)

    def _place(self, like: "torch.Tensor") -> "torch.Tensor":
        """Memory that an earlier layer may have left."""
        memory = self._buffers.take(like.numel() * like.element_size())
        return memory.view(like.dtype).view(like.shape)

    def _put(self, root: "torch.nn.Module", name: str, value: "torch.Tensor") -> None:
        import torch

        path, _, leaf = name.rpartition(".")
        module = root.get_submodule(path)
        value = value.to(self._device) if not value.is_meta else value
        if leaf in module._parameters:
            module.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(leaf, value)


def _persistent(module: "torch.nn.Module") -> "list[tuple[str, torch.Tensor]]":
    """Parameters, those that are shared under each of their names, and the buffers that checkpoints keep."""
    return list(module.state_dict(keep_vars=True).items())
