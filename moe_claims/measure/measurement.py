"""What was measured of a model: frozen values that hold plain NumPy arrays, with shape and unit of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.models.families.table import ROLES, Role

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Arrays = Mapping[str, NDArray[Any]]


@final
@dataclass(frozen=True, eq=False)
class WeightMeasurement:
    """Cosine similarities, −1 to 1, between the experts of each MoE layer, from weights alone."""

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
    def of(cls, layers: Sequence[int], found: Sequence[Arrays]) -> "WeightMeasurement":
        """Stacks the arrays of single layers, given in the order of ``layers`` under the names that ``arrays`` uses."""

        def stacked(name: str) -> Floats:
            return np.stack([arrays[name] for arrays in found])

        return cls(
            np.asarray(layers),
            stacked("similarity.router"),
            {role: stacked(f"similarity.matrix.{role}") for role in ROLES},
            {role: stacked(f"similarity.mean.{role}") for role in ROLES},
        )


@final
@dataclass(frozen=True, eq=False)
class MatchingMeasurement:
    """The neurons of every pair of experts matched one to one, for one matrix kind."""

    layers: Integers
    """(M,) true index of each layer that was matched."""
    similarity: Floats
    """(M, E, E) cosine of the flattened matrices after the second one's neurons are permuted."""
    tau: Floats
    """(M, E, E) Kendall's τ between the matching and the original order."""
    permutation: Integers
    """(M, E, E, m) neuron of the second expert that goes with each neuron of the first."""
    null_gain: Floats
    """(M,) similarity that matching gains on two random matrices of the same shape and neuron norms."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays under their public names, less the matrix kind."""
        return {
            "layers": self.layers,
            "similarity": self.similarity,
            "tau": self.tau,
            "permutation": self.permutation,
            "null_gain": self.null_gain,
        }

    @classmethod
    def of(cls, layers: Sequence[int], found: Sequence[Arrays]) -> "MatchingMeasurement":
        """Stacks the arrays of single layers, given in the order of ``layers`` under the names of the fields."""
        names = ("similarity", "tau", "permutation", "null_gain")
        return cls(np.asarray(layers), *(np.stack([arrays[name] for arrays in found]) for name in names))


@final
@dataclass(frozen=True, eq=False)
class DenseWeights:
    """Cosines between the experts of each MoE layer and the dense model's FFN of that layer, from weights alone."""

    matrix: Mapping[Role, Floats]
    """By role, (L, E) of flattened matrices; empty where these differ in shape, as shared experts may."""
    mean: Mapping[Role, Floats]
    """By role, (L, E) of mean neurons."""

    @classmethod
    def of(cls, found: Sequence[Arrays]) -> "DenseWeights":
        """Stacks the arrays of single layers, in their order: ``matrix.up`` … ``mean.down``, (E,) each."""

        def stacked(level: str) -> dict[Role, Floats]:
            there = [role for role in ROLES if f"{level}.{role}" in found[0]]
            return {role: np.stack([arrays[f"{level}.{role}"] for arrays in found]) for role in there}

        return cls(stacked("matrix"), stacked("mean"))


@final
@dataclass(frozen=True, eq=False)
class Plane:
    """Points in the plane of their first two principal components, one layer and one matrix kind."""

    points: Floats
    """(P, E′, 2) coordinates, P points of each expert in a row; last, if it is there, those of the reference."""
    share: Floats
    """(2,) share of the variance that each component has, 0 to 1."""


@final
@dataclass(frozen=True, eq=False)
class ProjectionMeasurement:
    """Experts, and some of their neurons, in two principal components; every weight standardised over the points."""

    layers: Integers
    """(M,) true index of each layer that was read."""
    experts: Mapping[Role, tuple[Plane, ...]]
    """By role, one per layer, P = 1: an expert's flattened matrix is a point."""
    neurons: Mapping[Role, tuple[Plane, ...]]
    """By role, one per layer: P neurons of each expert, drawn at random."""

    @classmethod
    def of(cls, layers: Sequence[int], found: Sequence[Arrays]) -> "ProjectionMeasurement":
        """From the arrays of single layers, in the order of ``layers``: ``experts.up``, ``experts.up.share`` …"""

        def planes(level: str) -> dict[Role, tuple[Plane, ...]]:
            return {
                role: tuple(Plane(arrays[f"{level}.{role}"], arrays[f"{level}.{role}.share"]) for arrays in found)
                for role in ROLES
            }

        return cls(np.asarray(layers), planes("experts"), planes("neurons"))


