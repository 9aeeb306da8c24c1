"""The least-squares line against numpy.polyfit, and its errors against a textbook and a simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from moe_claims.stats.regression_line import line

pytestmark = pytest.mark.numerics

FINITE = st.floats(-100, 100)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=3, max_size=20, unique_by=lambda pair: round(pair[0], 2)))
def test_it_is_numpys_and_scipys(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    found, theirs = line(x, y), linregress(x, y)
    slope, height = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert found.at(7.0) == pytest.approx(height + 7 * slope, rel=1e-6, abs=1e-4)
    assert found.slope_error == pytest.approx(theirs.stderr, rel=1e-5, abs=1e-6)


def test_every_series_has_a_line_of_its_own() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    x = [0.0, 1.0, 4.0, 6.0, 7.0]
    whole = line(x, values)
    assert whole.slope.shape == whole.scatter.shape == whole.at(9.0).shape == (3, 4)
    one = line(x, values[2, 1])
    assert (whole.slope[2, 1], whole.at(9.0)[2, 1]) == pytest.approx((float(one.slope), float(one.at(9.0))))
    assert whole.error_of_new(9.0)[2, 1] == pytest.approx(float(one.error_of_new(9.0)))


def test_the_error_of_a_new_value_is_that_of_its_distance_from_the_line() -> None:
    # Values of noise alone: distances of a new one, over its error, are Student's t with n − 2 degrees of freedom.
    rng, x = np.random.default_rng(1), np.array([1.0, 6.0, 12.0, 18.0])
    found = line(x, rng.normal(size=(20_000, 4)))
    t = (rng.normal(size=20_000) - found.at(24.0)) / found.error_of_new(24.0)
    for level, quantile in ((0.90, 2.920), (0.95, 4.303)):  # two-sided, 2 degrees of freedom, any table of t
        assert np.mean(np.abs(t) <= quantile) == pytest.approx(level, abs=0.008)


def test_two_places_leave_nothing_to_judge_the_scatter_by() -> None:
    found = line([0.0, 2.0], [1.0, 5.0])
    assert (float(found.slope), float(found.at(3.0))) == (2.0, 7.0)
    assert np.isnan(found.scatter)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 1.0], [0.0, 1.0], "2 different positions or more"),
        ([1.0], [0.0], "2 different positions or more"),
        ([1.0, 2.0, 3.0], [0.0, 1.0], r"not shapes \(2,\) and \(3,\)"),
        ([1.0, 2.0], [0.0, np.nan], "finite values"),
        ([[1.0, 2.0]], [0.0, 1.0], "not shapes"),
    ],
)
def test_what_has_no_line_is_refused(x: object, y: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        line(x, y)
