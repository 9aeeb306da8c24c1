"""Mantel's test against scikit-bio and full enumeration, on nulls and on planted patterns."""

from itertools import permutations, product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, pearsonr
from skbio.stats.distance import DistanceMatrix
from skbio.stats.distance import mantel as skbio_mantel

from moe_claims.stats.mantel import mantel, pearson
from moe_claims.stats.permutation import Floats

pytestmark = pytest.mark.numerics

SEEDS = st.integers(0, 2**32 - 1)


def cosines(rng: np.random.Generator, layers: int, experts: int, *, dimensions: int = 6) -> Floats:
    """(L, E, E) cosine similarities of random rows."""
    rows = rng.standard_normal((layers, experts, dimensions))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows @ rows.transpose(0, 2, 1))


def mixed(rng: np.random.Generator, base: Floats, share: float) -> Floats:
    """A pattern that follows ``base`` by a share."""
    return np.asarray(share * base + (1 - share) * cosines(rng, *base.shape[:2]))


def pairs_of(matrix: Floats) -> Floats:
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


# --- correlation ---------------------------------------------------------------------------------


@given(SEEDS, st.integers(3, 40), st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_pearson_is_scipys(seed: int, count: int, offset: float, scale: float) -> None:
    x, y = np.random.default_rng(seed).standard_normal((2, 4, count))
    r = pearson(offset + scale * x, y)
    assert r == pytest.approx([pearsonr(a, b).statistic for a, b in zip(x, y, strict=True)], abs=1e-9)


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(3, 50))
def test_constant_rows_have_no_correlation_whatever_their_mean_rounds_to(a: float, b: float, count: int) -> None:
    # The mean of 28 times 0.1 is not 0.1: what is left is a constant, and two of them once correlated by 1.
    assert pearson(np.full(count, a), np.full(count, b)) == 0.0
    assert pearson(np.full(count, a), np.arange(float(count))) == 0.0


def test_broadcasts_one_row_against_many() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 5, 10))
    assert pearson(x[0], y) == pytest.approx([pearsonr(x[0], row).statistic for row in y])


# --- against scikit-bio --------------------------------------------------------------------------


