"""Audits of the paper: its printed numbers, recomputed from each other, and its code, run on an embedded model."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Audit


@pytest.mark.moe_audit("look_into_moes")
def test_audit(moe_result: Audit) -> None:
    """A printed number agrees with what follows from the paper's tables, figures and method."""
    conclude(moe_result)
