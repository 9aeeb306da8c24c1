"""Principal components and density clusters against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA

from moe_claims.stats.pca_dbscan import NOISE, dbscan, principal_plane
from moe_claims.stats.permutation import Floats

SEEDS = st.integers(0, 2**32 - 1)


def distances(points: Floats) -> Floats:
    return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=-1))


@given(SEEDS, st.integers(4, 12))
def test_plane_is_that_of_scikit_learns_pca(seed: int, n: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, 30))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ours, theirs = principal_plane(rows @ rows.T), PCA(n_components=2, svd_solver="full").fit_transform(rows)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-8)
    assert np.allclose(distances(ours), distances(theirs), atol=1e-8)


def test_stacks_of_layers_are_taken_one_by_one() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 6, 10))
    inner = rows @ rows.transpose(0, 2, 1)
    assert np.allclose(np.abs(principal_plane(inner)), np.abs([principal_plane(layer) for layer in inner]))


def test_points_that_are_all_alike_fall_together() -> None:
    assert np.allclose(principal_plane(np.ones((5, 5))), 0.0, atol=1e-7)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 40), st.floats(0.05, 2.0), st.integers(1, 6))
def test_core_points_and_noise_are_scikit_learns(seed: int, n: int, reach: float, least: int) -> None:
    points = np.random.default_rng(seed).standard_normal((n, 2))
    ours, theirs = dbscan(points, reach, least), DBSCAN(eps=reach, min_samples=least).fit(points)
    assert ((ours == NOISE) == (theirs.labels_ == -1)).all()
    core = theirs.core_sample_indices_
    same = ours[core][:, None] == ours[core][None]
    assert (same == (theirs.labels_[core][:, None] == theirs.labels_[core][None])).all()
    # A border point belongs to the nearest core point's cluster; theirs takes the first within reach.
    border = np.setdiff1d(np.flatnonzero(ours != NOISE), core)
    for point in border:
        nearest = core[distances(points)[point, core].argmin()]
        assert ours[point] == ours[nearest] and distances(points)[point, nearest] <= reach


@given(SEEDS)
def test_order_of_points_and_unit_of_length_are_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((12, 2))
    order = rng.permutation(12)
    one, other = dbscan(points, 0.5, 3), dbscan(8 * points[order], 4.0, 3)
    assert ((one[order][:, None] == one[order][None]) == (other[:, None] == other[None])).all()
    assert ((one[order] == NOISE) == (other == NOISE)).all()


def test_two_clusters_and_a_lone_point() -> None:
    points = np.array([[0, 0], [0, 1], [1, 0], [9, 9], [9, 8], [8, 9], [4.0, 20]])
    labels = dbscan(points, 1.5, 3)
    assert len(set(labels[:3])) == len(set(labels[3:6])) == 1
    assert labels[0] != labels[3] and labels[6] == NOISE
    assert (dbscan(points, 0.5, 3) == NOISE).all()


def test_what_has_no_plane_or_no_clusters_is_refused() -> None:
    for inner in (np.ones((2, 2)), np.ones((3, 4)), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"principal components need finite \(n, n\) inner products of 3 points"):
            principal_plane(inner)
    with pytest.raises(ValueError, match=r"points must be finite and \(n, D\), not \(3,\)"):
        dbscan(np.zeros(3), 1.0, 1)
    for reach, least in ((-1.0, 1), (1.0, 0)):
        with pytest.raises(ValueError, match=r"a reach of 0 or more and 1 point or more"):
            dbscan(np.zeros((3, 2)), reach, least)
