"""Claims and audits of packs without their own test files, such as those of third parties."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Audit, Result


@pytest.mark.moe_pack
def test_pack(moe_result: Result | Audit) -> None:
    """A claim or audit of the run's packs that no other test of the run asks for."""
    conclude(moe_result)
