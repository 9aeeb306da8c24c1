"""Claim that neurons matched one to one keep their order (section 4.1.2, Table 2)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/neuron-order")
def test_neuron_order(moe_result: Result) -> None:
    """The best match of a neuron has the same index in the other expert."""
    conclude(moe_result)
