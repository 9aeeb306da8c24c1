"""Records the exact arguments that each decoder layer gets for each micro-batch.

The decoder's own ``forward`` runs with its layers replaced by modules that record their arguments and compute nothing.
Masks and position embeddings are therefore the model's own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from moe_claims.models.forward.architecture import DecoderParts
from moe_claims.models.forward.batches import MicroBatch

if TYPE_CHECKING:
    import torch

Call = tuple[tuple[Any, ...], dict[str, Any]]
WrapOutput = Callable[["torch.Tensor"], Any]
"""Function from hidden states to the return value of a layer: the hidden states, or a tuple that holds them."""


@final
@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Arguments of all decoder layers."""

    embedded: "list[torch.Tensor]"
    """Per micro-batch, hidden states before the first layer, (b, t, d)."""
    calls: list[list[Call]]
    """Per layer and micro-batch, positional and keyword arguments other than the hidden states."""


def record_layer_inputs(
    parts: DecoderParts, layers: Sequence[Any], batches: Sequence[MicroBatch], wrap: WrapOutput
) -> LayerInputs:
    """Runs the micro-batches through a decoder without computing its layers.

    Args:
        parts: the decoder.
        layers: its layers, which are restored afterwards.
        batches: the padded sequences.
        wrap: builds the return value of a layer from its hidden states.
    """
    embedded: list[torch.Tensor] = []
    calls: list[list[Call]] = [[] for _ in layers]

    def recording_forward(index: int) -> Callable[..., Any]:
        def forward(hidden: "torch.Tensor", *args: Any, **kwargs: Any) -> Any:
            if index == 0:
                embedded.append(hidden)
            calls[index].append((args, kwargs))
            return wrap(hidden)

        return forward

    with replace_layers(parts, [_stand_in(layer, recording_forward(index)) for index, layer in enumerate(layers)]):
        for batch in batches:
            parts.decoder(input_ids=batch.ids, attention_mask=batch.mask.long(), use_cache=False)
    return LayerInputs(embedded, calls)


@contextmanager
def skip_layers(parts: DecoderParts, layers: Sequence[Any], hidden: "torch.Tensor", wrap: WrapOutput) -> Iterator[None]:
    """Within the block, every layer of a decoder returns the given hidden states (1, t, d), whatever its arguments."""

    def give_back(*_: Any, **__: Any) -> Any:
        return wrap(hidden)

    with replace_layers(parts, [_stand_in(layer, give_back) for layer in layers]):
        yield


@contextmanager
def replace_layers(parts: DecoderParts, layers: "list[torch.nn.Module]") -> Iterator[None]:
    """Within the block, replaces the layers of a decoder."""
    import torch

    own, parts.layers = parts.layers, torch.nn.ModuleList(layers)
    try:
        yield
    finally:
        parts.layers = own


def _stand_in(layer: "torch.nn.Module", forward: Callable[..., Any]) -> "torch.nn.Module":
    """A module with another ``forward``; all other attributes are those of ``layer``."""
    import torch

    class StandIn(torch.nn.Module):
        def __getattr__(self, name: str) -> Any:
            return getattr(layer, name)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

    return StandIn()
