"""Similarity of experts from their weights: router rows, flattened matrices, mean neurons."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import ROLES, Role
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch

_COLUMNS = 1 << 20
"""Columns that are widened to float64 at a time: 64 MB for 8 experts."""


def cosine(rows: "torch.Tensor") -> NDArray[np.float64]:
    """(E, n) rows → (E, E) cosine similarities, accumulated in float64, ones on the diagonal.

    A row of zeros has no direction: its similarities are 0.
    """
    import torch

    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in rows.split(_COLUMNS, dim=1):
        wide = part.to(torch.float64)
        gram += (wide @ wide.T).cpu()
    norms = gram.diagonal().sqrt()
    similarity = gram / torch.outer(norms, norms).clamp_min(torch.finfo(torch.float64).tiny)
    return np.asarray(similarity.fill_diagonal_(1.0).clamp(-1.0, 1.0).numpy())


def mean_neurons(matrix: "torch.Tensor", role: Role) -> "torch.Tensor":
    """Mean over the m neurons of each expert: (E, m, d), for down (E, d, m) → (E, d), float64."""
    import torch

    return matrix.mean(dim=2 if role == "down" else 1, dtype=torch.float64)


def measure_weights(checkpoint: Checkpoint, *, device: str = "cpu") -> WeightMeasurement:
    """Reads every MoE layer once, one matrix kind in memory at a time.

    Raises:
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    router: list[NDArray[Any]] = []
    matrix: dict[Role, list[NDArray[Any]]] = {role: [] for role in ROLES}
    mean: dict[Role, list[NDArray[Any]]] = {role: [] for role in ROLES}
    for layer in track(checkpoint.moe_layers, f"weights of {checkpoint.name}", unit="layers"):
        router.append(cosine(checkpoint.router(layer).to(device)))
        for role in ROLES:
            weights = checkpoint.matrix(layer, role).to(device)
            matrix[role].append(cosine(weights.flatten(1)))
            mean[role].append(cosine(mean_neurons(weights, role)))
    return WeightMeasurement(
        np.asarray(checkpoint.moe_layers),
        np.stack(router),
        {role: np.stack(matrix[role]) for role in ROLES},
        {role: np.stack(mean[role]) for role in ROLES},
    )
