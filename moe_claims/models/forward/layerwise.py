"""Runs a model layer by layer: records the arguments of every layer once, then calls the layers one after the other.

The model is built on the meta device. Each layer in turn gets its weights, processes all micro-batches, and loses its
weights again, while a thread reads the weights of the next layer. Memory has to hold two layers and the hidden states,
or only one layer if memory is short. If the whole model fits, its weights may stay in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.prefetch import prefetch
from moe_claims._util.progress import track
from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.device import sums_on
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.architecture import DecoderParts, build
from moe_claims.models.forward.batches import MicroBatch
from moe_claims.models.forward.experts_adapters import adapt_experts
from moe_claims.models.forward.layer_inputs import record_layer_inputs, skip_layers
from moe_claims.models.forward.layer_weights import LayerLoader
from moe_claims.models.forward.stored_names import StoredNames

if TYPE_CHECKING:
    import torch

ObserverFactory = Callable[[int, "torch.Tensor"], experts_kernel.ExpertObserver | None]
"""Function from layer index and router weights (E, d) to the observer of that layer, or None."""


@final
@dataclass(frozen=True, eq=False)
class State:
    """State of a run after one of the decoder layers; the run can be continued from it."""

    layer: int
    """Index of the last layer that has run; −1 before the first."""
    hidden: "list[torch.Tensor]"
    """Per micro-batch, hidden states after that layer, (b, t, d)."""
    passed: list[Any]
    """Per micro-batch, the additional value that the layer passes to the next one; None in most families."""

    def sequences(self, batches: Sequence[MicroBatch]) -> "list[torch.Tensor]":
        """Hidden states (t, d) of every sequence, without padding."""
        return [
            hidden[row, : int(batch.mask[row].sum())]
            for hidden, batch in zip(self.hidden, batches, strict=True)
            for row in range(len(batch.ids))
        ]


@final
class LayerwiseModel:
    """A causal language model whose decoder layers are in memory one at a time.

    Args:
        checkpoint: source of the weights.
        device: where it runs, such as ``cpu`` or ``cuda:1``.
        dtype: dtype of weights and hidden states, such as ``float32``.
        resident: whether to keep all weights in memory after the first run.

    Raises:
        ModelError: the family cannot be run, the installed transformers cannot build the model, the config does not
            fit the weights, or the kernel does not support the experts.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "cpu", dtype: str = "float32", resident: bool = False
    ) -> None:
        import torch

        if reason := checkpoint.family.weights_only:
            raise ModelError(f"'{checkpoint.name}' cannot be run: {reason}; only its weights can be measured")
        experts_kernel.register()
        self.checkpoint = checkpoint
        self.device, self.dtype, self._dtype = device, dtype, getattr(torch, dtype)
        self.resident = resident
        self._model: Any
        try:
            with torch.device("meta"):
                self._model = build(checkpoint.config, checkpoint.family, self._dtype).eval()
        except Exception as error:  # transformers raises many kinds of errors for an invalid config
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"transformers cannot build '{checkpoint.name}' from its config.json ({said})") from error
        self._model.set_experts_implementation(experts_kernel.KERNEL)
        self._parts = DecoderParts(self._model, checkpoint.family)
        self._layers: list[Any] = list(self._parts.layers)
        self._experts: dict[int, Any] = {}
        for layer in checkpoint.moe_layers:
            if layer >= len(self._layers) or self._part(layer, checkpoint.family.experts_module) is None:
                raise ModelError(
                    f"'{checkpoint.name}' stores a router for layer {layer}, but its config asks for no experts there: "
                    "config and weights do not belong together"
                )
            experts = adapt_experts(self._part(layer, checkpoint.family.experts_module))
            experts_kernel.check_supported(experts)
            experts.moe_claims_neutral = checkpoint.family.neutral
            self._experts[layer] = experts
        names = StoredNames(self._model, checkpoint)
        self._parts.layers = torch.nn.ModuleList()
        self._loader = LayerLoader(self._model, self._parts, self._layers, names, checkpoint, device)
        self._loader.fill_outside_layers()  # fails early if the vocabulary does not fit

    def __reduce__(self) -> "tuple[Callable[..., LayerwiseModel], tuple[Checkpoint]]":
        """Another process builds the model anew from the same checkpoint."""
        built = partial(LayerwiseModel, device=self.device, dtype=self.dtype, resident=self.resident)
        return built, (self.checkpoint,)

    @property
    def width(self) -> int:
        """Hidden size d."""
        return int(self._model.get_input_embeddings().weight.shape[1])

    @property
    def bytes_as_it_runs(self) -> int:
        """Upper bound for the bytes that all layers take together as they run."""
        return self._loader.layer_bytes() * len(self._layers)

    def _part(self, layer: int, path: str) -> Any:
        """A submodule of a decoder layer; None if it does not exist."""
        try:
            return self._layers[layer].get_submodule(path)
        except AttributeError:
            return None

    def run(self, batches: Sequence[MicroBatch], observers: ObserverFactory | None = None) -> "list[torch.Tensor]":
        """Runs all micro-batches through all layers; observers see what happens in every MoE layer.

        Args:
            batches: the padded sequences.
            observers: creates the observer of each MoE layer.

        Returns:
            For each sequence, the hidden states (t, d) after the last layer, before the final norm.
        """
        *_, last = self.steps(batches, observers)
        return last.sequences(batches)

    def steps(
        self, batches: Sequence[MicroBatch], observers: ObserverFactory | None = None, *, start: State | None = None
    ) -> Iterator[State]:
        """Runs all micro-batches through one layer after the other.

        Args:
            batches: the padded sequences.
            observers: creates the observer of each MoE layer.
            start: state of an earlier run of the same micro-batches, to continue from.

        Yields:
            The state after each layer.
        """
        import torch

        passes = self.checkpoint.family.passes
        with torch.inference_mode():
            self._loader.fill_outside_layers()
            inputs = record_layer_inputs(self._parts, self._layers, batches, self._as_a_layer_returns)
            if not self.resident:
                self._loader.empty_outside_layers()
        state = start or State(-1, list(inputs.embedded), [None] * len(batches))
        coming = range(state.layer + 1, len(self._layers))
        weights = prefetch(map(self._loader.read, coming), memory=2 * self._loader.layer_bytes())
        for index in track(coming, f"running {self.checkpoint.name}", unit="layers"):
            self._loader.fill(index, next(weights))
            hidden, passed = list(state.hidden), list(state.passed)
            with torch.inference_mode(), self._observed(index, observers):
                for number, (args, kwargs) in enumerate(inputs.calls[index]):
                    handed = {passes: passed[number]} if passes else {}
                    output = self._layers[index](hidden[number], *args, **kwargs | handed)
                    hidden[number] = output[0] if isinstance(output, tuple) else output
                    passed[number] = output[1] if passes else None
            if not self.resident:
                self._loader.empty(index)
            state = State(index, hidden, passed)
            yield state

    @contextmanager
    def _observed(self, index: int, observers: ObserverFactory | None) -> Iterator[None]:
        """Within the block, connects the layer's experts and router to its observer, if it has one."""
        if observers is None or index not in self.checkpoint.moe_layers:
            yield
            return
        observer = observers(index, self.checkpoint.router(index).to(sums_on(self.device), copy=True))
        if observer is None:
            yield
            return
        gate = self._part(index, self.checkpoint.family.router_module)
        with experts_kernel.observing(self._experts[index], gate, observer):
            yield

    def _as_a_layer_returns(self, hidden: "torch.Tensor") -> Any:
        return (hidden, None) if self.checkpoint.family.passes else hidden

    def logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """Logits (t, V) of one sequence from its last hidden states (t, d), by the model's own norm and head."""
        import torch

        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=self.device)
        with torch.inference_mode():
            self._loader.fill_outside_layers()
            with skip_layers(self._parts, self._layers, hidden[None], self._as_a_layer_returns):
                logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
        return logits
