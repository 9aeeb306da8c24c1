"""Recording a decoder: the exact arguments that each layer gets for each micro-batch.

The decoder's own forward runs with recorders in place of its layers, so that masks and
position embeddings are made by nobody else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from moe_claims.models.forward.architecture import Parts
from moe_claims.models.forward.batches import MicroBatch

if TYPE_CHECKING:
    import torch

Call = tuple[tuple[Any, ...], dict[str, Any]]
Returns = Callable[["torch.Tensor"], Any]
"""Hidden states → what a layer of the decoder returns for them."""


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """What goes into the layers."""

    embedded: "list[torch.Tensor]"
    """Per micro-batch, (b, t, d) hidden states before the first layer."""
    calls: list[list[Call]]
    """Per layer and micro-batch, the arguments besides hidden states."""


def record(parts: Parts, layers: Sequence[Any], batches: Sequence[MicroBatch], returns: Returns) -> Recording:
    """Runs the micro-batches through all of a decoder but its layers."""
    embedded: list[torch.Tensor] = []
    calls: list[list[Call]] = [[] for _ in layers]

    def recorder(index: int) -> Callable[..., Any]:
        def note(hidden: "torch.Tensor", *args: Any, **kwargs: Any) -> Any:
            if index == 0:
                embedded.append(hidden)
            calls[index].append((args, kwargs))
            return returns(hidden)

        return note

    with stand_ins(parts, [_stand_in(layer, recorder(index)) for index, layer in enumerate(layers)]):
        for batch in batches:
            parts.decoder(input_ids=batch.ids, attention_mask=batch.mask.long(), use_cache=False)
    return Recording(embedded, calls)


@contextmanager
def skipped(parts: Parts, layers: Sequence[Any], hidden: "torch.Tensor", returns: Returns) -> Iterator[None]:
    """For the length of a block, a decoder's layers give back these (1, t, d) hidden states, whatever goes in."""

    def give_back(*_: Any, **__: Any) -> Any:
        return returns(hidden)

    with stand_ins(parts, [_stand_in(layer, give_back) for layer in layers]):
        yield


@contextmanager
def stand_ins(parts: Parts, layers: "list[torch.nn.Module]") -> Iterator[None]:
    """For the length of a block, a decoder has other layers."""
    import torch

    own, parts.layers = parts.layers, torch.nn.ModuleList(layers)
    try:
        yield
    finally:
        parts.layers = own


def _stand_in(layer: "torch.nn.Module", forward: Callable[..., Any]) -> "torch.nn.Module":
    """A module with another forward that answers for everything else as ``layer`` would."""
    import torch

    class StandIn(torch.nn.Module):
        def __getattr__(self, name: str) -> Any:
            return getattr(layer, name)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

    return StandIn()