def test_worked_example_of_scikit_bio() -> None:
    # Documentation of skbio.stats.distance.mantel: these matrices give 0.7559. Of the six relabelings, none
    # gives more and one other gives as much.
    x = [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    y = [[0, 2, 7], [2, 0, 6], [7, 6, 0]]
    result = mantel(x, y, rng=np.random.default_rng(0))
    assert round(float(result.r[0]), 4) == 0.7559
    every = [
        pearsonr(pairs_of(np.array(x)), pairs_of(np.array(y)[np.ix_(p, p)])).statistic for p in permutations(range(3))
    ]
    assert result.mean_r.p_greater == np.mean(np.array(every) >= every[0] - 1e-9)


@pytest.mark.parametrize(("experts", "share"), [(6, 0.2), (8, 0.3), (9, 0.25), (16, 0.1)])
def test_r_and_p_are_scikit_bios(experts: int, share: float) -> None:
    rng = np.random.default_rng(experts)
    x = cosines(rng, 1, experts)
    y = mixed(rng, x, share)
    ours = mantel(x, y, rng=rng)
    distances = [DistanceMatrix((1 - m[0]) * (1 - np.eye(experts))) for m in (x, y)]
    for alternative, p in (("greater", ours.mean_r.p_greater), ("less", ours.mean_r.p_less)):
        r, theirs, _ = skbio_mantel(*distances, permutations=9_999, alternative=alternative, seed=7)
        assert ours.r[0] == pytest.approx(r, abs=1e-9)
        # Both estimate one p; the variance of their difference is at most two binomial ones.
        assert abs(p - theirs) <= 3.5 * np.sqrt(2 * p * (1 - p) / 9_999) + 1e-4
    assert ours.mean_r.exact is (experts <= 8)


# --- enumeration ---------------------------------------------------------------------------------


def test_several_layers_are_enumerated_together() -> None:
    rng = np.random.default_rng(2)
    x = cosines(rng, 2, 4)
    y = mixed(rng, x, 0.5)
    by_layer = [
        [pearsonr(pairs_of(a), pairs_of(b[np.ix_(p, p)])).statistic for p in permutations(range(4))]
        for a, b in zip(x, y, strict=True)
    ]
    signed = np.array([(r + s) / 2 for r, s in product(*by_layer)])
    squared = np.array([(r**2 + s**2) / 2 for r, s in product(*by_layer)])
    result = mantel(x, y, rng=rng)
    assert result.mean_r.exact and result.mean_r.resamples == 576
    assert result.mean_r.smallest_p == 1 / 576
    assert result.mean_r.p_greater == np.mean(signed >= signed[0] - 1e-9)
    assert result.mean_r2.p_greater == np.mean(squared >= squared[0] - 1e-9)
    assert result.expected_r2 == pytest.approx(squared.mean())


def test_monte_carlo_agrees_with_the_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x = cosines(rng, 1, 6)
    y = mixed(rng, x, 0.2)
    exact = mantel(x, y, rng=rng).mean_r
    monkeypatch.setattr("moe_claims.stats.permutation._ENUMERATE", 0)
    drawn = mantel(x, y, rng=rng).mean_r
    assert exact.exact and not drawn.exact
    assert 0.001 < exact.p_greater < 0.5  # neither end, where agreement would be cheap
    assert binomtest(round(drawn.p_greater * 10_000) - 1, 9_999, exact.p_greater).pvalue > 0.001


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(3, 5))
def test_enumerated_p_is_a_multiple_of_one_over_all_relabelings(seed: int, experts: int) -> None:
    rng = np.random.default_rng(seed)
    result = mantel(cosines(rng, 1, experts), cosines(rng, 1, experts), rng=rng)
    for p in (result.mean_r.p_greater, result.mean_r.p_less, result.mean_r2.p_greater):
        assert p * factorial(experts) == pytest.approx(round(p * factorial(experts)), abs=1e-9)
        assert p >= 1 / factorial(experts)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(3, 5))
def test_relabeling_both_sides_alike_changes_nothing(seed: int, experts: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = cosines(rng, 1, experts), cosines(rng, 1, experts)
    order = rng.permutation(experts)
    plain = mantel(x, y, rng=rng)
    relabeled = mantel(x[:, order][:, :, order], y[:, order][:, :, order], rng=rng)
    assert relabeled.r == pytest.approx(plain.r, abs=1e-12)
    assert relabeled.mean_r.p_greater == plain.mean_r.p_greater
    assert relabeled.mean_r2.p_greater == plain.mean_r2.p_greater
    assert relabeled.expected_r2 == pytest.approx(plain.expected_r2)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.01, 100), st.floats(-5, 5))
