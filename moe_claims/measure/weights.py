"""Similarity of experts from their weights: router rows, flattened matrices, mean neurons."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.ahead import ahead
from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import ROLES, Role
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 21
"""Numbers that are widened at a time: few enough to stay in a processor's caches."""
_RUN = 1024
"""Products that are summed up in float32 before float64 takes over."""


def cosine(rows: "torch.Tensor") -> NDArray[np.float64]:
    """(E, n) rows → (E, E) cosine similarities in float64, ones on the diagonal.

    A row of zeros has no direction: its similarities are 0.
    """
    wide = rows.double()
    return _cosines(wide @ wide.T)


def mean_neurons(matrix: "torch.Tensor", role: Role) -> "torch.Tensor":
    """Mean over the m neurons of each expert: (E, m, d), for down (E, d, m) → (E, d), float64."""
    return _Sums(matrix, role).neurons / matrix.shape[2 if role == "down" else 1]


def similarities(matrix: "torch.Tensor", role: Role) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines between the experts of one layer by one of their matrices, all of it read once.

    Args:
        matrix: (E, m, d), for down (E, d, m).
        role: which of the axes counts neurons.

    Returns:
        (E, E) each: between flattened matrices, and between mean neurons.
    """
    sums = _Sums(matrix, role)
    return _cosines(sums.gram), cosine(sums.neurons)


@final
class _Sums:
    """What one pass over a matrix (E, a, b) of all experts adds up.

    Numbers of 16 bits are multiplied in float32, which holds their products exactly, and summed up in it over
    short runs; all else is done in float64.

    Attributes:
        gram: (E, E) dot products of the flattened matrices, float64.
        neurons: (E, d) sum of all neurons, float64.
    """

    def __init__(self, matrix: "torch.Tensor", role: Role) -> None:
        import torch

        experts, _, columns = matrix.shape
        wide = torch.float32 if matrix.dtype.itemsize <= 2 else torch.float64
        self.gram = torch.zeros(experts, experts, dtype=torch.float64, device=matrix.device)
        total = torch.zeros(experts, columns, dtype=torch.float64, device=matrix.device)
        ends: list[torch.Tensor] = []
        for part in matrix.split(max(1, _BLOCK // (experts * columns)), dim=1):
            block = part.to(wide)
            self.gram += _gram(block.flatten(1))
            if role == "down":
                ends.append(block.sum(dim=2).double())
            else:
                total += block.sum(dim=1)
        self.neurons = torch.cat(ends, dim=1) if role == "down" else total


def _gram(rows: "torch.Tensor") -> "torch.Tensor":
    """(E, n) → (E, E) dot products, float64."""
    gram: torch.Tensor
    if rows.dtype.itemsize == 8:
        gram = rows @ rows.T
        return gram
    whole = rows.shape[1] // _RUN * _RUN
    runs, rest = rows[:, :whole].unflatten(1, (-1, _RUN)).transpose(0, 1), rows[:, whole:].double()
    gram = (runs @ runs.transpose(1, 2)).double().sum(dim=0) + rest @ rest.T
    return gram


def _cosines(gram: "torch.Tensor") -> NDArray[np.float64]:
    import torch

    norms = gram.diagonal().sqrt()
    similarity = gram / torch.outer(norms, norms).clamp_min(torch.finfo(torch.float64).tiny)
    return np.asarray(similarity.fill_diagonal_(1.0).clamp(-1.0, 1.0).cpu().numpy())


def measure_weights(
    checkpoint: Checkpoint, *, device: str = "cpu", layers: Sequence[int] | None = None
) -> WeightMeasurement:
    """Measures MoE layers, each byte of theirs read once; the next matrix is read while one is worked on.

    Args:
        checkpoint: whose experts are compared.
        device: where.
        layers: true indices of MoE layers; all of them by default.

    Raises:
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    wanted = checkpoint.moe_layers if layers is None else tuple(layers)
    return WeightMeasurement.of(wanted, list(measure_layers(checkpoint, wanted, device=device)))


def measure_layers(
    checkpoint: Checkpoint, layers: Sequence[int], *, device: str = "cpu"
) -> Iterator[dict[str, NDArray[Any]]]:
    """What ``measure_weights`` finds in each of these layers, as soon as it has been found."""
    matrices = ((role, matrix) for layer in layers for role, matrix in checkpoint.matrices(layer))
    coming = ahead(matrices, memory=checkpoint.layer_bytes(layers[0])) if layers else iter(())
    for layer in track(layers, f"weights of {checkpoint.name}", unit="layers"):
        found: dict[str, NDArray[Any]] = {"similarity.router": cosine(checkpoint.router(layer).to(device))}
        for role, matrix in islice(coming, len(ROLES)):
            flat, neurons = similarities(matrix.to(device), role)
            found |= {f"similarity.matrix.{role}": flat, f"similarity.mean.{role}": neurons}
            del matrix  # or it would be in memory beside the next two
        yield found
