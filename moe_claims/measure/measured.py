"""What the analyses are given: the measurements of one model, on at most one text, and of what it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, final

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
    """Measurements of one model. Asking for one that could not be made raises why.

    Of each part: the measurement; the error that stopped it; or None where it was not asked for.
    """

    weights: WeightMeasurement
    text: RoutedMeasurement | MoeClaimsError | None = None
    """What it did on a text."""
    matching: Mapping[Role, MatchingMeasurement] | MoeClaimsError | None = None
    """Its neurons matched, by matrix kind."""
    dense: DenseWeights | MoeClaimsError | None = None
    """Its experts against a dense model of the same shape."""
    second: RoutedMeasurement | MoeClaimsError | None = None
    """What a second model did on the very same tokens."""
    texts: Mapping[str, RoutedMeasurement | MoeClaimsError] = field(default_factory=dict)
    """What it did on every text of the run."""

    @property
    def routed(self) -> RoutedMeasurement:
        """The measurement on the text.

        Raises:
            MoeClaimsError: why there is none.
        """
        if self.text is None:
            raise MoeClaimsError("this claim needs a text, and none was run")
        return _there(self.text)

    @property
    def matched(self) -> Mapping[Role, MatchingMeasurement]:
        """The matched neurons.

        Raises:
            MoeClaimsError: why there are none.
        """
        if self.matching is None:
            raise MoeClaimsError("this claim needs matched neurons, and none were matched")
        return _there(self.matching)

    @property
    def against_dense(self) -> DenseWeights:
        """The comparison with the dense reference.

        Raises:
            NotComparableError: none was asked for.
            MoeClaimsError: why there is none.
        """
        if self.dense is None:
            raise NotComparableError("no dense model to compare with: --moe-dense-reference NAME gives one")
        return _there(self.dense)

    @property
    def second_routed(self) -> RoutedMeasurement:
        """What the second model did on the same tokens.

        Raises:
            NotComparableError: none was asked for.
            MoeClaimsError: why there is none.
        """
        if self.second is None:
            raise NotComparableError("no second model to compare with: --moe-second-model NAME gives one")
        return _there(self.second)


def _there(part: M | MoeClaimsError) -> M:
    if isinstance(part, MoeClaimsError):
        raise part
    return part
