"""Claims on expert loads, tested on published counts of the real Mixtral 8x7B and OLMoE (appendix I)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_public("balanced-routing")
def test_balanced_routing(moe_public_result: Result) -> None:
    """Experts are chosen fairly evenly."""
    conclude(moe_public_result)


@pytest.mark.moe_public("special-expert-chosen-less")
def test_special_expert_chosen_less(moe_public_result: Result) -> None:
    """The expert that stands apart is chosen less than the others."""
    conclude(moe_public_result)


@pytest.mark.moe_public("tuning-keeps-routing")
def test_tuning_keeps_routing(moe_public_result: Result) -> None:
    """Instruction tuning leaves the routing almost as it was."""
    conclude(moe_public_result)
