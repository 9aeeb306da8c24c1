"""Claims on the similarity of router rows over depth (Appendix E)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/gate-last-layer")
def test_gate_last_layer(moe_result: Result) -> None:
    """Router rows of the last layer are alike again."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/gate-act-opposite-trends")
def test_gate_act_opposite_trends(moe_result: Result) -> None:
    """Router rows grow less alike with depth while mean neurons of W_act grow more alike."""
    conclude(moe_result)
