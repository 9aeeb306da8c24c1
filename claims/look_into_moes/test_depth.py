"""Claims on expert diversity over depth: it rises, except in the last layer (sections 4.1.1 and 5.1)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/diversity-depth")
def test_diversity_depth(moe_result: Result) -> None:
    """Expert outputs grow less alike with depth."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/last-layer-outlier")
def test_last_layer_outlier(moe_result: Result) -> None:
    """Expert outputs of the last layer are alike again."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/weight-diversity-depth")
def test_weight_diversity_depth(moe_result: Result) -> None:
    """Weights grow less alike with depth."""
    conclude(moe_result)


@pytest.mark.moe_claim("look_into_moes/weight-last-layer-outlier")
def test_weight_last_layer_outlier(moe_result: Result) -> None:
    """Weights of the last layer are alike again."""
    conclude(moe_result)
