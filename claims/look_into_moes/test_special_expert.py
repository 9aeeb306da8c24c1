"""Claims on experts whose weights stand apart from the others' (section 4.1.1, Appendices C and I)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/special-expert")
def test_special_expert(moe_result: Result) -> None:
    """One and the same expert stands apart in many layers."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/pca-clusters")
def test_pca_clusters(moe_result: Result) -> None:
    """The experts that stand apart are those outside the cluster in two principal components."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/special-expert-chosen-less")
def test_special_expert_chosen_less(moe_result: Result) -> None:
    """Experts that stand apart are chosen less."""
    conclude(moe_result)
