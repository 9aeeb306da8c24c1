"""Claims on experts compared with a dense model of the same shape (sections 4.1.1 and 5.1, appendix D)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/dense-reference")
def test_dense_reference(moe_result: Result) -> None:
    """Matrices of experts are more like the dense model's than each other's; W_act means and outputs are less."""
    conclude(moe_result)
