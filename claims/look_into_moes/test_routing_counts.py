"""Claims on expert loads, tested on published counts of the real Mixtral 8x7B and OLMoE (appendix I)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/balanced-routing", evidence="public")
def test_balanced_routing(moe_result: Result) -> None:
    """Experts are chosen fairly evenly."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/special-expert-chosen-less", evidence="public")
def test_special_expert_chosen_less(moe_result: Result) -> None:
    """The expert that stands apart is chosen less than the others."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/tuning-keeps-routing", evidence="public")
def test_tuning_keeps_routing(moe_result: Result) -> None:
    """Instruction tuning leaves the routing almost as it was."""
    conclude(moe_result)
