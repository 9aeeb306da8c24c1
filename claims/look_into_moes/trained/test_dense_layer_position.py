"""Claim on the cost of a dense layer by its depth, tested on small MoEs trained for this purpose (Table 6)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/depth-needs-experts", evidence="trained")
def test_depth_needs_experts(moe_result: Result) -> None:
    """A dense layer hurts more the deeper it is, except as the last layer."""
    conclude(moe_result)
