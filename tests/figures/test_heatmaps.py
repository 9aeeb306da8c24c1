"""Grids of heat maps: every number is drawn where it belongs, on a scale that holds it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.figures import heatmaps, style

Array = np.ndarray[Any, Any]


def _similarities(experts: int, columns: int, low: float = -0.2, high: float = 0.7) -> Array:
    rng = np.random.default_rng(experts)
    return rng.uniform(low, high, (columns, experts, experts))


@pytest.mark.parametrize(
    ("low", "high", "colours", "ends"),
    [
        (-0.2, 0.7, "RdBu_r", (-0.7, 0.7)),
        (-0.7, 0.2, "RdBu_r", (-0.7, 0.7)),
        (-0.01, 0.7, "viridis", (-0.01, 0.7)),
        (0.3, 0.6, "viridis", (0.0, 0.6)),
        (0.0, 0.0, "viridis", (0.0, 1.0)),
        (-0.3, -0.1, "RdBu_r", (-0.3, 0.3)),
    ],
)
def test_negative_values_that_matter_have_a_colour_of_their_own(
    low: float, high: float, colours: str, ends: tuple[float, float]
) -> None:
    found = heatmaps.signed([np.array([low, np.nan]), np.array([high])], "cosine")
    assert (found.map, found.low, found.high) == (colours, *map(pytest.approx, ends))


def test_a_scale_without_spread_is_still_one() -> None:
    found = heatmaps.rising([np.full((2, 2), 0.5)], "share")
    assert found.low < found.high
    assert heatmaps.rising([np.full((2, 2), np.nan)], "share").high == 1.0


def test_an_expert_is_not_compared_with_itself() -> None:
    whole = _similarities(4, 2)
    others = heatmaps.without_self(whole)
    assert np.isnan(others[:, range(4), range(4)]).all()
    assert np.isfinite(others).sum() == 2 * 12
    assert np.isfinite(whole).all()  # what was given is left alone


@pytest.mark.parametrize("experts", [8, 64, 200])
def test_every_number_is_drawn(experts: int, images_of: Callable[[Any], list[Any]]) -> None:
    first, second = _similarities(experts, 3), _similarities(experts, 3, 0.1, 0.2)
    colours = heatmaps.signed([first, second], "cosine")
    rows = [heatmaps.Row("one", first, colours), heatmaps.Row("two", second, colours)]
    figure = heatmaps.grid("title", "model", rows, ["a", "b", "c"])
    drawn = [image for image in images_of(figure) if image.get_array().shape == (experts, experts)]
    expected = [*first, *second]
    assert len(drawn) == len(expected)
    # Rows may be wrapped: each map is there once, whatever the order.
    for values in expected:
        (image,) = [image for image in drawn if np.array_equal(image.get_array(), values)]
        assert image.get_clim() == (colours.low, colours.high)
    width, height = figure.get_size_inches()
    assert width <= style.WIDTH + 1e-9
    assert height < 20


def test_cells_that_are_smaller_than_dots_are_averaged_and_none_is_dropped(
    images_of: Callable[[Any], list[Any]],
) -> None:
    for experts, how in ((64, "nearest"), (512, style.AVERAGED)):
        values = _similarities(experts, 1)
        figure = heatmaps.grid("t", "m", [heatmaps.Row("r", values, heatmaps.signed([values], "cosine"))], ["a"])
        assert images_of(figure)[0].get_interpolation() == how


def test_axes_colour_bars_and_headings_are_labelled(texts_of: Callable[[Any], list[str]]) -> None:
    values = _similarities(9, 2)
    shared = heatmaps.signed([values], "cosine similarity")
    rows = [heatmaps.Row("W_up", values, shared, "F"), heatmaps.Row("W_act", values, shared, "F")]
    found = texts_of(heatmaps.grid("Kind", "model", rows, ["layer 3", "layer 9"]))
    assert {"Kind", "model", "layer 3", "layer 9", "W_up\nexpert", "W_act\nexpert", "expert", "F", "0", "7"} <= {*found}
    assert found.count("cosine similarity") == 1  # one bar for all
    own = [heatmaps.Row(row.label, values, heatmaps.signed([values], row.label), "F") for row in rows]
    assert {"W_up", "W_act"} <= {*texts_of(heatmaps.grid("Kind", "model", own, ["layer 3", "layer 9"]))}


def test_many_columns_are_wrapped_into_blocks_of_one_width(texts_of: Callable[[Any], list[str]]) -> None:
    values = _similarities(64, 12)
    row = heatmaps.Row("outputs", values, heatmaps.signed([values], "cosine"))
    found = texts_of(heatmaps.grid("Kind", "model", [row], [f"layer {i}" for i in range(12)]))
    assert [f"layer {i}" for i in range(12)] == [text for text in found if text.startswith("layer")]
    assert found.count("cosine") == 2
    assert heatmaps.columns_of_page(64) == 7
