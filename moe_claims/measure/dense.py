"""Experts against other blocks, a dense model's or shared experts: weights, and outputs on the same hidden states."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.progress import track
from moe_claims.measure.measurement import DenseWeights, Floats
from moe_claims.measure.weights import mean_neurons
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, Role

if TYPE_CHECKING:
    import torch

_COLUMNS = 1 << 20
"""Columns that are widened to float64 at a time: 64 MB for 8 experts."""


class Blocks(Protocol):
    """One block of an expert's form per MoE layer: a dense model's, or shared experts."""

    @property
    def name(self) -> str:
        """For messages and tables."""

    @property
    def identity(self) -> str:
        """Differs where the weights differ; of shared experts a fixed text, since their MoE identifies these."""

    def matrix(self, layer: int, role: Role) -> "torch.Tensor":
        """One matrix of a layer's block: up and act (m, d), down (d, m), stored dtype."""

    def check_fits(self, checkpoint: Checkpoint) -> None:
        """Raises ``NotComparableError`` or ``ModelError`` where the experts of an MoE cannot be compared with these."""


def cosine_to(rows: "torch.Tensor", reference: "torch.Tensor") -> NDArray[np.float64]:
    """(E, n) rows and (n,) reference → (E,) cosine similarities, accumulated in float64.

    A row of zeros has no direction: its similarity is 0.
    """
    import torch

    dots, squares = (torch.zeros(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2))
    square = torch.zeros((), dtype=torch.float64, device=rows.device)
    for part, base in zip(rows.split(_COLUMNS, dim=1), reference.split(_COLUMNS), strict=True):
        wide, against = part.to(torch.float64), base.to(torch.float64)
        dots += wide @ against
        squares += wide.square().sum(dim=1)
        square += against.square().sum()
    norms = (squares * square).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    return np.asarray((dots / norms).clamp(-1.0, 1.0).cpu().numpy())


def measure_dense(checkpoint: Checkpoint, dense: Blocks, *, device: str = "cpu") -> DenseWeights:
    """Compares the weights of every MoE layer's experts with those of another block of the same layer.

    A block of another width, as several shared experts are together, is compared by its mean neurons alone.

    Args:
        checkpoint: the model whose experts are compared.
        dense: the other blocks: a dense model's, or the model's shared experts.
        device: one that has float64, where the weights are multiplied.

    Raises:
        NotComparableError: the shapes differ.
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    return DenseWeights.of(list(dense_layers(checkpoint, dense, checkpoint.moe_layers, device=device)))


def dense_layers(
    checkpoint: Checkpoint, dense: Blocks, layers: Sequence[int], *, device: str = "cpu"
) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays of ``DenseWeights`` for each of these layers (true indices), as soon as it has been compared.

    Arguments and errors are those of ``measure_dense``.
    """
    dense.check_fits(checkpoint)
    for layer in track(layers, f"{checkpoint.name} against {dense.name}", unit="layers"):
        found: dict[str, NDArray[Any]] = {}
        for role, stored in checkpoint.matrices(layer):
            experts, reference = stored.to(device), dense.matrix(layer, role).to(device)
            if reference.shape == experts.shape[1:]:
                found[f"matrix.{role}"] = cosine_to(experts.flatten(1), reference.flatten())
            found[f"mean.{role}"] = cosine_to(mean_neurons(experts, role), mean_neurons(reference[None], role)[0])
        yield found


def append_dense(experts: Floats, dense: Floats) -> Floats:
    """(…, E, E) similarities among experts and (…, E) to the dense model → (…, E + 1, E + 1), the dense model last."""
    row = np.concatenate([dense, np.ones_like(dense[..., :1])], axis=-1)
    above = np.concatenate([experts, dense[..., None]], axis=-1)
    return np.concatenate([above, row[..., None, :]], axis=-2)


@final
class DenseLayer:
    """A dense block of one layer that is run on the hidden states that the MoE's experts are given.

    Args:
        dense: the blocks of all layers; weights are read when the first hidden states come.
        layer: true index of the layer.
        activation: σ of the MoE, by its name in transformers.
    """

    def __init__(self, dense: Blocks, layer: int, activation: str) -> None:
        self._dense, self._layer, self._activation = dense, layer, activation
        self._weights: dict[Role, torch.Tensor] | None = None

    def outputs(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """(n, d) hidden states → (n, d), down(σ(act x) · up x), where they are and in their dtype."""
        import torch
        from transformers.activations import ACT2FN

        if self._weights is None:
            self._weights = {
                role: self._dense.matrix(self._layer, role).to(hidden.device, hidden.dtype) for role in ROLES
            }
        linear, weights = torch.nn.functional.linear, self._weights
        gate = ACT2FN[self._activation](linear(hidden, weights["act"]))
        return linear(gate * linear(hidden, weights["up"]), weights["down"])
