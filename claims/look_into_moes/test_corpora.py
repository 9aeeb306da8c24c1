"""Claim that the claims on behaviour hold on every text of the run (appendix F)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/corpus-robust")
def test_corpus_robust(moe_result: Result) -> None:
    """Each claim on behaviour holds on the text where its effect is smallest."""
    conclude(moe_result)
