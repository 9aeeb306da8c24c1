"""Points in two principal components, their numbers and their colours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moe_claims.figures import projections, style
from moe_claims.figures.data import Subject
from moe_claims.measure.measurement import ProjectionMeasurement

Subjects = Callable[[str], Subject]


def _panels(figure: Any) -> list[Any]:
    return [axis for axis in figure.axes if axis.get_xlabel().startswith("1st component")]


@pytest.mark.parametrize("which", ["few", "many"])
def test_experts_are_drawn_where_they_are(which: str, subject: Subjects, texts_of: Any) -> None:
    one = subject(which)
    assert isinstance(one.projections, ProjectionMeasurement)
    drawing = projections.experts(one)
    panels = _panels(drawing.figure)
    assert len(panels) == 9
    for number, axis in enumerate(panels):
        plane = one.projections.experts[("up", "act", "down")[number // 3]][number % 3]
        np.testing.assert_array_equal(axis.collections[-1].get_offsets(), plane.points[0, : one.experts])
        if which == "few":
            np.testing.assert_array_equal(axis.collections[0].get_offsets(), plane.points[0, 8:])
        assert f"{100 * plane.share[0]:.0f}" in axis.get_xlabel() or "." in axis.get_xlabel()
    shown = sum(len(axis.texts) for axis in panels)
    left_out = 9 * one.experts - shown
    said = [note for note in drawing.notes if "no room" in note]
    assert said == ([f"{left_out} numbers that had no room beside their dots are left out."] if left_out else [])
    assert "0" in texts_of(drawing.figure)


@given(arrays(float, (12, 2), elements=st.floats(0, 1.7)))
def test_numbers_cover_neither_each_other_nor_points(points: Any) -> None:
    placed = projections.numbered(points, 8)
    spots = list(placed.items())
    for i, (number, (x, y)) in enumerate(spots):
        assert np.hypot(x - points[number, 0], y - points[number, 1]) < 0.3
        for _, (a, b) in spots[:i]:
            assert abs(x - a) > 0.07 or abs(y - b) > 0.1
        others = np.delete(points, number, axis=0)
        assert not ((np.abs(others[:, 0] - x) < 0.03) & (np.abs(others[:, 1] - y) < 0.05)).any()


def test_points_far_apart_all_have_their_numbers() -> None:
    points = np.stack(np.meshgrid(np.linspace(0, 1.6, 4), np.linspace(0, 1.6, 4)), axis=-1).reshape(-1, 2)
    assert sorted(projections.numbered(points, 8)) == list(range(16))


@pytest.mark.parametrize("which", ["few", "many"])
def test_neurons_have_their_expert_s_colour_in_random_order(which: str, subject: Subjects, texts_of: Any) -> None:
    one = subject(which)
    assert isinstance(one.projections, ProjectionMeasurement)
    drawing = projections.neurons(one)
    dots = _panels(drawing.figure)[0].collections[0]
    plane = one.projections.neurons["up"][0]
    sample, blocks = plane.points.shape[:2]
    colours = projections._colours(one.experts)
    drawn = np.concatenate([dots.get_offsets(), dots.get_facecolors()], axis=1)
    expected = np.concatenate([plane.points.reshape(-1, 2), colours[np.tile(np.arange(blocks), sample)]], axis=1)
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, expected))
    order = [tuple(colour) for colour in dots.get_facecolors()]
    assert order != sorted(order)
    assert any(note.startswith(f"{sample} neurons of each of {one.experts} experts") for note in drawing.notes)
    labels = texts_of(drawing.figure)
    assert "expert" in labels
    assert ("F" in labels) is (which == "few")


def test_eight_experts_have_eight_colours_and_a_reference_none_of_them() -> None:
    colours = {tuple(colour) for colour in projections._colours(8)}
    assert len(colours) == 9
    assert len({tuple(colour) for colour in projections._colours(64)}) == 65
    assert len(style.OKABE_ITO) == 8


def test_a_reference_of_another_shape_is_said_to_be_left_out(subject: Subjects) -> None:
    one = subject("few")
    assert isinstance(one.projections, ProjectionMeasurement)

    def without(planes: Any) -> Any:
        return {role: tuple(replace(p, points=p.points[:, :8]) for p in found) for role, found in planes.items()}

    found = replace(one.projections, experts=without(one.projections.experts), neurons=without(one.projections.neurons))
    for draw in (projections.experts, projections.neurons):
        notes = draw(replace(one, projections=found)).notes
        assert "F is left out: its matrices have another shape than an expert's." in notes
