"""What figures are drawn from, and what drawing one gives."""

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
    """One more block that the experts are compared with, last on the expert axes."""

    label: str
    """``F`` for a dense model, ``SE`` for shared experts."""
    name: str
    weights: DenseWeights


@final
@dataclass(frozen=True, eq=False)
class Read:
    """A text as the model read it, and what it did."""

    name: str
    words: tuple[str, ...]
    """The first tokens of the first sequence, as a reader should see them; others are not shown by name."""
    routed: RoutedMeasurement


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """One model as far as it was measured. A part that could not be measured is the error that says why."""

    name: str
    hub_id: str | None
    layers: tuple[int, ...]
    """True indices of the layers that are drawn one by one."""
    weights: WeightMeasurement
    reference: Reference | MoeClaimsError
    short: Read | MoeClaimsError
    """The paper's short input, with the cosines of single tokens."""
    text: Read | MoeClaimsError
    projections: ProjectionMeasurement | MoeClaimsError

    @property
    def experts(self) -> int:
        """Number E of routed experts."""
        return int(self.weights.router.shape[-1])

    def places(self, layers: Integers) -> list[int]:
        """Where the layers that are drawn one by one stand on an axis of these layers."""
        return [int(np.flatnonzero(layers == layer)[0]) for layer in self.layers]

    def similarity(self, level: str, role: Role) -> tuple[Floats, str | None]:
        """(L, E′, E′) cosines of the ``matrix`` or ``mean`` level, and the label of the last row if it is no expert."""
        among: Floats = getattr(self.weights, level)[role]
        if isinstance(self.reference, MoeClaimsError):
            return among, None
        to_reference = getattr(self.reference.weights, level).get(role)
        return (among, None) if to_reference is None else (append_dense(among, to_reference), self.reference.label)


@final
@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, not yet in any file."""

    figure: Any
    """Of matplotlib."""
    notes: tuple[str, ...] = ()
    """Sentences of the caption that depend on what was drawn: which layers, what is left out, of how many."""


def there(part: T | MoeClaimsError) -> T:
    """A part that was measured.

    Raises:
        MoeClaimsError: why it was not.
    """
    if isinstance(part, MoeClaimsError):
        raise part
    return part
