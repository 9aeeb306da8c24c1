"""Claims that neurons act like fine-grained experts, from weights alone (section 4.2, Tables 3 and 5)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/neuron-experts")
def test_neuron_experts(moe_result: Result) -> None:
    """Router rows follow the pattern of W_act, more than that of W_up or W_down."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/neuron-experts-sign")
def test_neuron_experts_sign(moe_result: Result) -> None:
    """The association is positive."""
    conclude(moe_result)
