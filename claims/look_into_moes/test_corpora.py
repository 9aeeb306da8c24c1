"""The claims on behaviour hold on every text of the run (appendix F)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_claim("look_into_moes/corpus-robust")
def test_corpus_robust(moe_result: Result) -> None:
    """Each of them, on the text where it is weakest."""
    conclude(moe_result)
