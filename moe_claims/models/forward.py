"""Running a model layer by layer: record the arguments of each layer once, then replay.

The model is built on the meta device. Its own forward runs with recorders in place of
the decoder layers, which yields the exact arguments (masks, position embeddings) that
each layer gets for each micro-batch. Then one layer after the other is filled with
weights, all micro-batches run through it, and it is emptied again: one layer and the
hidden states are all that memory has to hold.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models import kernel
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.config import as_object
from moe_claims.models.naming import StoredNames
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch

ObserverFactory = Callable[[int, "torch.Tensor"], kernel.ExpertObserver]
"""(layer index, router rows (E, d)) → the observer of that layer."""


@final
@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Consecutive sequences, padded on the right to the longest."""

    ids: "torch.Tensor"
    """(b, t) token ids."""
    mask: "torch.Tensor"
    """(b, t) bool, True on real tokens."""
    first: int
    """Index of the first sequence."""

    @property
    def sequence_of(self) -> "torch.Tensor":
        """(b · t,) index of the sequence of every token, padding included."""
        import torch

        rows = torch.arange(self.first, self.first + len(self.ids), device=self.ids.device)
        return rows[:, None].expand(self.ids.shape).reshape(-1)


def micro_batches(
    sequences: Sequence[Sequence[int]], *, tokens: int = 2048, alone: bool = False
) -> list[tuple[int, int]]:
    """Bounds (first, last + 1) of runs of consecutive sequences of at most ``tokens`` padded tokens.

    Args:
        sequences: token ids.
        tokens: in one micro-batch, padding included.
        alone: every sequence is a micro-batch of its own, without padding.
    """
    if alone:
        return [(index, index + 1) for index in range(len(sequences))]
    bounds, first, longest = [], 0, 0
    for index, sequence in enumerate(sequences):
        longest = max(longest, len(sequence))
        if index > first and longest * (index + 1 - first) > tokens:
            bounds.append((first, index))
            first, longest = index, len(sequence)
    if sequences:
        bounds.append((first, len(sequences)))
    return bounds


def pad(sequences: Sequence[Sequence[int]], first: int, last: int, device: str) -> MicroBatch:
    """Sequences first to last − 1 as one micro-batch."""
    import torch

    longest = max(len(s) for s in sequences[first:last])
    ids = torch.zeros(last - first, longest, dtype=torch.long)
    mask = torch.zeros(last - first, longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences[first:last]):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = True
    return MicroBatch(ids.to(device), mask.to(device), first)


def _stand_in(layer: "torch.nn.Module", forward: Callable[..., Any]) -> "torch.nn.Module":
    """A module with another forward that answers for everything else as ``layer`` would."""
    import torch

    class StandIn(torch.nn.Module):
        def __getattr__(self, name: str) -> Any:
            return getattr(layer, name)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

    return StandIn()


