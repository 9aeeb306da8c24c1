"""Claim on the effect of upcycling on experts, tested on small MoEs trained for this purpose (section 4.1)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/training-scheme", evidence="trained")
def test_training_scheme(moe_result: Result) -> None:
    """Upcycled experts stay alike; experts trained from scratch do not become so."""
    conclude(moe_result)
