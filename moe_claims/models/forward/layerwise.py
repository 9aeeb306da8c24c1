"""Running a model layer by layer: record the arguments of each layer once, then replay.

The model is built on the meta device. One layer after the other is filled with weights,
all micro-batches run through it, and it is emptied again, while the weights of the next
one are being read: two layers and the hidden states are all that memory has to hold, and
one layer where memory is short. A model that fits may keep its weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.prefetch import prefetch
from moe_claims._util.progress import track
from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.architecture import Parts, build
from moe_claims.models.forward.batches import MicroBatch
from moe_claims.models.forward.experts_adapters import adopt
from moe_claims.models.forward.layer_inputs import record, skipped
from moe_claims.models.forward.layer_weights import Filling
from moe_claims.models.forward.stored_names import StoredNames

if TYPE_CHECKING:
    import torch

ObserverFactory = Callable[[int, "torch.Tensor"], experts_kernel.ExpertObserver | None]
"""(layer index, router rows (E, d)) → the observer of that layer, or None."""


@final
@dataclass(frozen=True, eq=False)
class State:
    """Where a run stands behind one of the decoder layers."""

    layer: int
    """Index of the last layer that has run."""
    hidden: "list[torch.Tensor]"
    """Per micro-batch, (b, t, d) hidden states behind it."""
    passed: list[Any]
    """Per micro-batch, what it passes on besides; None in most families."""

    def sequences(self, batches: Sequence[MicroBatch]) -> "list[torch.Tensor]":
        """(t, d) hidden states of every sequence, without padding."""
        return [
            hidden[row, : int(batch.mask[row].sum())]
            for hidden, batch in zip(self.hidden, batches, strict=True)
            for row in range(len(batch.ids))
        ]


@final
class LayerwiseModel:
    """A causal language model whose decoder layers are in memory one at a time.

    Args:
        checkpoint: where the weights come from.
        device: ``cpu`` or ``cuda``.
        dtype: of weights and hidden states, such as ``float32``.
        resident: keep all weights in memory after the first run.

    Raises:
        ModelError: the installed transformers cannot build the model, or its experts are
            not what the kernel computes.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "cpu", dtype: str = "float32", resident: bool = False
    ) -> None:
        import torch

        if reason := checkpoint.family.weights_only:
            raise ModelError(f"'{checkpoint.name}' cannot be run: {reason}; only its weights can be measured")
        experts_kernel.register()
        self.checkpoint = checkpoint
        self.device, self._dtype = device, getattr(torch, dtype)
        self.resident = resident
        self._model: Any
        try:
            with torch.device("meta"):
                self._model = build(checkpoint.config, checkpoint.family, self._dtype).eval()
        except Exception as error:  # whatever an impossible config makes transformers raise
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelError(f"transformers cannot build '{checkpoint.name}' from its config.json ({said})") from error
        self._model.set_experts_implementation(experts_kernel.KERNEL)
        self._parts = Parts(self._model, checkpoint.family)
        self._layers: list[Any] = list(self._parts.layers)
        self._experts: dict[int, Any] = {}
        for layer in checkpoint.moe_layers:
            if layer >= len(self._layers) or self._part(layer, checkpoint.family.experts_module) is None:
                raise ModelError(
                    f"'{checkpoint.name}' stores a router for layer {layer}, but its config asks for no experts there: "
                    "config and weights do not belong together"
                )
            experts = adopt(self._part(layer, checkpoint.family.experts_module))
            experts_kernel.check_supported(experts)
            experts.moe_claims_neutral = checkpoint.family.neutral
            self._experts[layer] = experts
        names = StoredNames(self._model, checkpoint)
        self._parts.layers = torch.nn.ModuleList()
        self._filling = Filling(self._model, self._parts, self._layers, names, checkpoint, device)
        self._filling.fill_outside()  # so that a vocabulary that does not fit is found before the first layer

    @property
    def width(self) -> int:
        """Numbers d of a hidden state."""
        return int(self._model.get_input_embeddings().weight.shape[1])

    @property
    def bytes_as_it_runs(self) -> int:
        """That all layers take together, at most."""
        return self._filling.layer_bytes() * len(self._layers)

    def _part(self, layer: int, path: str) -> Any:
        """A module of a decoder layer, None where there is none."""
        try:
            return self._layers[layer].get_submodule(path)
        except AttributeError:
            return None

    def run(self, batches: Sequence[MicroBatch], observers: ObserverFactory | None = None) -> "list[torch.Tensor]":
        """Runs all micro-batches through all layers and lets the observers see every MoE layer.

        Args:
            batches: the sequences, padded.
            observers: makes the observer of each MoE layer.

        Returns:
            One tensor per sequence, its last layer's hidden states (t, d) before the last norm.
        """
        *_, last = self.steps(batches, observers)
        return last.sequences(batches)

    def steps(
        self, batches: Sequence[MicroBatch], observers: ObserverFactory | None = None, *, start: State | None = None
    ) -> Iterator[State]:
        """Runs all micro-batches through one layer after the other.

        Args:
            batches: the sequences, padded.
            observers: makes the observer of each MoE layer.
            start: a state of an earlier run of the same micro-batches, to go on from.

        Yields:
            The state behind each layer.
        """
        import torch

        passes = self.checkpoint.family.passes
        with torch.inference_mode():
            self._filling.fill_outside()
            recording = record(self._parts, self._layers, batches, self._as_a_layer_returns)
            if not self.resident:
                self._filling.empty_outside()
        state = start or State(-1, list(recording.embedded), [None] * len(batches))
        coming = range(state.layer + 1, len(self._layers))
        weights = prefetch(map(self._filling.read, coming), memory=2 * self._filling.layer_bytes())
        for index in track(coming, f"running {self.checkpoint.name}", unit="layers"):
            self._filling.fill(index, next(weights))
            hidden, passed = list(state.hidden), list(state.passed)
            with torch.inference_mode(), self._observed(index, observers):
                for number, (args, kwargs) in enumerate(recording.calls[index]):
                    handed = {passes: passed[number]} if passes else {}
                    output = self._layers[index](hidden[number], *args, **kwargs | handed)
                    hidden[number] = output[0] if isinstance(output, tuple) else output
                    passed[number] = output[1] if passes else None
            if not self.resident:
                self._filling.empty(index)
            state = State(index, hidden, passed)
            yield state

    @contextmanager
    def _observed(self, index: int, observers: ObserverFactory | None) -> Iterator[None]:
        """For the length of a block, a layer's observer sees its experts and its router; the next run may have none."""
        if observers is None or index not in self.checkpoint.moe_layers:
            yield
            return
        observer = observers(index, self.checkpoint.router(index).to(self.device, copy=True))
        if observer is None:
            yield
            return
        gate = self._part(index, self.checkpoint.family.router_module)
        with experts_kernel.observing(self._experts[index], gate, observer):
            yield

    def _as_a_layer_returns(self, hidden: "torch.Tensor") -> Any:
        return (hidden, None) if self.checkpoint.family.passes else hidden

    def logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """(t, d) last hidden states of one sequence → (t, V) logits, by the model's own norm and head."""
        import torch

        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=self.device)
        with torch.inference_mode():
            self._filling.fill_outside()
            with skipped(self._parts, self._layers, hidden[None], self._as_a_layer_returns):
                logits: torch.Tensor = self._model(input_ids=ids, use_cache=False).logits[0]
        return logits
