"""Maps of weight similarity show what was measured, of the layers that were asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import weights
from moe_claims.figures.data import Reference, Subject
from moe_claims.figures.heatmaps import without_self
from moe_claims.measure.dense import append_dense

Subjects = Callable[[str], Subject]
Images = Callable[[Any], list[Any]]


@pytest.mark.parametrize("which", ["few", "many"])
def test_matrices(which: str, subject: Subjects, images_of: Images) -> None:
    one = subject(which)
    expected = []
    for role in ("up", "act", "down"):
        found = one.weights.matrix[role][list(one.indices(one.weights.layers))]
        if not isinstance(one.reference, MoeClaimsError):
            found = append_dense(found, one.reference.weights.matrix[role][[0, 4, 6]])
        expected += list(without_self(found))
    drawing = weights.matrix_similarity(one)
    drawn = images_of(drawing.figure)
    assert len(drawn) == len(expected) == 9
    for image, values in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values)
    assert len({image.get_clim() for image in drawn}) == 1


def test_mean_neurons_and_router_rows_have_scales_of_their_own(subject: Subjects, images_of: Images) -> None:
    one = subject("few")
    drawn = images_of(weights.mean_similarity(one).figure)
    assert len(drawn) == 12
    router = without_self(one.weights.router[[0, 4, 6]])
    for image, values in zip(drawn[9:], router, strict=True):
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), values)
        assert values.shape == (8, 8)  # the dense model has no router row
    act = without_self(append_dense(one.weights.mean["act"], one.reference.weights.mean["act"]))[[0, 4, 6]]  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.ma.filled(drawn[5].get_array(), np.nan), act[2])
    assert drawn[5].get_clim() != drawn[9].get_clim()


def test_captions_say_which_layers_and_whose_the_last_row_is(subject: Subjects, texts_of: Any) -> None:
    few, many = (weights.matrix_similarity(subject(which)) for which in ("few", "many"))
    assert few.notes[0] == "Layers shown: 0, 4, 6 (3 of 7 MoE layers; --layers draws others)."
    assert few.notes[1].startswith("F, last, is synthetic:dense?layers=7")
    assert many.notes == (
        "Layers shown: 0, 1, 2 (all MoE layers).",
        "No row beside the experts: there is nothing to compare with.",
    )
    assert {"F", "layer 4", "W_down\nexpert"} <= {*texts_of(few.figure)}
    assert "F" not in texts_of(many.figure)


def test_shared_experts_of_another_width_are_left_out_and_said_so(subject: Subjects) -> None:
    from dataclasses import replace

    few = subject("few")
    assert isinstance(few.reference, Reference)
    wide = replace(few.reference, label="SE", weights=replace(few.reference.weights, matrix={}))
    drawing = weights.matrix_similarity(replace(few, reference=wide))
    assert drawing.notes[1] == "SE is left out: its matrices have another shape than an expert's."
    assert drawing.figure.axes[0].images[0].get_array().shape == (8, 8)