def test_scale_and_offset_leave_r_and_a_sign_mirrors_the_tails(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = cosines(rng, 1, 5), cosines(rng, 1, 5)
    plain, moved = mantel(x, y, rng=rng), mantel(-scale * x + offset, y, rng=rng)
    assert moved.r == pytest.approx(-plain.r, abs=1e-9)
    assert (moved.mean_r.p_less, moved.mean_r.p_greater) == (plain.mean_r.p_greater, plain.mean_r.p_less)
    assert moved.mean_r2.p_greater == plain.mean_r2.p_greater


# --- null and planted ----------------------------------------------------------------------------


def test_unrelated_patterns_are_rejected_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(4)
    results = [mantel(cosines(rng, 2, 8), cosines(rng, 2, 8), rng=rng, resamples=99) for _ in range(600)]
    for p in ([r.mean_r.p_greater for r in results], [r.mean_r2.p_greater for r in results]):
        assert binomtest(int(np.sum(np.array(p) <= 0.05)), 600, 0.05).pvalue > 0.001


def test_enumerated_null_is_rejected_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(5)
    ps = [mantel(cosines(rng, 1, 5), cosines(rng, 1, 5), rng=rng).mean_r.p_greater for _ in range(600)]
    assert binomtest(int(np.sum(np.array(ps) <= 0.05 + 1e-12)), 600, 6 / 120).pvalue > 0.001


def test_unrelated_patterns_leave_an_r2_of_one_over_pairs_less_one() -> None:
    rng = np.random.default_rng(6)
    expected = [mantel(cosines(rng, 4, 8), cosines(rng, 4, 8), rng=rng, resamples=99).expected_r2 for _ in range(100)]
    assert abs(np.mean(expected) - 1 / 27) <= 3.5 * np.std(expected, ddof=1) / 10


def test_a_shared_pattern_is_found_and_layers_add_up() -> None:
    rng = np.random.default_rng(7)
    one, many = [], []
    for _ in range(50):
        x = cosines(rng, 6, 8)
        y = mixed(rng, x, 0.3)
        one.append(mantel(x[:1], y[:1], rng=rng, resamples=99).mean_r.p_greater <= 0.05)
        many.append(mantel(x, y, rng=rng, resamples=99).mean_r.p_greater <= 0.05)
    assert sum(many) >= 45
    assert sum(many) > sum(one)


# --- awkward cases -------------------------------------------------------------------------------


def test_the_same_pattern_twice_reaches_the_smallest_p() -> None:
    x = cosines(np.random.default_rng(8), 1, 5)[0]
    result = mantel(x, x, rng=np.random.default_rng(0))
    assert result.r == pytest.approx([1.0])
    assert result.mean_r.p_greater == result.mean_r.smallest_p == 1 / 120


@pytest.mark.parametrize("noise", [0.0, 1e-16, 5e-8])
def test_ties_by_symmetry_are_counted_as_such(noise: float) -> None:
    # Two blocks of two: 8 of the 24 relabelings leave the pattern as it is, whichever triangle is read
    # and whatever float32 leaves between the two triangles.
    x = np.kron(np.eye(2), np.ones((2, 2)))
    rough = x + noise * np.triu(np.ones((4, 4)), 1)
    result = mantel(x, rough, rng=np.random.default_rng(0))
    assert result.mean_r.p_greater == 8 / 24


@pytest.mark.parametrize("experts", [3, 4, 5, 8])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0])
def test_a_constant_matrix_is_no_evidence(experts: int, value: float) -> None:
    flat = np.full((1, experts, experts), value)
    for other in (flat, 0.7 * flat + 0.1, cosines(np.random.default_rng(9), 1, experts)):
        result = mantel(flat, other, rng=np.random.default_rng(0))
        assert result.r == 0.0
        assert (result.mean_r.p_greater, result.mean_r.p_less, result.mean_r2.p_greater) == (1.0, 1.0, 1.0)


def test_two_dimensions_are_one_layer_and_the_seed_decides() -> None:
    rng = np.random.default_rng(10)
    x, y = cosines(rng, 1, 9), cosines(rng, 1, 9)
    flat, stacked = (mantel(*sides, rng=np.random.default_rng(3), resamples=1_500) for sides in ((x[0], y[0]), (x, y)))
    assert flat.mean_r == stacked.mean_r
    assert flat.mean_r.resamples == 1_500
    other = mantel(x, y, rng=np.random.default_rng(4), resamples=1_500)
    assert other.mean_r.statistic == flat.mean_r.statistic
    assert other.expected_r2 != flat.expected_r2


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.eye(3), np.eye(4), r"x \(1, 3, 3\) and y \(1, 4, 4\) must have one shape"),
        (np.eye(2), np.eye(2), r"a Mantel test needs at least 3 experts, not 2"),
        (np.ones(3), np.eye(3), r"x must be \(L, E, E\), not \(3,\)"),
        (np.eye(3), np.triu(np.ones((3, 3))), r"y must be symmetric"),
        (np.full((3, 3), np.nan), np.eye(3), r"x holds numbers that are not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(x: Floats, y: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mantel(x, y, rng=np.random.default_rng(0))
