"""Claims on the similarity of experts' weights, and on the agreement of their matrices (4.1.1, Appendix D)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/matrices-agree")
def test_matrices_agree(moe_result: Result) -> None:
    """The three matrices share one similarity pattern."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/expert-similarity-level")
def test_expert_similarity_level(moe_result: Result) -> None:
    """Matrices of experts are alike."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/mean-mirrors-matrix")
def test_mean_mirrors_matrix(moe_result: Result) -> None:
    """Mean neurons are as alike as the matrices, but those of W_act much more."""
    conclude(moe_result)
