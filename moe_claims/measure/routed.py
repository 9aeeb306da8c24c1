"""What a model's routers and experts do on a text, measured while the text runs through the model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.progress import track
from moe_claims.errors import ModelError
from moe_claims.measure.accumulator import LayerAccumulator, wide
from moe_claims.measure.dense import Blocks, DenseLayer
from moe_claims.measure.measurement import Arrays, RoutedMeasurement
from moe_claims.measure.store import NoSnapshot, Snapshot
from moe_claims.models.dense import activation_of
from moe_claims.models.forward.batches import MicroBatch, micro_batches, pad, tokens_at_once
from moe_claims.models.forward.layerwise import LayerwiseModel, State

if TYPE_CHECKING:
    import torch

_LOGITS = 1 << 26
"""At most this many next-token scores are in memory at once (256 MB in float32)."""


def measure_routed(
    model: LayerwiseModel,
    sequences: Sequence[Sequence[int]],
    *,
    token_cosines: bool = False,
    dense: Blocks | None = None,
) -> RoutedMeasurement:
    """Runs the sequences through the model and measures every MoE layer on the way.

    Args:
        model: the model, which is run layer by layer.
        sequences: token ids, used exactly as given.
        token_cosines: whether the (L, T, E, E) cosines of single tokens are kept too, which are large.
        dense: dense reference of the same shape, or shared experts, whose blocks are given the same hidden states as
            the experts; they come last on the expert axes of the cosines of single tokens.

    Raises:
        NotComparableError: the dense reference has another shape.
        ModelError: the model routes by another rule than its family's, or yields NaN.
    """
    layers = model.checkpoint.moe_layers
    *found, whole = routed_layers(model, sequences, layers, token_cosines=token_cosines, dense=dense)
    return RoutedMeasurement.of(layers, found, whole)


def routed_layers(
    model: LayerwiseModel,
    sequences: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    token_cosines: bool = False,
    dense: Blocks | None = None,
    snapshot: Snapshot | None = None,
) -> Iterator[Arrays]:
    """The arrays of a ``RoutedMeasurement`` for each of these layers as it has run, and last those of the whole text.

    Args:
        model: the model, which is run layer by layer.
        sequences: token ids, used exactly as given.
        layers: true indices of the MoE layers to be measured, in order.
        token_cosines: whether the cosines of single tokens are kept too.
        dense: dense reference of the same shape, or shared experts.
        snapshot: keeps the hidden states behind the last layer that has run; where an earlier run left some, this
            one goes on from there, if all layers to be measured are still to come.
    """
    if dense is not None:
        dense.check_fits(model.checkpoint)
    bounds = micro_batches(sequences, tokens=tokens_at_once(model.width, model.device), alone=model.checkpoint.alone)
    batches = [pad(sequences, *bound, model.device) for bound in bounds]
    activation = activation_of(model.checkpoint.text_config, model.checkpoint.family.activation)
    at_work: dict[int, LayerAccumulator] = {}

    def observer(layer: int, router: "torch.Tensor") -> LayerAccumulator | None:
        if layer not in layers:
            return None
        at_work[layer] = LayerAccumulator(
            router,
            batches,
            len(sequences),
            f"'{model.checkpoint.name}', layer {layer}",
            token_cosines=token_cosines,
            dense=None if dense is None else DenseLayer(dense, layer, activation),
            bias=model.checkpoint.router_bias(layer),
            factor=model.checkpoint.score_factor,
        )
        return at_work[layer]

    # What layers share besides hidden states is not written down: such a model begins anew.
    kept = NoSnapshot() if snapshot is None or model.checkpoint.family.shares else snapshot
    start = _state(kept.read(), batches, model.device)
    if start is not None and layers and layers[0] <= start.layer:
        start = None
    last = start
    for state in model.steps(batches, observer, start=start):
        if state.layer in at_work:
            yield at_work.pop(state.layer).arrays()
        kept.write(state.layer, _state_arrays(state))
        last = state
    assert last is not None  # every model has layers
    yield {
        "lengths": np.asarray([len(sequence) for sequence in sequences]),
        "nats": _all_nats(model, last.sequences(batches), sequences),
    }


def _state_arrays(state: State) -> dict[str, NDArray[Any]]:
    """Hidden states, and what is passed on besides, to be written."""
    import torch

    arrays = {}
    for number, (hidden, passed) in enumerate(zip(state.hidden, state.passed, strict=True)):
        # NumPy knows no bfloat16: its bits are kept.
        bits = hidden.view(torch.int16) if hidden.dtype == torch.bfloat16 else hidden
        arrays[f"hidden.{number}"] = bits.cpu().numpy()
        if passed is not None:
            arrays[f"passed.{number}"] = passed.cpu().numpy()
    return arrays


def _state(written: tuple[int, Arrays] | None, batches: Sequence[MicroBatch], device: str) -> State | None:
    """Back from ``_state_arrays``."""
    import torch

    if written is None:
        return None
    layer, arrays = written

    def tensor(name: str) -> torch.Tensor:
        found = torch.from_numpy(arrays[name]).to(device)
        return found.view(torch.bfloat16) if found.dtype == torch.int16 else found

    numbers = range(len(batches))
    passed = [tensor(f"passed.{number}") if f"passed.{number}" in arrays else None for number in numbers]
    return State(layer, [tensor(f"hidden.{number}") for number in numbers], passed)


def _all_nats(
    model: LayerwiseModel, hidden: "Sequence[torch.Tensor]", sequences: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """(S,) the model's own cross-entropy per predicted token of each sequence, in nats."""
    pairs = zip(hidden, sequences, strict=True)
    nats = [_nats(model, states, sequence) for states, sequence in track(pairs, "next-token loss", total=len(hidden))]
    if not np.isfinite(nats).all():
        raise ModelError(f"'{model.checkpoint.name}' yields NaN on this text: nothing was measured")
    return np.asarray(nats)


def _nats(model: LayerwiseModel, hidden: "torch.Tensor", sequence: Sequence[int]) -> float:
    import torch

    total, predicted = 0.0, len(sequence) - 1
    vocabulary = int(model.checkpoint.text_config["vocab_size"])
    for states, targets in zip(
        hidden[:-1].split(max(1, _LOGITS // vocabulary)),
        torch.tensor(sequence[1:], device=hidden.device).split(max(1, _LOGITS // vocabulary)),
        strict=True,
    ):
        logits = wide(model.logits(states))
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    return total / predicted
