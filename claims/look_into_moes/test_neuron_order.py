"""Matching neurons one to one keeps their order (section 4.1.2, Table 2)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/neuron-order")
def test_neuron_order(moe_result: Result) -> None:
    """The best partner of a neuron stands at the same place in the other expert."""
    conclude(moe_result)
