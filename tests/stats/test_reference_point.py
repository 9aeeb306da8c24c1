"""One marked point against the others: its level on true nulls, its power, its interval, and brute force."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, rankdata

from moe_claims.stats.reference_point import one_point

Array = NDArray[np.float64]


def _cosines(rows: Array) -> Array:
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2))


def _points(rng: np.random.Generator, layers: int, points: int, kind: str, size: int = 60) -> Array:
    """Exchangeable points: sharing nothing, one part alike, or each as much of it as it happens to."""
    own, shared = rng.standard_normal((layers, points, size)), rng.standard_normal((layers, 1, size))
    share = {"nothing": 0.0, "one part": 0.5, "unequal parts": rng.uniform(0.1, 0.9, (layers, points, 1))}[kind]
    return _cosines(np.sqrt(share) * shared + np.sqrt(1 - share) * own)


def _centre(rng: np.random.Generator, layers: int, others: int, size: int = 60) -> Array:
    """The others share half of what they are with the marked point."""
    shared = rng.standard_normal((layers, 1, size))
    return _cosines(np.concatenate([shared + rng.standard_normal((layers, others, size)), shared], axis=1))


def _apart(matrix: Array, point: int) -> float:
    others = [i for i in range(len(matrix)) if i != point]
    among = np.mean([matrix[i, j] for i, j in combinations(others, 2)])
    return float(np.mean([matrix[point, i] for i in others]) - among)


# --- level and power -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nothing", "one part", "unequal parts"])
def test_level_holds_where_the_marked_point_is_one_like_all_others(kind: str) -> None:
    rng = np.random.default_rng(17)
    runs = 400
    greater = less = covered = 0
    for _ in range(runs):
        result = one_point(_points(rng, 16, 9, kind), rng=rng, resamples=499)
        greater += result.test.p_greater <= 0.05
        less += result.test.p_less <= 0.05
        interval = result.interval()
        covered += interval.low <= 0 <= interval.high
    for rejected in (greater, less, runs - covered):
        assert binom.sf(rejected - 1, runs, 0.05) > 0.001


def test_a_centre_is_found_and_so_is_its_opposite() -> None:
    rng = np.random.default_rng(3)
    for layers, others in ((16, 8), (4, 8), (12, 64)):
        result = one_point(_centre(rng, layers, others), rng=rng)
        assert result.test.p_greater == result.test.smallest_p <= 1 / 9**4
        assert (result.by_layer > 0.1).all()
        assert result.interval().low > 0.1
        opposite = one_point(-_centre(rng, layers, others), rng=rng)
        assert opposite.test.p_greater > 0.9
        assert opposite.interval().high < -0.1


def test_interval_covers_a_shift_of_the_marked_point() -> None:
    rng = np.random.default_rng(5)
    runs, covered = 300, 0
    for _ in range(runs):
        shifted = 0.8 * _points(rng, 8, 7, "unequal parts")
        shifted[:, -1, :-1] += 0.1
        shifted[:, :-1, -1] += 0.1
        interval = one_point(shifted, rng=rng, resamples=999).interval()
        covered += interval.low <= 0.1 <= interval.high
    assert binom.cdf(covered, runs, 0.95) > 0.001
    assert covered < runs  # an interval that always covers says nothing


# --- against brute force ---------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "points"), [(1, 5), (2, 4), (3, 5)])
def test_enumeration_against_brute_force(layers: int, points: int) -> None:
    rng = np.random.default_rng(layers)
    similarity = _points(rng, layers, points, "unequal parts")
    result = one_point(similarity, rng=rng)
    apart = [[_apart(matrix, point) for point in range(points)] for matrix in similarity]
    np.testing.assert_allclose(result.by_layer, [layer[-1] for layer in apart])
    observed = np.mean([layer[-1] for layer in apart])
    null = [np.mean(choice) for choice in product(*apart)]
    assert result.test.statistic == pytest.approx(observed)
    assert result.test.exact
    assert result.test.smallest_p == 1 / points**layers
    assert result.test.p_greater == np.mean(np.asarray(null) >= observed - 1e-12)
    assert result.test.p_less == np.mean(np.asarray(null) <= observed + 1e-12)


def test_one_layer_is_a_rank_among_its_points() -> None:
    similarity = _points(np.random.default_rng(8), 1, 30, "unequal parts")[0]
    result = one_point(similarity, rng=np.random.default_rng(0))
    # Similarity to all others orders the points alike: the sum over all pairs is one and the same.
    rank = rankdata(-(similarity.sum(axis=1)))[-1]
    assert result.test.p_greater == rank / 30


@pytest.mark.parametrize(("layers", "points", "level"), [(2, 9, 0.95), (4, 6, 0.9), (10, 9, 0.95)])
def test_interval_is_the_test_inverted(layers: int, points: int, level: float) -> None:
    similarity = 0.5 * _points(np.random.default_rng(9), layers, points, "unequal parts")
    similarity[:, -1, :-1] += 0.1
    similarity[:, :-1, -1] += 0.1

    def p_values(shift: float) -> tuple[float, float]:
        moved = similarity.copy()
        moved[:, -1, :-1] -= shift
        moved[:, :-1, -1] -= shift
        test = one_point(moved, rng=np.random.default_rng(1)).test  # the same choices every time
        return test.p_greater, test.p_less

    interval = one_point(similarity, rng=np.random.default_rng(1)).interval(level)
    bound, step = (1 - level) / 2 * (1 + 1e-9), 1e-6
    assert interval.level == level
    assert p_values(interval.low - step)[0] <= bound < p_values(interval.low + step)[0]
    assert p_values(interval.high + step)[1] <= bound < p_values(interval.high - step)[1]


def test_interval_reaches_to_the_ends_where_nothing_can_be_rejected() -> None:
    result = one_point(_centre(np.random.default_rng(1), 1, 8), rng=np.random.default_rng(1))
    assert result.test.smallest_p == 1 / 9
    interval = result.interval()
    assert (interval.low, interval.high) == (-2, 2)
    assert interval.method == "inverted test of which point of a layer is the marked one"


# --- what must not matter, and what is refused -----------------------------------------------------


@given(st.integers(0, 10_000), st.permutations(range(5)))
def test_labels_of_the_others_mean_nothing(seed: int, order: list[int]) -> None:
    similarity = _points(np.random.default_rng(seed), 2, 6, "unequal parts", size=8)
    relabeled = similarity[:, [*order, 5]][:, :, [*order, 5]]
    one, other = (one_point(given, rng=np.random.default_rng(0)) for given in (similarity, relabeled))
    np.testing.assert_allclose(other.by_layer, one.by_layer, atol=1e-12)
    assert (other.test.p_greater, other.test.p_less) == (one.test.p_greater, one.test.p_less)
    np.testing.assert_allclose([other.interval().low, other.interval().high], [one.interval().low, one.interval().high])


@given(st.integers(0, 10_000), st.floats(0.01, 1))
def test_turning_the_sign_turns_everything(seed: int, scale: float) -> None:
    similarity = _points(np.random.default_rng(seed), 3, 5, "one part", size=8)
    one, other = (one_point(given, rng=np.random.default_rng(0)) for given in (similarity, -scale * similarity))
    assert (other.test.p_less, other.test.p_greater) == (one.test.p_greater, one.test.p_less)
    ours, theirs = one.interval(), other.interval()
    np.testing.assert_allclose([theirs.low, theirs.high], [-scale * ours.high, -scale * ours.low])


def test_the_diagonal_is_not_looked_at() -> None:
    similarity = _points(np.random.default_rng(2), 3, 5, "one part")
    other = similarity.copy()
    other[:, np.arange(5), np.arange(5)] = 0
    one, two = (one_point(given, rng=np.random.default_rng(0)) for given in (similarity, other))
    np.testing.assert_allclose(two.by_layer, one.by_layer)
    assert two.test.p_greater == one.test.p_greater


def test_points_that_are_all_alike_reject_nothing() -> None:
    result = one_point(np.full((4, 9, 9), 0.3), rng=np.random.default_rng(0))
    assert result.test.p_greater == result.test.p_less == 1
    assert result.interval().low == pytest.approx(0, abs=1e-12)


def test_many_experts_and_layers_take_little() -> None:
    result = one_point(_points(np.random.default_rng(0), 94, 257, "one part"), rng=np.random.default_rng(0))
    assert result.test.resamples == 9_999
    assert len(result.shifts) + result.untold == 10_000


def test_what_makes_no_sense_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="needs at least 3 points, not 2"):
        one_point(np.eye(2), rng=rng)
    with pytest.raises(ValueError, match="must lie within ±1"):
        one_point(np.full((3, 3), 1.5), rng=rng)
    with pytest.raises(ValueError, match="must be symmetric"):
        one_point(np.triu(np.full((3, 3), 0.5)), rng=rng)
    with pytest.raises(ValueError, match="not finite"):
        one_point(np.full((3, 3), np.nan), rng=rng)
