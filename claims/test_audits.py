"""The paper's printed numbers, recomputed from its other printed numbers. Needs no model."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Audit


@pytest.mark.moe_audit
def test_audit(moe_audit: Audit) -> None:
    """What is printed agrees with what follows from the paper's own tables and figures."""
    conclude(moe_audit)
