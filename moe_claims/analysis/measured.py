"""What the analyses are given: the measurements of one model, on at most one text."""

from dataclasses import dataclass
from typing import final

from moe_claims.errors import MoeClaimsError
from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of one model. Asking for one that could not be made raises why."""

    weights: WeightMeasurement
    text: RoutedMeasurement | MoeClaimsError | None = None
    """What it did on a text; the error that stopped it; None where no text was asked for."""

    @property
    def routed(self) -> RoutedMeasurement:
        """The measurement on the text.

        Raises:
            MoeClaimsError: why there is none.
        """
        if isinstance(self.text, MoeClaimsError):
            raise self.text
        if self.text is None:
            raise MoeClaimsError("this claim needs a text, and none was run")
        return self.text
