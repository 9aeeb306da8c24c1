"""Curves over depth: every layer, the last one ringed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from moe_claims.figures import depth
from moe_claims.figures.data import Read, Subject
from moe_claims.packs.look_into_moes.paper import published

Subjects = Callable[[str], Subject]
UPPER = np.triu_indices(8, 1)


def _curves(axis: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axis.lines}


def _rings(axis: Any) -> list[Any]:
    return [line for line in axis.lines if line.get_markersize() == 10]


def test_outputs(subject: Subjects) -> None:
    one = subject("few")
    assert isinstance(one.text, Read)
    routed = one.text.routed
    (axis,) = depth.outputs(one).figure.axes
    curve = _curves(axis)["all tokens"]
    np.testing.assert_array_equal(curve.get_xdata(), routed.layers)
    expected = [layer[UPPER].mean() for layer in routed.angular_mean]
    np.testing.assert_allclose(curve.get_ydata(), expected)
    assert routed.dense_sums is not None
    to_dense = _curves(axis)["experts against F"].get_ydata()
    np.testing.assert_allclose(to_dense, routed.dense_sums.sum(axis=1).mean(axis=1) / 200)
    assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in _rings(axis)] == [
        (6, pytest.approx(expected[-1])),
        (6, to_dense[-1]),
    ]
    assert axis.get_xlabel() == "layer (ring: the last)" and axis.get_ylabel() == "mean angular similarity"


def test_weights(subject: Subjects) -> None:
    one = subject("few")
    left, right = depth.weights(one).figure.axes
    for axis, level in ((left, one.weights.matrix), (right, one.weights.mean)):
        for role in ("up", "act", "down"):
            expected = [layer[UPPER].mean() for layer in level[role]]  # type: ignore[index]
            np.testing.assert_allclose(_curves(axis)[f"W_{role}"].get_ydata(), expected)
    router = [layer[UPPER].mean() for layer in one.weights.router]
    np.testing.assert_allclose(_curves(right)["router W_g"].get_ydata(), router)
    looks = {
        (line.get_color(), line.get_marker(), line.get_linestyle())
        for line in right.lines
        if line.get_linestyle() != "None"
    }
    assert len(looks) == 5  # no two curves, nor the line at 0, look alike without colour


def test_association_and_the_paper_s_own_values(subject: Subjects) -> None:
    one = subject("few")
    drawing = depth.association(one)
    curve = _curves(drawing.figure.axes[0])["W_act"]
    expected = [
        np.corrcoef(g[UPPER], m[UPPER])[0, 1] for g, m in zip(one.weights.router, one.weights.mean["act"], strict=True)
    ]
    np.testing.assert_allclose(curve.get_ydata(), expected)
    assert drawing.notes == ("The paper prints no values for this model.",)
    real = depth.association(replace(one, hub_id="mistralai/Mixtral-8x7B-v0.1"))
    printed = published()["table5_r_gate_act_by_layer"]["mixtral-8x7b"]
    marks = _curves(real.figure.axes[0])["W_act, paper's Table 5"]
    assert dict(zip(map(str, marks.get_xdata()), marks.get_ydata(), strict=True)) == printed
    assert real.notes == ()


def test_norms_scores_and_activations(subject: Subjects) -> None:
    one = subject("few")
    assert isinstance(one.text, Read)
    routed = one.text.routed
    left, right = depth.norms(one).figure.axes
    np.testing.assert_allclose(_curves(left)["mean"].get_ydata(), routed.output_norms.mean(axis=(1, 2)), rtol=1e-5)
    sizes = routed.output_norms.astype(float)
    spread = (sizes.std(axis=2, ddof=1) / sizes.mean(axis=2)).mean(axis=1)
    np.testing.assert_allclose(_curves(right)["over experts, mean over tokens"].get_ydata(), spread)
    left, right = depth.router_norm(one).figure.axes
    rho = [
        np.mean([spearmanr(a, b).statistic for a, b in zip(norms, logits, strict=True)])
        for norms, logits in zip(routed.output_norms, routed.router_logits, strict=True)
    ]
    np.testing.assert_allclose(_curves(left)["mean over tokens"].get_ydata(), rho, atol=1e-9)
    assert (_curves(right)["highest score"].get_ydata() > _curves(right)["second score"].get_ydata()).all()
    left, right = depth.activations(one).figure.axes
    np.testing.assert_allclose(
        _curves(left)["mean over experts"].get_ydata(), routed.magnitude_sums.sum(axis=1).mean(axis=1) / 200
    )
    np.testing.assert_allclose(
        _curves(right)["mean over experts"].get_ydata(), 100 * routed.activation_share.mean(axis=1)
    )


@pytest.mark.parametrize(
    "draw", [depth.outputs, depth.weights, depth.association, depth.norms, depth.router_norm, depth.activations]
)
def test_every_curve_has_every_layer_and_a_ring_around_the_last(
    draw: Callable[[Subject], Any], subject: Subjects
) -> None:
    for which, layers in (("few", 7), ("many", 3)):
        for axis in draw(subject(which)).figure.axes:
            curves = [line for line in axis.lines if len(line.get_xdata()) == layers]
            assert curves
            assert len(_rings(axis)) == len(curves)
            assert all(ring.get_xdata()[0] == layers - 1 for ring in _rings(axis))
            assert axis.get_xlabel() and axis.get_ylabel()
