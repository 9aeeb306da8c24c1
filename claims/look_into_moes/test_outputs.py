"""Claims on the similarity of expert outputs: it mirrors the weights, and is higher among the chosen (section 5.1)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/weights-mirror-outputs")
def test_weights_mirror_outputs(moe_result: Result) -> None:
    """Average output similarity shows the pattern of weight similarity."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/chosen-alike")
def test_chosen_alike(moe_result: Result) -> None:
    """Outputs of chosen experts are more alike than those of the others: in total, and beyond their averages."""
    conclude(moe_result)
