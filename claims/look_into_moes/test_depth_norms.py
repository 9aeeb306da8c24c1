"""Claims on output norms and intermediate states over depth (section 5.2 and Appendix H)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/norm-grows-with-depth")
def test_norm_grows_with_depth(moe_result: Result) -> None:
    """Output norms grow with depth."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/last-layer-norm-spread")
def test_last_layer_norm_spread(moe_result: Result) -> None:
    """Output norms vary most between the experts of the last layer."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/activation-grows-with-depth")
def test_activation_grows_with_depth(moe_result: Result) -> None:
    """Intermediate states grow in magnitude with depth."""
    conclude(moe_result)
