"""Intermediate states by layer and expert."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.figures import activations
from moe_claims.figures.data import Read, Subject


@pytest.mark.parametrize("which", ["few", "many"])
def test_share_and_magnitude(
    which: str, subject: Callable[[str], Subject], images_of: Callable[[Any], list[Any]], texts_of: Any
) -> None:
    one = subject(which)
    assert isinstance(one.text, Read)
    routed = one.text.routed
    drawing = activations.intermediate_states(one)
    share, size = images_of(drawing.figure)[:2]
    np.testing.assert_allclose(share.get_array(), 100 * routed.active_sums.sum(axis=1) / 200)
    np.testing.assert_allclose(size.get_array(), routed.magnitude_sums.sum(axis=1) / 200)
    assert share.get_array().shape == (len(routed.layers), one.experts)
    found = texts_of(drawing.figure)
    assert {"neurons with |σ(W_act x)| > 0.001, %", "mean |σ(W_act x)|", "layer", "expert"} <= {*found}
    assert drawing.notes == (
        f"All {len(routed.layers)} MoE layers; means over 200 tokens.",
        "The paper's shares: 99.6 % in mixtral-8x7b, 99.7 % in deepseek-moe-16b, 25.3 % in grok-1.",
    )
