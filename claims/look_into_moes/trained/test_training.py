"""Claims on how models come to be, tested on small MoEs that were trained for the question (Table 6, section 4.1)."""

import pytest

from moe_claims.testing import conclude
from moe_claims.types import Result


@pytest.mark.moe_trained("depth-needs-experts")
def test_depth_needs_experts(moe_trained_result: Result) -> None:
    """A dense layer in place of an MoE layer hurts more the deeper it lies, except in the last place."""
    conclude(moe_trained_result)


@pytest.mark.moe_trained("training-scheme")
def test_training_scheme(moe_trained_result: Result) -> None:
    """Upcycled experts stay alike and in order; those trained from scratch do neither."""
    conclude(moe_trained_result)