@final
@dataclass(frozen=True, eq=False)
class RoutedMeasurement:
    """What routers and experts did on every real token of a text: T tokens of S sequences, in order, no padding."""

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
    nats: Floats
    """(S,) the model's own cross-entropy per predicted token, in nats."""
    chosen_similarity: Floats
    """(L, S, 2) sums over a sequence's tokens of the mean angular similarity among the chosen experts, and among
    the others; 0 where fewer than two are left to compare. float64."""
    active_sums: Floats
    """(L, S, E) sums over a sequence's tokens of the share of neurons with |σ(W_act x)| > 0.001, float64."""
    magnitude_sums: Floats
    """(L, S, E) sums over a sequence's tokens of the mean over neurons of |σ(W_act x)|, float64."""
    index_sums: Floats
    """(L, S) sums over a sequence's tokens of Pearson r over neuron indices between two experts' σ(W_act x), mean
    over pairs of experts, float64."""
    index_shifted: Floats
    """(L, m) the same over all tokens after the indices of expert e are shifted in a circle by e times a step of 0
    to m − 1, mean over tokens; step 0 is the order as it is."""
    dense_sums: Floats | None = None
    """(L, S, E) sums over a sequence's tokens of the angular similarity between each expert's output and that of
    the dense reference on the same hidden state, float64; None where no reference was given."""
    token_cosines: Floats | None = None
    """(L, T, E, E) cosines between expert outputs of every token; None where they were not asked for."""

    @property
    def sequence_of(self) -> Integers:
        """(T,) index of each token's sequence."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def angular_mean(self) -> Floats:
        """(L, E, E) angular similarity of expert outputs, averaged over all tokens, S_out."""
        return np.asarray(self.angular_sums.sum(axis=1) / self.lengths.sum())

    @property
    def activation_share(self) -> Floats:
        """(L, E) share of |σ(W_act x)| > 0.001 over tokens and neurons."""
        return np.asarray(self.active_sums.sum(axis=1) / self.lengths.sum())

    def rank_counts(self) -> Integers:
        """(L, E, E) tokens by score rank (rows) and norm rank (columns); rank 0 is the smallest."""
        experts = self.router_logits.shape[-1]
        score = self.router_logits.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
        norm = self.output_norms.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
        cell = (score * experts + norm).reshape(len(self.layers), -1)
        counts = [np.bincount(layer, minlength=experts * experts) for layer in cell]
        return np.asarray(counts).reshape(-1, experts, experts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays that there are, under the names of their fields."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def of(cls, layers: Sequence[int], found: Sequence[Arrays], whole: Arrays) -> "RoutedMeasurement":
        """Stacks the arrays of single layers, in the order of ``layers``; ``whole`` has those of the text as a whole.

        All bear the names of the fields.
        """
        stacked = {name: np.stack([arrays[name] for arrays in found]) for name in found[0]}
        return cls(layers=np.asarray(layers), **whole, **stacked)


@final
@dataclass(frozen=True, eq=False)
class RowsInOrder:
    """How alike and how long the experts' outputs are when compared row by row; row j holds one output of every expert.

    Each number is a mean over the rows of a sequence.
    """

    similarity: Floats
    """(L, S) mean over pairs of experts of the angular similarity of their outputs in a row, float64."""
    association: Floats
    """(L, S) Spearman ρ over experts of the norms in row j and the router logits of token j, float64."""
    diagonal: Floats
    """(L, S) share of a row's experts whose norm rank is their score rank, float64."""


@final
@dataclass(frozen=True, eq=False)
class RowOrderMeasurement:
    """The outputs of all experts in token order, and in the order in which the published code records Grok-1's."""

    model: str
    """Name of the model that was measured."""
    layers: Integers
    """(L,) true index of each MoE layer."""
    lengths: Integers
    """(S,) tokens of each sequence."""
    by_token: RowsInOrder
    """Row j of every expert holds token j."""
    published: RowsInOrder
    """Row j of an expert holds the j-th of its tokens by (rank of the expert for the token, token)."""
    misplaced: Floats
    """(L, S) share of the published rows, over all experts, in which row j holds another token than j."""
