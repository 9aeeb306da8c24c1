"""What a dense layer costs by its depth, tested on small MoEs that were trained for the question (Table 6)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/depth-needs-experts", evidence="trained")
def test_depth_needs_experts(moe_result: Result) -> None:
    """A dense layer hurts more the deeper it lies, except in the last place."""
    conclude(moe_result)
