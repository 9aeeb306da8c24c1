"""Claim on the router's confidence (section 5.2)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/top1-confidence")
def test_top1_confidence(moe_result: Result) -> None:
    """The first expert's score is far above the second's."""
    conclude(moe_result)
