"""Descriptions of what is measured: of each layer of a checkpoint, or of a text that runs through a model.

Each is a frozen value that can be pickled; the weights do not travel with it (see ``executor``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from moe_claims.measure.dense import Blocks, dense_layers
from moe_claims.measure.matching import match_layers
from moe_claims.measure.measurement import Arrays
from moe_claims.measure.projections import projection_layers
from moe_claims.measure.routed import routed_layers
from moe_claims.measure.store import Snapshot
from moe_claims.measure.weights import measure_layers
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import Role
from moe_claims.models.forward.layerwise import LayerwiseModel


@final
@dataclass(frozen=True, eq=False)
class Weights:
    """Cosine similarities between the experts of a layer, from their weights."""

    checkpoint: Checkpoint
    device: str
    """Where it is computed: one that has float64."""

    def measure(self, layers: Sequence[int]) -> Iterator[Arrays]:
        """What a ``WeightMeasurement`` holds of each layer.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        return measure_layers(self.checkpoint, layers, device=self.device)


@final
@dataclass(frozen=True, eq=False)
class Matching:
    """The neurons of all pairs of experts of a layer, matched one to one by one of their matrices."""

    checkpoint: Checkpoint
    role: Role
    """Which matrix."""

    def measure(self, layers: Sequence[int]) -> Iterator[Arrays]:
        """What a ``MatchingMeasurement`` holds of each layer.

        Raises:
            UsageError: a layer that is not an MoE layer.
            NotMeasuredError: not even one pair fits in memory.
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        return match_layers(self.checkpoint, self.role, layers)


@final
@dataclass(frozen=True, eq=False)
class AgainstBlocks:
    """The experts of a layer against one other block: of a dense model, or their own model's shared experts."""

    checkpoint: Checkpoint
    blocks: Blocks
    device: str
    """Where it is computed: one that has float64."""

    def measure(self, layers: Sequence[int]) -> Iterator[Arrays]:
        """What ``DenseWeights`` hold of each layer.

        Raises:
            NotComparableError: the shapes differ.
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        return dense_layers(self.checkpoint, self.blocks, layers, device=self.device)


@final
@dataclass(frozen=True, eq=False)
class Projections:
    """The experts of a layer, and some of their neurons, in two principal components."""

    checkpoint: Checkpoint
    blocks: Blocks | None
    """What is shown beside the experts, if anything."""
    seed: int
    """Of the choice of neurons."""
    device: str
    """Where it is computed: one that has float64."""

    def measure(self, layers: Sequence[int]) -> Iterator[Arrays]:
        """What a ``ProjectionMeasurement`` holds of each layer.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        return projection_layers(self.checkpoint, layers, self.blocks, seed=self.seed, device=self.device)


@final
@dataclass(frozen=True, eq=False)
class TextPass:
    """A text that runs through a model, whose routers and experts are measured on the way."""

    model: LayerwiseModel
    ids: Sequence[Sequence[int]]
    """Token ids, one list per sequence, used exactly as given."""
    layers: Sequence[int]
    """True indices of the MoE layers to be measured, in order; the text runs through the others too."""
    dense: Blocks | None
    """What answers the same hidden states as the experts, if anything."""
    token_cosines: bool
    """Whether cosines between the outputs of single tokens are kept."""
    snapshot: Snapshot
    """Where the hidden states are written behind each layer, and read by whoever goes on."""

    def measure(self) -> Iterator[Arrays]:
        """What a ``RoutedMeasurement`` holds of each of the layers, and last of the whole text.

        Raises:
            NotComparableError: the blocks have another shape.
            ModelError: the model routes by another rule than its family's, or yields NaN.
        """
        return routed_layers(
            self.model,
            self.ids,
            self.layers,
            token_cosines=self.token_cosines,
            dense=self.dense,
            snapshot=self.snapshot,
        )
