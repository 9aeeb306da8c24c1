"""Agreement of three similarity patterns: pairwise Mantel r, exact relabelings, null and planted."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, pearsonr

from moe_claims.stats.cadm import ConcordanceResult, concordance
from moe_claims.stats.mantel import mantel
from moe_claims.stats.permutation import Floats

pytestmark = pytest.mark.numerics

SEEDS = st.integers(0, 2**32 - 1)


def patterns(rng: np.random.Generator, layers: int, experts: int) -> Floats:
    """(L, E, E) cosines of random rows."""
    rows = rng.standard_normal((layers, experts, 12))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows @ rows.transpose(0, 2, 1))


def tried(*three: Floats, seed: int = 0, resamples: int = 199) -> ConcordanceResult:
    return concordance(*three, rng=np.random.default_rng(seed), resamples=resamples)


# --- against outside numbers ---------------------------------------------------------------------


@settings(deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(3, 9))
def test_r_is_scipys_of_every_two(seed: int, layers: int, experts: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (patterns(rng, layers, experts) for _ in range(3))
    upper = np.triu_indices(experts, 1)
    expected = [
        [pearsonr(x[upper], y[upper]).statistic for x, y in ((p, q), (p, s), (q, s))]
        for p, q, s in zip(a, b, c, strict=True)
    ]
    result = tried(a, b, c, resamples=1)
    assert np.allclose(result.r, expected)
    assert result.mean_r.statistic == pytest.approx(np.mean(expected))


def test_p_is_that_of_all_pairs_of_relabelings() -> None:
    # One layer of four experts: 24 × 24 relabelings of the second and the third, brute force.
    rng = np.random.default_rng(7)
    a, b, c = (patterns(rng, 1, 4)[0] for _ in range(3))
    upper = np.triu_indices(4, 1)
    orders = [np.array(order) for order in permutations(range(4))]

    def mean_r(p: Floats, q: Floats, s: Floats) -> float:
        return float(np.mean([np.corrcoef(x[upper], y[upper])[0, 1] for x, y in ((p, q), (p, s), (q, s))]))

    observed = mean_r(a, b, c)
    null = np.array([mean_r(a, b[np.ix_(o, o)], c[np.ix_(w, w)]) for o in orders for w in orders])
    result = tried(a, b, c, resamples=9_999).mean_r
    assert result.p_greater == pytest.approx((null >= observed - 1e-9).mean(), abs=0.02)
    assert result.p_less == pytest.approx((null <= observed + 1e-9).mean(), abs=0.02)


def test_two_that_agree_and_a_third_without_a_pattern_are_a_mantel_test() -> None:
    rng = np.random.default_rng(3)
    a = patterns(rng, 3, 6)
    b = 0.4 * a + patterns(rng, 3, 6)
    flat = np.broadcast_to(0.3 + 0.7 * np.eye(6), a.shape)
    three, two = tried(a, b, flat, resamples=4_999), mantel(a, b, rng=rng, resamples=4_999)
    assert three.mean_r.statistic == pytest.approx(two.mean_r.statistic / 3)
    assert three.mean_r.p_greater == pytest.approx(two.mean_r.p_greater, abs=0.02)


# --- null and planted ----------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "experts"), [(1, 8), (6, 5)])
def test_unrelated_patterns_are_rejected_at_the_nominal_rate(layers: int, experts: int) -> None:
    rng = np.random.default_rng(layers)
    results = [tried(*(patterns(rng, layers, experts) for _ in range(3)), seed=seed).mean_r for seed in range(400)]
    for side in ("p_greater", "p_less"):
        assert binomtest(sum(getattr(r, side) <= 0.05 for r in results), 400, 0.05).pvalue > 0.001


def test_a_shared_pattern_is_found_and_an_opposite_one_is_not() -> None:
    rng = np.random.default_rng(4)
    shared = patterns(rng, 12, 8)
    noisy = [0.5 * shared + patterns(rng, 12, 8) for _ in range(3)]
    found = tried(*noisy).mean_r
    assert found.p_greater == found.smallest_p == 1 / 200
    assert tried(noisy[0], -noisy[0], patterns(rng, 12, 8)).mean_r.p_less == 1 / 200


# --- properties ----------------------------------------------------------------------------------


@given(SEEDS, st.floats(0.01, 100), st.floats(-10, 10))
def test_units_and_common_labels_are_nothing(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = (patterns(rng, 2, 6) for _ in range(3))
    order = rng.permutation(6)
    moved = [m[:, order][:, :, order] for m in (a, offset + scale * b, c)]
    assert np.allclose(tried(*moved, resamples=1).r, tried(a, b, c, resamples=1).r)


def test_matrices_that_are_level_have_no_pattern_to_share() -> None:
    flat = np.full((2, 5, 5), 0.1) + np.eye(5) * 0.9
    result = tried(flat, flat, flat)
    assert result.mean_r.statistic == 0.0 and result.mean_r.p_greater == 1.0


def test_experts_that_are_too_many_to_hold_at_once_give_the_same_kind_of_null() -> None:
    # 40 experts have 780 pairs: relabelings are drawn in pieces of 84.
    rng = np.random.default_rng(5)
    shared = patterns(rng, 1, 40)
    three = [shared + patterns(rng, 1, 40) for _ in range(3)]
    assert tried(*three).mean_r.p_greater == 1 / 200
    assert tried(*three, seed=1).mean_r.resamples == 199


def test_what_cannot_be_compared_is_refused() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(ValueError, match=r"the three must have one shape, not \(1, 4, 4\), \(1, 4, 4\), \(1, 5, 5\)"):
        tried(patterns(rng, 1, 4), patterns(rng, 1, 4), patterns(rng, 1, 5))
    with pytest.raises(ValueError, match=r"at least 3 experts, not 2"):
        tried(*(patterns(rng, 1, 2) for _ in range(3)))
