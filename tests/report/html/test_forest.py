"""Geometry of the forest plots: in order, within the drawing, and cut only where it says so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.report.html.forest import LINE, WIDTH, forest

numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))


def row(
    effect: float | None, low: float | None, high: float | None, smallest: float = 0.1, paper: float | None = None
) -> dict[str, Any]:
    return {
        "verdict": "absent",
        "effect": {"value": effect, "ci_low": low, "ci_high": high, "smallest_of_interest": smallest},
        "published": None if paper is None else {"value": paper},
    }


@given(st.lists(st.tuples(numbers, numbers, numbers).map(sorted), min_size=1, max_size=6))
def test_marks_stay_in_order_and_within_the_axis(found: list[list[float]]) -> None:
    plot = forest([row(effect, low, high) for low, effect, high in found])
    assert plot is not None
    for mark in plot.marks:
        assert 0 <= mark.low <= mark.effect <= mark.high <= WIDTH
        # An effect is never cut off, only an interval is.
        assert 0 < mark.effect < WIDTH
        assert mark.low == 0 or not mark.cut_low
        assert mark.high == WIDTH or not mark.cut_high
    assert plot.none <= plot.smallest
    assert all(0 <= x <= WIDTH for x, _ in plot.ticks)
    assert plot.height == LINE * len(found)


def test_positions_are_proportional() -> None:
    plot = forest([row(0.5, 0.4, 0.6), row(0.25, 0.2, 0.3)])
    assert plot is not None
    unit = (plot.marks[0].effect - plot.none) / 0.5
    assert plot.smallest - plot.none == pytest.approx(0.1 * unit, abs=0.02)
    assert plot.marks[1].low - plot.none == pytest.approx(0.2 * unit, abs=0.02)
    assert plot.marks[0].high - plot.none == pytest.approx(0.6 * unit, abs=0.02)
    for x, label in plot.ticks:
        assert x - plot.none == pytest.approx(float(label.replace("−", "-")) * unit, abs=0.02)


def test_an_interval_far_wider_than_the_effects_is_cut_and_says_so() -> None:
    plot = forest([row(0.1, 0.05, 0.2), row(0.2, -40.0, 55.0)])
    assert plot is not None
    near, far = plot.marks
    assert (near.cut_low, near.cut_high, far.cut_low, far.cut_high) == (False, False, True, True)
    assert near.high - near.low > WIDTH / 12


def test_the_paper_has_its_mark_and_its_place_on_the_axis() -> None:
    plot = forest([row(0.1, 0.05, 0.2, paper=2.0), row(0.1, 0.05, 0.2)])
    assert plot is not None
    assert plot.marks[0].paper is not None
    assert plot.marks[1].paper is None
    assert plot.marks[0].high < plot.marks[0].paper < WIDTH


def test_rows_without_an_effect_have_no_mark() -> None:
    assert forest([row(None, None, None)]) is None
    plot = forest([row(None, None, None), row(0.1, 0.0, 0.2)])
    assert plot is not None
    assert len(plot.marks) == 1


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e4])
def test_ticks_are_few_round_and_told_apart(scale: float) -> None:
    plot = forest([row(0.7 * scale, 0.4 * scale, 0.9 * scale, smallest=0.1 * scale)])
    assert plot is not None
    labels = [label for _, label in plot.ticks]
    assert 3 <= len(set(labels)) == len(labels) <= 8
    assert "−0" not in {label.rstrip("0").rstrip(".") for label in labels}
