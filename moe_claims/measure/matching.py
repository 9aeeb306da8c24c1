"""Optimal one-to-one matching of the neurons of two experts (paper, section 4.1.2)."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import Role
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch


@final
@dataclass(frozen=True, eq=False)
class Matching:
    """The neurons of every pair of experts matched, for one matrix kind."""

    similarity: NDArray[np.float64]
    """(L, E, E) cosine of the flattened matrices after the second one's neurons are permuted."""
    tau: NDArray[np.float64]
    """(L, E, E) Kendall's τ between the matching and the original order."""
    permutation: NDArray[np.int64]
    """(L, E, E, m) neuron of the second expert that goes with each neuron of the first."""


def match(first: "torch.Tensor", second: "torch.Tensor") -> NDArray[np.int64]:
    """(m, d), (m, d) neurons → (m,) the assignment of largest total cosine similarity."""
    import torch
    from scipy.optimize import linear_sum_assignment

    a, b = (torch.nn.functional.normalize(x.double(), dim=1) for x in (first, second))
    _, columns = linear_sum_assignment((a @ b.T).numpy(), maximize=True)
    return np.asarray(columns, dtype=np.int64)


def measure_matching(checkpoint: Checkpoint, role: Role) -> Matching:
    """Matches all pairs of experts of every MoE layer, each matrix kind on its own.

    An assignment costs O(m³) time and m² numbers of memory.
    """
    from scipy.stats import kendalltau

    layers, experts = checkpoint.moe_layers, checkpoint.experts
    neurons = checkpoint.matrix(layers[0], role).shape[2 if role == "down" else 1]
    identity = np.arange(neurons)
    similarity = np.ones((len(layers), experts, experts))
    tau = np.ones((len(layers), experts, experts))
    permutation = np.broadcast_to(identity, (len(layers), experts, experts, neurons)).copy()
    pairs = [(number, *pair) for number in range(len(layers)) for pair in combinations(range(experts), 2)]
    loaded, rows = -1, None
    for number, e, f in track(pairs, f"matching {role} neurons", unit="pairs"):
        if number != loaded:
            matrix = checkpoint.matrix(layers[number], role)
            rows, loaded = (matrix.transpose(1, 2) if role == "down" else matrix).double(), number
        assert rows is not None
        matched = match(rows[e], rows[f])
        permutation[number, e, f], permutation[number, f, e] = matched, np.argsort(matched)
        norms = (rows[e].norm() * rows[f].norm()).clamp_min(np.finfo(np.float64).tiny)  # zeros have no direction: 0
        dot = float((rows[e] * rows[f][matched]).sum() / norms)
        similarity[number, e, f] = similarity[number, f, e] = dot
        tau[number, e, f] = tau[number, f, e] = kendalltau(matched, identity).statistic
    return Matching(similarity, tau, permutation)
