"""Experts and their neurons in the plane of two principal components (paper, Appendix C), layer by layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.progress import track
from moe_claims.measure.dense import Blocks
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, Role

if TYPE_CHECKING:
    import torch

SAMPLE = 2_048
"""At most this many neurons of a layer are drawn, from all experts together: more hide each other in a figure."""
_FEWEST = 4
"""Neurons of each expert at least, however many experts there are."""
_SOLVED_WHOLE = 64
"""Points up to which all components are found at once."""
_BLOCK = 1 << 23
"""Numbers that are standardised at a time: 64 MB in float64."""


def plane(rows: "torch.Tensor") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, p) points → their (n, 2) coordinates in the first two principal components, and (2,) shares of variance.

    Every column is standardised over the points first, as the paper does; one that does not vary counts nothing. The
    sign of a component is arbitrary: its largest coordinate is made positive.
    """
    import torch
    from scipy.sparse.linalg import eigsh

    count = len(rows)
    gram = torch.zeros(count, count, dtype=torch.float64, device=rows.device)
    for block in rows.split(max(1, _BLOCK // count), dim=1):
        wide = block.double()
        centred = wide - wide.mean(dim=0)
        spread = centred.square().mean(dim=0).sqrt()
        # Equal numbers may differ from their own mean by rounding.
        varies = spread > 1e-12 * wide.abs().amax(dim=0)
        standard = torch.where(varies, centred / spread.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        gram += standard @ standard.T
    products = gram.cpu().numpy()
    total = float(np.trace(products))
    if total <= 0:  # all points are one
        return np.zeros((count, 2)), np.zeros(2)
    if count <= _SOLVED_WHOLE:
        values, vectors = np.linalg.eigh(products)
    else:
        # Two of thousands of components; begun from a fixed vector, so that the same points give the same plane.
        values, vectors = eigsh(products, k=2, v0=np.random.default_rng(0).standard_normal(count))
    order = np.argsort(values)[::-1][:2]
    values, vectors = values[order].clip(min=0.0), vectors[:, order]
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, [0, 1]]) * np.sqrt(values), values / total


def projection_layers(
    checkpoint: Checkpoint, layers: Sequence[int], dense: Blocks | None, *, seed: int, device: str = "cpu"
) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays of a ``ProjectionMeasurement`` for each of these layers, as soon as it has been projected.

    Args:
        checkpoint: the model whose experts are projected.
        layers: true indices of MoE layers.
        dense: dense reference or shared experts, the last point; left out where its matrices have another shape.
        seed: of the choice of neurons, the same ones of all experts of a layer.
        device: one that has float64, where the products are made.

    Raises:
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    for layer in track(layers, f"projections of {checkpoint.name}", unit="layers"):
        found: dict[str, NDArray[Any]] = {}
        for role, stored in checkpoint.matrices(layer):
            points = _with_reference(stored, dense, layer, role).to(device)
            flat, share = plane(points.flatten(1))
            found |= {f"experts.{role}": flat[None], f"experts.{role}.share": share}
            rows = points.transpose(1, 2) if role == "down" else points
            chosen = _chosen(rows.shape[0], rows.shape[1], (seed, layer, ROLES.index(role)))
            some = rows[:, chosen].transpose(0, 1)
            neurons, share = plane(some.flatten(0, 1))
            found |= {f"neurons.{role}": neurons.reshape(*some.shape[:2], 2), f"neurons.{role}.share": share}
        yield found


def _with_reference(experts: "torch.Tensor", dense: Blocks | None, layer: int, role: Role) -> "torch.Tensor":
    import torch

    if dense is None:
        return experts
    matrix = dense.matrix(layer, role)
    if matrix.shape != experts.shape[1:]:
        return experts
    return torch.cat([experts, matrix[None].to(experts)])


def _chosen(experts: int, neurons: int, seed: tuple[int, ...]) -> NDArray[np.integer[Any]]:
    """Sorted indices of the neurons that are drawn of every expert; all of them where there are few."""
    count = min(neurons, max(_FEWEST, SAMPLE // experts))
    return np.sort(np.random.default_rng(seed).choice(neurons, count, replace=False))
