"""The paper audited: its printed numbers, recomputed from each other, and its code, on an embedded model."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Audit


@pytest.mark.moe_audit("look_into_moes")
def test_audit(moe_result: Audit) -> None:
    """What is printed agrees with what follows from the paper's own tables and figures, and from its method."""
    conclude(moe_result)
