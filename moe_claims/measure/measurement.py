"""The arrays that leave this room: frozen, plain numpy, one docstring line per field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.models.families import ROLES, Role

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


@final
@dataclass(frozen=True, eq=False)
class WeightMeasurement:
    """Cosine similarities between the experts of each MoE layer, from weights alone."""

    layers: Integers
    """(L,) true index of each MoE layer."""
    router: Floats
    """(L, E, E) between router rows, S_g."""
    matrix: Mapping[Role, Floats]
    """By role, (L, E, E) between flattened matrices."""
    mean: Mapping[Role, Floats]
    """By role, (L, E, E) between mean neurons (d-vectors)."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under their public names."""
        named: dict[str, NDArray[Any]] = {"layers": self.layers, "similarity.router": self.router}
        for role in ROLES:
            named[f"similarity.matrix.{role}"] = self.matrix[role]
            named[f"similarity.mean.{role}"] = self.mean[role]
        return named

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "WeightMeasurement":
        """Back from ``arrays()``."""
        return cls(
            arrays["layers"],
            arrays["similarity.router"],
            {role: arrays[f"similarity.matrix.{role}"] for role in ROLES},
            {role: arrays[f"similarity.mean.{role}"] for role in ROLES},
        )


@final
@dataclass(frozen=True, eq=False)
class RoutedMeasurement:
    """What router and experts did on every real token; T tokens of S sequences, in order."""

    layers: Integers
    """(L,) true index of each MoE layer."""
    lengths: Integers
    """(S,) tokens of each sequence."""
    router_logits: Floats
    """(L, T, E) scores before any softmax, float32."""
    output_norms: Floats
    """(L, T, E) Euclidean norm of every expert's output before the gate weight, float32."""
    chosen: Integers
    """(L, T, k) chosen experts, best first."""
    angular_sums: Floats
    """(L, S, E, E) sum over a sequence's tokens of 1 − arccos(cosine)/π between expert outputs, float64."""
    activation_share: Floats
    """(L, E) share of |σ(W_act x)| > 0.001 over tokens and neurons."""
    nats: Floats
    """(S,) the model's own cross-entropy per predicted token, in nats."""
    token_cosines: Floats | None = None
    """(L, T, E, E) cosines between expert outputs of every token; only where asked for, never stored."""

    @property
    def sequence_of(self) -> Integers:
        """(T,) index of each token's sequence."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def angular_mean(self) -> Floats:
        """(L, E, E) angular similarity of expert outputs, averaged over all tokens, S_out."""
        return np.asarray(self.angular_sums.sum(axis=1) / self.lengths.sum())

    def rank_counts(self) -> Integers:
        """(L, E, E) tokens by score rank (rows) and norm rank (columns); rank 0 is the smallest."""
        experts = self.router_logits.shape[-1]
        score = self.router_logits.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
        norm = self.output_norms.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
        cell = (score * experts + norm).reshape(len(self.layers), -1)
        counts = [np.bincount(layer, minlength=experts * experts) for layer in cell]
        return np.asarray(counts).reshape(-1, experts, experts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under their public names, with the sums that statistics need."""
        return {
            "layers": self.layers,
            "lengths": self.lengths,
            "router_logits": self.router_logits,
            "output_norms": self.output_norms,
            "chosen": self.chosen,
            "output_similarity.angular_sums": self.angular_sums,
            "activation_share": self.activation_share,
            "nats": self.nats,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "RoutedMeasurement":
        """Back from ``arrays()``."""
        return cls(
            arrays["layers"],
            arrays["lengths"],
            arrays["router_logits"],
            arrays["output_norms"],
            arrays["chosen"],
            arrays["output_similarity.angular_sums"],
            arrays["activation_share"],
            arrays["nats"],
        )
