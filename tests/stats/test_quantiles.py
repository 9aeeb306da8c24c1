"""Quantiles of a sample by their definition and NumPy's, and of Student's t by SciPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from moe_claims.stats.quantiles import LEVELS, OPEN_LEVELS, sample_quantiles, t_quantiles


def test_levels_are_symmetric_and_rise_from_smallest_to_largest() -> None:
    assert LEVELS[0] == 0.0 and LEVELS[-1] == 1.0
    assert list(LEVELS) == sorted(set(LEVELS))
    assert tuple(1 - level for level in LEVELS) == pytest.approx(LEVELS[::-1])
    assert LEVELS[1:-1] == OPEN_LEVELS


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[float]) -> None:
    quantiles = sample_quantiles(values)
    assert quantiles == tuple(np.quantile(values, LEVELS, method="inverted_cdf"))
    assert quantiles == sample_quantiles(values[::-1])
    sample = np.asarray(values)
    for level, quantile in zip(LEVELS, quantiles, strict=True):
        assert quantile in values
        assert (sample <= quantile).mean() >= level - 1e-12
        assert (sample < quantile).mean() <= level + 1e-12
    assert (quantiles[0], quantiles[-1]) == (min(values), max(values))


def test_a_discrete_sample_keeps_its_values() -> None:
    assert set(sample_quantiles([0.0] * 50 + [1.0] * 50)) == {0.0, 1.0}
    with pytest.raises(ValueError, match="an empty sample has no quantiles"):
        sample_quantiles([])


def test_of_students_t_an_estimate_at_a_quantile_has_that_p() -> None:
    values = np.array([0.3, -0.2, 0.9, 0.4, 0.1])
    error = values.std(ddof=1) / 5**0.5
    for level, quantile in zip(OPEN_LEVELS, t_quantiles(0.25, error, 4), strict=True):
        moved = values - values.mean() + quantile
        assert ttest_1samp(moved, 0.25, alternative="less").pvalue == pytest.approx(level)
    assert set(t_quantiles(0.25, 0.0, 4)) == {0.25}
