"""What an estimator is given: the measurements of one model on one text, and of the models it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any, TypeVar, final

import numpy as np

from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.measure.measurement import (
    DenseWeights,
    MatchingMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.models.families.table import Role

M = TypeVar("M")


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements of one model, on at most one text.

    Each field but ``weights`` holds a measurement, or the error that stopped it, or None where it was not asked for.
    The properties give the measurement, and raise that error where there is none.
    """

    weights: WeightMeasurement
    """Similarities of the experts' weights."""
    text: RoutedMeasurement | MoeClaimsError | None = None
    """What the model's routers and experts did on the text."""
    matching: Mapping[Role, MatchingMeasurement] | MoeClaimsError | None = None
    """The neurons of its experts matched one to one, by matrix kind."""
    dense: DenseWeights | MoeClaimsError | None = None
    """Its experts' weights against those of a dense model of the same shape."""
    second: RoutedMeasurement | MoeClaimsError | None = None
    """What a second model did on the very same tokens."""
    texts: Mapping[str, RoutedMeasurement | MoeClaimsError] = field(default_factory=dict)
    """By name, what the model did on every text of the run, ``text`` among them."""

    @property
    def routed(self) -> RoutedMeasurement:
        """The measurement on the text.

        Raises:
            MoeClaimsError: no text was run, or what stopped the measurement.
        """
        if self.text is None:
            raise MoeClaimsError("this claim needs a text, and none was run")
        return _there(self.text)

    @property
    def matched(self) -> Mapping[Role, MatchingMeasurement]:
        """The matched neurons, by matrix kind.

        Raises:
            MoeClaimsError: no neurons were matched, or what stopped the matching.
        """
        if self.matching is None:
            raise MoeClaimsError("this claim needs matched neurons, and none were matched")
        return _there(self.matching)

    @property
    def against_dense(self) -> DenseWeights:
        """The comparison with the dense reference.

        Raises:
            NotComparableError: no dense reference was named.
            MoeClaimsError: what stopped the comparison.
        """
        if self.dense is None:
            raise NotComparableError("no dense model to compare with: --moe-dense-reference NAME gives one")
        return _there(self.dense)

    @property
    def second_routed(self) -> RoutedMeasurement:
        """What the second model did on the same tokens.

        Raises:
            NotComparableError: no second model was named.
            MoeClaimsError: what stopped its measurement.
        """
        if self.second is None:
            raise NotComparableError("no second model to compare with: --moe-second-model NAME gives one")
        return _there(self.second)


def _there(part: M | MoeClaimsError) -> M:
    if isinstance(part, MoeClaimsError):
        raise part
    return part


def freeze(measured: object) -> None:
    """Makes every array of a measurement read-only, and every mapping in it too, in place.

    All estimators, those of third parties too, are handed the same arrays: one that wrote into them would change
    the numbers of others without a word.
    """
    for part in fields(measured) if is_dataclass(measured) else ():
        value = getattr(measured, part.name)
        if isinstance(value, dict):
            object.__setattr__(measured, part.name, MappingProxyType(value))
        for one in value.values() if isinstance(value, Mapping) else (value,):
            _freeze_one(one)


def _freeze_one(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif is_dataclass(value):
        freeze(value)
