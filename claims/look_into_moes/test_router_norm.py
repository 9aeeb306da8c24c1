"""Claims that the router prefers experts with larger output norms (section 5.2, Figure 10)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/router-norm")
def test_router_norm(moe_result: Result) -> None:
    """Scores follow norms within a token: in total, and in what is specific to the token."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/router-norm-diagonal")
def test_router_norm_diagonal(moe_result: Result) -> None:
    """The i-th largest norm gets the i-th highest score, for every i."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/router-norm-extremes")
def test_router_norm_extremes(moe_result: Result) -> None:
    """The few largest norms get the highest scores, and only they."""
    conclude(moe_result)