@final
class LayerwiseModel:
    """A causal language model whose decoder layers are in memory one at a time.

    Args:
        checkpoint: where the weights come from.
        device: ``cpu`` or ``cuda``.
        dtype: of weights and hidden states, such as ``float32``.

    Raises:
        ModelError: the installed transformers cannot build the model, or its experts are
            not what the kernel computes.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "cpu", dtype: str = "float32") -> None:
        import torch
        from transformers import AutoModelForCausalLM

        kernel.register()
        self.checkpoint = checkpoint
        self.device, self._dtype = device, getattr(torch, dtype)
        self._model: Any
        try:
            model_config = as_object(checkpoint.config)
            with torch.device("meta"):
                self._model = AutoModelForCausalLM.from_config(
                    model_config, dtype=self._dtype, trust_remote_code=False
                ).eval()
        except Exception as error:  # whatever an impossible config makes transformers raise
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"transformers cannot build '{checkpoint.name}' from its config.json ({said})") from error
        self._model.set_experts_implementation(kernel.KERNEL)
        self._decoder: Any = self._model.get_decoder()
        self._layers: list[Any] = list(self._decoder.layers)
        for layer in checkpoint.moe_layers:
            if layer >= len(self._layers) or self._part(layer, checkpoint.family.experts_module) is None:
                raise ModelError(
                    f"'{checkpoint.name}' stores a router for layer {layer}, but its config asks for no experts there: "
                    "config and weights do not belong together"
                )
            experts = self._part(layer, checkpoint.family.experts_module)
            kernel.check_supported(experts)
            experts.moe_claims_neutral = checkpoint.family.neutral
        self._stored = StoredNames(self._model, checkpoint)
        self._decoder.layers = torch.nn.ModuleList()
        self._fill_outside()

    def _part(self, layer: int, path: str) -> Any:
        """A module of a decoder layer, None where there is none."""
        try:
            return self._layers[layer].get_submodule(path)
        except AttributeError:
            return None

    def _fill_outside(self) -> None:
        """Embedding, last norm and head get their weights; modules that only compute are built anew."""
        import torch

        for path, module in list(self._model.named_modules()):
            if any(True for _ in module.buffers(recurse=False)) and not any(True for _ in module.parameters()):
                parent, _, leaf = path.rpartition(".")
                with torch.device("cpu"):
                    rebuilt = type(module)(config=self._model.config)
                setattr(self._model.get_submodule(parent), leaf, rebuilt.to(self.device))
        tied = getattr(self._model.config, "tie_word_embeddings", False)
        # A tied head counts twice: left out as a duplicate, it would stay on the meta device and yield garbage.
        for name, tensor in _persistent(self._model):
            stored = name
            if tied and not self._stored.has(name):
                stored = f"{self._model.base_model_prefix}.embed_tokens.weight"
            self._assign(self._model, name, stored, tensor)

    def _assign(self, root: "torch.nn.Module", name: str, stored: str, expected: "torch.Tensor") -> None:
        import torch

        tensor = self._stored.tensor(stored)
        path, _, leaf = name.rpartition(".")
        if tensor.shape != expected.shape:
            raise ModelError(
                f"'{self.checkpoint.name}' stores '{stored}' as {tuple(tensor.shape)}, but its config asks for "
                f"{tuple(expected.shape)}: config and weights do not belong together"
            )
        # A copy, since matrix products depend in their last bits on how memory is aligned, which the file decides.
        value = tensor.to(self.device, expected.dtype, copy=True)
        module = root.get_submodule(path)
        if isinstance(expected, torch.nn.Parameter):
            module.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(leaf, value)

    def _fill(self, index: int) -> Any:
        layer = self._layers[index]
        prefix = f"{self.checkpoint.family.layers}.{index}"
        for name, tensor in _persistent(layer):
            self._assign(layer, name, f"{prefix}.{name}", tensor)
        return layer

    def run(self, batches: Sequence[MicroBatch], observers: ObserverFactory | None = None) -> "list[torch.Tensor]":
        """Runs all micro-batches through all layers and lets the observers see every MoE layer.

        Args:
            batches: the sequences, padded.
            observers: makes the observer of each MoE layer.

        Returns:
            One tensor per sequence, its last layer's hidden states (t, d) before the last norm.
        """
        import torch

        with torch.inference_mode():
            hidden, calls = self._record(batches)
            passes = self.checkpoint.family.passes
            passed: list[Any] = [None] * len(batches)
            for index in track(range(len(self._layers)), f"running {self.checkpoint.name}", unit="layers"):
                layer = self._fill(index)
                with self._observed(index, observers):
                    for number in range(len(batches)):
                        args, kwargs = calls[index][number]
                        output = layer(hidden[number], *args, **kwargs | ({passes: passed[number]} if passes else {}))
                        hidden[number] = output[0] if isinstance(output, tuple) else output
                        passed[number] = output[1] if passes else None
                layer.to("meta")
        return [
            hidden[number][row, : int(batch.mask[row].sum())]
            for number, batch in enumerate(batches)
            for row in range(len(batch.ids))
        ]

    @contextmanager
    def _observed(self, index: int, observers: ObserverFactory | None) -> Iterator[None]:
        """For the length of a block, a layer's observer sees its experts and its router; the next run may have none."""
        if observers is None or index not in self.checkpoint.moe_layers:
            yield
            return
        router = self.checkpoint.router(index).to(self.device, copy=True)
        experts, gate = (
            self._part(index, path)
            for path in (self.checkpoint.family.experts_module, self.checkpoint.family.router_module)
        )
        with kernel.observing(experts, gate, observers(index, router)):
            yield

    def _record(
        self, batches: Sequence[MicroBatch]
    ) -> "tuple[list[torch.Tensor], list[list[tuple[tuple[Any, ...], dict[str, Any]]]]]":
        """Embedding outputs, and for every layer the arguments of each micro-batch."""
        embedded: list[torch.Tensor] = []
        calls: list[list[tuple[tuple[Any, ...], dict[str, Any]]]] = [[] for _ in self._layers]

        def recorder(index: int) -> Callable[..., Any]:
            def record(hidden: "torch.Tensor", *args: Any, **kwargs: Any) -> Any:
                if index == 0:
                    embedded.append(hidden)
                calls[index].append((args, kwargs))
                return self._as_a_layer_returns(hidden)

            return record

        with _stand_ins(self._decoder, [_stand_in(layer, recorder(i)) for i, layer in enumerate(self._layers)]):
            for batch in batches:
                self._decoder(input_ids=batch.ids, attention_mask=batch.mask.long(), use_cache=False)
        return embedded, calls

    def _as_a_layer_returns(self, hidden: "torch.Tensor") -> Any:
        return (hidden, None) if self.checkpoint.family.passes else hidden

    def logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """(t, d) last hidden states of one sequence → (t, V) logits, by the model's own norm and head."""
        import torch

        def give_back(*_: Any, **__: Any) -> Any:
            return self._as_a_layer_returns(hidden[None])

        stand_ins = [_stand_in(layer, give_back) for layer in self._layers]
        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=self.device)
        with torch.inference_mode(), _stand_ins(self._decoder, stand_ins):
            logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
        return logits


def _persistent(module: "torch.nn.Module") -> "list[tuple[str, torch.Tensor]]":
    """Parameters, those that are shared under each of their names, and the buffers that checkpoints keep."""
    return list(module.state_dict(keep_vars=True).items())


@contextmanager
def _stand_ins(decoder: Any, layers: "list[torch.nn.Module]") -> Iterator[None]:
    """For the length of a block, a decoder has other layers."""
    import torch

    own, decoder.layers = decoder.layers, torch.nn.ModuleList(layers)
    try:
        yield
    finally:
        decoder.layers = own
