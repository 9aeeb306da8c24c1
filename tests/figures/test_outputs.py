"""Maps of output similarity: token by token, and averaged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import ModelError
from moe_claims.figures import outputs
from moe_claims.figures.data import Read, Subject
from moe_claims.figures.heatmaps import without_self
from moe_claims.measure.dense import append_dense

Subjects = Callable[[str], Subject]
Images = Callable[[Any], list[Any]]


@pytest.mark.parametrize(("which", "experts"), [("few", 9), ("many", 64)])
def test_single_tokens(which: str, experts: int, subject: Subjects, images_of: Images, texts_of: Any) -> None:
    one = subject(which)
    assert isinstance(one.short, Read)
    cosines = one.short.routed.token_cosines
    assert cosines is not None
    assert cosines.shape[-1] == experts
    places, tokens = one.indices(one.weights.layers), cosines.shape[1]
    assert tokens == 7  # the paper's prompt: six words and a begin
    drawing = outputs.by_token(one)
    drawn = images_of(drawing.figure)
    expected = without_self(cosines[places, :7]).reshape(-1, experts, experts)
    assert len(drawn) == len(expected) == 3 * 7
    for image, values in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values)
    assert set(one.short.words) <= {*texts_of(drawing.figure)}
    assert not any("tokens are shown" in note for note in drawing.notes)


def test_tokens_that_have_no_room_are_counted(subject: Subjects, images_of: Images) -> None:
    few = subject("few")
    assert isinstance(few.short, Read)
    routed = few.short.routed
    assert routed.token_cosines is not None
    longer = replace(routed, token_cosines=np.concatenate([routed.token_cosines, routed.token_cosines], axis=1))
    drawing = outputs.by_token(replace(few, short=Read("short", few.short.words * 2, longer)))
    assert len(images_of(drawing.figure)) == 3 * 8
    assert "The first 8 of 14 tokens are shown." in drawing.notes


def test_averages(subject: Subjects, images_of: Images) -> None:
    one = subject("few")
    assert isinstance(one.text, Read)
    routed = one.text.routed
    assert routed.dense_sums is not None
    mean = append_dense(routed.angular_mean, routed.dense_sums.sum(axis=1) / routed.lengths.sum())
    drawing = outputs.averaged(one)
    for image, values in zip(images_of(drawing.figure), without_self(mean[[0, 4, 6]]), strict=True):
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values)
        assert image.cmap.name == "viridis"
    assert f"Mean over 200 tokens of {len(routed.lengths)} sequences." in drawing.notes
    assert drawing.notes[-1].endswith("on the same hidden states.")


@pytest.mark.parametrize(("part", "draw"), [("short", outputs.by_token), ("text", outputs.averaged)])
def test_what_could_not_be_measured_is_not_drawn(part: str, draw: Callable[..., Any], subject: Subjects) -> None:
    without: dict[str, Any] = {part: ModelError("it has no tokenizer")}
    with pytest.raises(ModelError, match="it has no tokenizer"):
        draw(replace(subject("few"), **without))
