"""Norms beside scores, and rank counts beside the published ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from moe_claims.figures import norms
from moe_claims.figures.data import Read, Subject
from moe_claims.packs.look_into_moes.paper import published

Subjects = Callable[[str], Subject]
Images = Callable[[Any], list[Any]]


@pytest.mark.parametrize("which", ["few", "many"])
def test_norms_scores_and_choices_of_every_token(which: str, subject: Subjects, images_of: Images) -> None:
    one = subject(which)
    assert isinstance(one.short, Read)
    routed, places = one.short.routed, one.indices(one.weights.layers)
    figure = norms.by_token(one).figure
    drawn = images_of(figure)
    assert len(drawn) == 6
    for row, place in enumerate(places):
        np.testing.assert_array_equal(drawn[2 * row].get_array(), routed.output_norms[place])
        expected = softmax(routed.router_logits[place].astype(float), axis=-1)
        np.testing.assert_allclose(drawn[2 * row + 1].get_array(), expected)
        # The marks lie on the chosen cells: x is the expert, y the token.
        marks = drawn[2 * row].axes.collections[0].get_offsets()
        tokens = np.repeat(np.arange(7), routed.chosen.shape[-1])
        np.testing.assert_array_equal(marks, np.stack([routed.chosen[place].ravel(), tokens], axis=1))
    scatter = [axis for axis in figure.axes if axis.get_xlabel() == "output norm"]
    assert len(scatter) == 3
    k, experts = routed.chosen.shape[-1], routed.router_logits.shape[-1]
    assert [len(points.get_offsets()) for points in scatter[0].collections] == [7 * (experts - k), 7 * k]


def test_a_logarithmic_axis_has_labels_that_can_be_read(subject: Subjects, texts_of: Any) -> None:
    assert not any("mathdefault" in text for text in texts_of(norms.by_token(subject("many")).figure))


@pytest.mark.parametrize("which", ["few", "many"])
def test_ranks_stand_beside_the_published_ones(which: str, subject: Subjects, images_of: Images, texts_of: Any) -> None:
    one = subject(which)
    assert isinstance(one.text, Read)
    routed = one.text.routed
    # Counted anew: rows norm ranks, columns score ranks, 0 the smallest.
    experts = routed.router_logits.shape[-1]
    counts = np.zeros((experts, experts))
    for logits, sizes in zip(
        routed.router_logits.reshape(-1, experts), routed.output_norms.reshape(-1, experts), strict=True
    ):
        for expert in range(experts):
            counts[(sizes < sizes[expert]).sum(), (logits < logits[expert]).sum()] += 1
    drawing = norms.rank_counts(one)
    ours, theirs = images_of(drawing.figure)[:2]
    with np.errstate(divide="ignore"):
        expected = np.log2(counts / counts.sum(axis=1, keepdims=True) * experts)
    low, high = ours.get_clim()
    assert low == -high
    assert high >= expected.max()
    np.testing.assert_allclose(ours.get_array(), expected.clip(min=low))
    bars = published()["figure10_rank_counts_mixtral_8x7b_read_from_bars_approx"]
    printed = np.array([bars[str(rank)] for rank in range(1, 9)], dtype=float)
    np.testing.assert_allclose(
        theirs.get_array(), np.log2(printed / printed.sum(axis=1, keepdims=True) * 8).clip(min=low)
    )
    shares = np.log2(printed / printed.sum(axis=1, keepdims=True) * 8)
    for side, ratio in (("Left", expected), ("Right", shares)):
        rare, said = int((ratio < low).sum()), [note for note in drawing.notes if note.startswith(side)]
        start = f"{side}, {rare:,} of {ratio.size:,} cells are rarer than 1/{2 ** int(high)} of chance"
        assert len(said) == (1 if rare else 0)
        assert all(note.startswith(start) for note in said)
    assert (which == "few") or any(note.startswith("Left") for note in drawing.notes)
    found = texts_of(drawing.figure)
    assert "score rank (largest score last)" in found and "norm rank (largest norm on top)" in found
    assert any(text.startswith("Mixtral 8x7B as published") for text in found)
    assert "68" in found  # per cent of the largest norms that get the highest score, as published
    top = drawing.figure.axes[0].get_yticks()[-1]
    assert top == experts - 1  # the largest rank is labelled
    assert drawing.figure.axes[0].get_ylim()[1] > top > 0  # and stands on top
