"""Input and output of drawing functions: ``Subject``, the measurements of one model, and ``Drawing``, a figure."""

from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np

from moe_claims.errors import MoeClaimsError
from moe_claims.measure.dense import append_dense
from moe_claims.measure.measurement import (
    DenseWeights,
    Floats,
    Integers,
    ProjectionMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.models.families.table import Role

T = TypeVar("T")


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """A feed-forward block that the experts are compared with; it is the last entry on expert axes."""

    label: str
    """``F`` for a dense model, ``SE`` for shared experts."""
    name: str
    weights: DenseWeights


@final
@dataclass(frozen=True, eq=False)
class Read:
    """A text and what was measured while the model read it."""

    name: str
    words: tuple[str, ...]
    """The first tokens of the first sequence as readable text; figures label no others."""
    routed: RoutedMeasurement


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """The measurements of one model. A part that could not be measured is the error that explains why."""

    name: str
    hub_id: str | None
    layers: tuple[int, ...]
    """Indices in the model of the layers that are drawn individually."""
    weights: WeightMeasurement
    reference: Reference | MoeClaimsError
    short: Read | MoeClaimsError
    """The paper's short input, with cosines of single tokens."""
    text: Read | MoeClaimsError
    """The long text."""
    projections: ProjectionMeasurement | MoeClaimsError

    @property
    def experts(self) -> int:
        """Number E of routed experts."""
        return int(self.weights.router.shape[-1])

    def indices(self, layers: Integers) -> list[int]:
        """Indices of the individually drawn layers within ``layers``, the first axis of a measurement."""
        return [int(np.flatnonzero(layers == layer)[0]) for layer in self.layers]

    def similarity(self, level: str, role: Role) -> tuple[Floats, str | None]:
        """(L, E′, E′) cosines of level ``matrix`` or ``mean``, and the label of the reference if it is included."""
        among: Floats = getattr(self.weights, level)[role]
        if isinstance(self.reference, MoeClaimsError):
            return among, None
        to_reference = getattr(self.reference.weights, level).get(role)
        return (among, None) if to_reference is None else (append_dense(among, to_reference), self.reference.label)


@final
@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn figure that is not written to a file yet."""

    figure: Any
    """The ``matplotlib.figure.Figure``."""
    notes: tuple[str, ...] = ()
    """Sentences of the caption that depend on the data, such as which layers are shown."""


def measured_part(part: T | MoeClaimsError) -> T:
    """The part itself if it was measured.

    Raises:
        MoeClaimsError: it was not; the error is the part's.
    """
    if isinstance(part, MoeClaimsError):
        raise part
    return part
