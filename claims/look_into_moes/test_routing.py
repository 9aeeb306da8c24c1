"""Claims on the choice of experts (appendix I)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/balanced-routing")
def test_balanced_routing(moe_result: Result) -> None:
    """Experts are chosen fairly evenly."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/routing-runs")
def test_routing_runs(moe_result: Result) -> None:
    """Runs of more than four tokens to the same expert are common."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/tuning-keeps-routing")
def test_tuning_keeps_routing(moe_result: Result) -> None:
    """Instruction tuning leaves the routing almost as it was."""
    conclude(moe_result)
