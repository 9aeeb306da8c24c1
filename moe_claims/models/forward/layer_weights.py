"""Loads the weights of a checkpoint into a model on the meta device, layer by layer, and removes them again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward.architecture import DecoderParts
from moe_claims.models.forward.stored_names import StoredNames
from moe_claims.models.storage.buffer_pool import BufferPool

if TYPE_CHECKING:
    import torch


@final
class LayerLoader:
    """Loads and removes weights of a model whose decoder layers have been detached from it.

    Args:
        model: the model without its decoder layers, all weights on the meta device.
        parts: the decoder and head; other parts, such as vision towers, get no weights.
        layers: the detached decoder layers.
        names: where the checkpoint stores the model's tensors; made before the layers were detached.
        checkpoint: source of the weights.
        device: device that the weights are put on.
    """

    def __init__(
        self,
        model: Any,
        parts: DecoderParts,
        layers: Sequence[Any],
        names: StoredNames,
        checkpoint: Checkpoint,
        device: str,
    ) -> None:
        self._model, self._parts, self._layers, self._names = model, parts, layers, names
        self._checkpoint, self._device = checkpoint, device
        self._buffers = BufferPool()
        parts.compute_constants(parts.decoder, device)

    def layer_bytes(self) -> int:
        """Size in bytes of the largest layer as it runs."""
        return max(sum(int(t.numel() * t.element_size()) for _, t in _persistent(layer)) for layer in self._layers)

    def fill_outside_layers(self) -> None:
        """Loads the weights of embedding, final norm and head, unless they are loaded."""
        import torch

        tied = getattr(self._model.config, "tie_word_embeddings", False)
        # A tied head is loaded under its own name too; otherwise it would stay on the meta device and yield garbage.
        for name, tensor in _persistent(self._model):
            if tensor.is_meta and self._parts.belongs_to_text(name):
                stored = name
                if tied and not self._names.has(name):
                    stored = self._parts.embedding
                self._put(self._model, name, self._value(stored, tensor, torch.empty_like(tensor, device="cpu")))

    def empty_outside_layers(self) -> None:
        """Removes the weights of embedding, final norm and head."""
        for name, tensor in _persistent(self._model):
            self._put(self._model, name, tensor.to("meta"))

    def read(self, index: int) -> "dict[str, torch.Tensor]":
        """Reads the weights of a layer, by name: on the CPU, in the model's dtype. It may run in another thread.

        Weights that the layer already has are not read again.
        """
        prefix = f"{self._checkpoint.family.layers}.{index}"
        return {
            name: self._value(f"{prefix}.{name}", tensor, self._buffer(tensor))
            for name, tensor in _persistent(self._layers[index])
            if tensor.is_meta and not name.startswith(self._checkpoint.family.idle)
        }

    def fill(self, index: int, weights: "Mapping[str, torch.Tensor]") -> None:
        """Puts the weights that ``read`` returned into a layer."""
        self._parts.compute_constants(self._layers[index], self._device)
        for name, tensor in weights.items():
            self._put(self._layers[index], name, tensor)

    def empty(self, index: int) -> None:
        """Removes the weights of a layer."""
        self._layers[index].to("meta")

    def _value(self, stored: str, expected: "torch.Tensor", buffer: "torch.Tensor") -> "torch.Tensor":
        """Reads a tensor by its name in the module and copies it into ``buffer``.

        Raises:
            ModelError: the tensor is missing, damaged, not finite, or of another shape.
        """
        if self._checkpoint.is_experts(stored):
            self._checkpoint.put_experts(stored, buffer)
            return buffer
        tensor = self._names.tensor(stored)
        if tensor.shape != expected.shape:
            raise ModelError(
                f"'{self._checkpoint.name}' stores '{stored}' as {tuple(tensor.shape)}, but its config asks for "
                f"{tuple(expected.shape)}: config and weights do not belong together"
            )
        # A copy, since matrix products depend in their last bits on how memory is aligned, which the file decides.
        return buffer.copy_(tensor)

    def _buffer(self, like: "torch.Tensor") -> "torch.Tensor":
        """Memory for a tensor like this one, possibly reused from an earlier layer."""
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
    """(name, tensor) for parameters and persistent buffers; a shared one appears under each of its names."""
    return list(module.state_dict(keep_vars=True).items())
