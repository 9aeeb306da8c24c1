"""Claims on the neurons of experts (appendix H)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/activation-ratio")
def test_activation_ratio(moe_result: Result) -> None:
    """Nearly all neurons of every expert are active."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/same-index-neurons")
def test_same_index_neurons(moe_result: Result) -> None:
    """Neurons of the same index fire alike in all experts."""
    conclude(moe_result)
