"""The strip of a null distribution: its quantiles and the observed value where they belong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.report.html.null_strip import WIDTH, null_strip

LEVELS = [0.005, 0.025, 0.1, 0.3, 0.5, 0.7, 0.9, 0.975, 0.995]


def null(quantiles: list[float], observed: float, **changes: Any) -> dict[str, Any]:
    settled = {"method": "labels permuted", "statistic": "mean ρ", "is_effect": True, "observed": observed}
    drawn = {"levels": LEVELS, "quantiles": quantiles, "draws": 9_999, "exact": False, "of_tests": 1}
    return settled | drawn | changes


@given(st.lists(st.floats(-1e3, 1e3), min_size=9, max_size=9).map(sorted), st.floats(-2e3, 2e3))
def test_everything_is_in_order_and_within_the_strip(quantiles: list[float], observed: float) -> None:
    found = null_strip(null(quantiles, observed))
    assert found is not None
    starts = [start for start, _ in found.bands]
    ends = [start + width for start, width in found.bands]
    assert [found.low, *starts, found.median] == sorted([found.low, *starts, found.median])
    assert [found.median - 0.02, *ends[::-1]] == pytest.approx(sorted([found.median - 0.02, *ends]))
    assert 0 < found.low <= found.high < WIDTH
    assert 0 < found.observed < WIDTH


def test_positions_are_proportional_and_said_in_words() -> None:
    found = null_strip(null([-4, -3, -2, -1, 0, 1, 2, 3, 4], 6.0))
    assert found is not None
    unit = (found.observed - found.median) / 6
    assert found.bands[0] == pytest.approx((found.median - 3 * unit, 6 * unit), abs=0.02)
    assert found.high - found.median == pytest.approx(4 * unit, abs=0.02)
    assert found.said == (
        "mean ρ: observed 6; by chance 0 in the middle, and -3 to 3 in 95 of 100 cases (labels permuted, 9,999 draws)"
    )


def test_what_is_on_the_axis_and_how_it_was_made_are_said() -> None:
    formula = null_strip(null([0.0] * 9, 0.0, draws=None, is_effect=False, of_tests=3))
    assert formula is not None
    assert formula.axis == "mean ρ"
    assert formula.said.endswith("(labels permuted; of 3 tests that must all reject, the one with the largest p)")
    counted = null_strip(null([0.0] * 9, 0.0, draws=24, exact=True))
    assert counted is not None
    assert (counted.axis, counted.said.endswith("(labels permuted, 24 arrangements)")) == (None, True)


def test_a_null_without_spread_has_a_strip_too() -> None:
    found = null_strip(null([0.0] * 9, 0.0))
    assert found is not None
    assert found.median == found.observed


def test_no_null_no_strip() -> None:
    assert null_strip(None) is None
