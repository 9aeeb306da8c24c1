"""Similarity of experts from their weights: router rows, flattened matrices, mean neurons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.memory import free_bytes
from moe_claims._util.progress import track
from moe_claims._util.threads import parallel_map
from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.models.checkpoint import Checkpoint, PartReader
from moe_claims.models.families.table import ROLES, Role

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 21
"""Numbers that are widened at a time: few enough to stay in a processor's caches."""
_RUN = 1024
"""Products that are summed up in float32 before float64 takes over."""
_MOST_WORKERS = 16


def cosine(rows: "torch.Tensor") -> NDArray[np.float64]:
    """(E, n) rows → (E, E) cosine similarities in float64, ones on the diagonal.

    A row of zeros has no direction: its similarities are 0.
    """
    wide = rows.double()
    return _cosines(wide @ wide.T)


def mean_neurons(matrix: "torch.Tensor", role: Role) -> "torch.Tensor":
    """Mean over the m neurons of each expert: (E, m, d), for down (E, d, m) → (E, d), float64."""
    import torch

    return matrix.mean(dim=2 if role == "down" else 1, dtype=torch.float64)


def similarities(matrix: "torch.Tensor", role: Role) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines between the experts of one layer by one of their matrices.

    Args:
        matrix: (E, m, d), for down (E, d, m).
        role: which of the axes counts neurons.

    Returns:
        (E, E) each: between flattened matrices, and between mean neurons.
    """
    sums = _Sums.of(matrix, role)
    return _cosines(sums.gram), cosine(sums.neurons)


@final
@dataclass(frozen=True, eq=False)
class _Sums:
    """What rows (E, rows, columns) of one matrix kind of all experts of a layer add up to.

    Numbers of 16 bits are multiplied in float32, which holds their products exactly, and summed up in it over
    short runs; all else is done in float64.
    """

    role: Role
    gram: "torch.Tensor"
    """(E, E) dot products of the flattened rows, float64."""
    neurons: "torch.Tensor"
    """(E, d) sum of all neurons; for down (E, rows), that part of it. float64."""

    @classmethod
    def of(cls, rows: "torch.Tensor", role: Role) -> "_Sums":
        """The sums over some rows."""
        import torch

        experts, _, columns = rows.shape
        parts = rows.split(max(1, _BLOCK // (experts * columns)), dim=1)
        wide = torch.float32 if rows.dtype.itemsize <= 2 else torch.float64
        # Memory that is used again: fresh memory costs more than all sums.
        room = torch.empty(parts[0].numel(), dtype=wide, device=rows.device)
        sums = None
        for part in parts:
            block = room[: part.numel()].view(part.shape).copy_(part)
            neurons = block.sum(dim=2 if role == "down" else 1).double()
            sums = cls(role, _gram(block.flatten(1)), neurons).behind(sums)
        assert sums is not None  # matrices have rows
        return sums

    def behind(self, before: "_Sums | None") -> "_Sums":
        """Together with those of the rows before."""
        import torch

        if before is None:
            return self
        neurons = (
            torch.cat([before.neurons, self.neurons], dim=1) if self.role == "down" else before.neurons + self.neurons
        )
        return _Sums(self.role, before.gram + self.gram, neurons)

    @property
    def are_finite(self) -> bool:
        """Whether all numbers were, and no sum overflowed."""
        return bool(self.gram.diagonal().isfinite().all())


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


def measure_weights(checkpoint: Checkpoint, *, device: str = "cpu") -> WeightMeasurement:
    """Compares the experts of every MoE layer by their weights, each byte of which is read once.

    Args:
        checkpoint: the model whose experts are compared.
        device: one that has float64, where the weights are multiplied.

    Raises:
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    layers = checkpoint.moe_layers
    return WeightMeasurement.of(layers, list(measure_layers(checkpoint, layers, device=device)))


def measure_layers(
    checkpoint: Checkpoint, layers: Sequence[int], *, device: str = "cpu"
) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays of a ``WeightMeasurement`` for each of these layers (true indices), as soon as it has been measured.

    Each of several threads reads a piece of a layer and adds it up, while others do the same: reading and arithmetic
    go on at the same time. The pieces' sums are added in their order, so that the number of threads changes nothing.
    """
    if not layers:
        return

    def added_up(read: PartReader) -> list[_Sums]:
        return [_Sums.of(rows.to(device), role) for role, rows in read()]

    with parallel_map(_workers(checkpoint, layers[0])) as each:
        for layer in track(layers, f"weights of {checkpoint.name}", unit="layers"):
            sums: dict[Role, _Sums] = {}
            for found in each(added_up, checkpoint.pieces(layer)):
                sums |= {part.role: part.behind(sums.get(part.role)) for part in found}
            arrays: dict[str, NDArray[Any]] = {"similarity.router": cosine(checkpoint.router(layer).to(device))}
            for role in ROLES:
                if not sums[role].are_finite:
                    # The error names the tensor; weights whose squares are too large for float32 are no error.
                    sums[role] = _Sums.of(checkpoint.matrix(layer, role).double().to(device), role)
                arrays[f"similarity.matrix.{role}"] = _cosines(sums[role].gram)
                arrays[f"similarity.mean.{role}"] = cosine(sums[role].neurons)
            yield arrays


def _workers(checkpoint: Checkpoint, layer: int) -> int:
    """As many threads as torch would use, as far as memory goes."""
    import torch

    threads: int = min(torch.get_num_threads(), _MOST_WORKERS)
    free = free_bytes()
    if free is None:
        return threads
    return max(1, min(threads, free // (2 * checkpoint.piece_bytes(layer))))
