"""Points in two principal components, held against scikit-learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from moe_claims.measure import projections
from moe_claims.measure.measurement import ProjectionMeasurement
from moe_claims.measure.projections import plane, projection_layers
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES

pytestmark = pytest.mark.numerics

Array = np.ndarray[Any, Any]


def _expected(rows: Array) -> tuple[Array, Array]:
    """By scikit-learn, with the sign that makes the largest coordinate positive."""
    pca = PCA(n_components=2, svd_solver="full")
    points = pca.fit_transform(StandardScaler().fit_transform(rows))
    points *= np.sign(points[np.abs(points).argmax(axis=0), [0, 1]])
    return points, pca.explained_variance_ratio_


def _rounding(rows: Array) -> float:
    """How far points may be from those of another way to find them, in float64.

    Points come from the eigenvectors of the Gram matrix of n standardised points, which rounding changes by n ε λ₁ at
    most; that turns an eigenvector by as much over the gap between its eigenvalue and the next (Davis and Kahan), and
    moves points by the turn times the length of the longest, √λ₁. Ten times as far is allowed.
    """
    standard = StandardScaler().fit_transform(rows.astype(np.float64))
    values = np.append(np.linalg.svd(standard, compute_uv=False) ** 2, 0.0)
    gap = -np.diff(values[:3]).max()
    return float(10 * len(rows) * np.finfo(np.float64).eps * values[0] / gap * values[0] ** 0.5)


@pytest.mark.parametrize("shape", [(3, 40), (9, 1000), (64, 10), (200, 30), (300, 700)])
def test_components_are_those_of_scikit_learn(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "_BLOCK", 997)  # several blocks of columns
    rng = np.random.default_rng(sum(shape))
    rows = rng.standard_normal(shape) * rng.uniform(0.1, 9, shape[1]) + rng.standard_normal((shape[0], 2)) @ (
        3 * rng.standard_normal((2, shape[1]))
    )
    points, share = plane(torch.from_numpy(rows))
    expected, ratio = _expected(rows)
    np.testing.assert_allclose(points, expected, rtol=0, atol=_rounding(rows))
    np.testing.assert_allclose(share, ratio, rtol=1e-9)


def test_a_column_that_does_not_vary_counts_nothing() -> None:
    rows = np.random.default_rng(0).standard_normal((6, 20)).astype(np.float32)
    constant = np.concatenate([rows, np.full((6, 5), 0.1, dtype=np.float32)], axis=1)
    for one, other in zip(plane(torch.from_numpy(rows)), plane(torch.from_numpy(constant)), strict=True):
        np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("count", [2, 5, 100])
def test_equal_points_are_one(count: int) -> None:
    points, share = plane(torch.full((count, 7), 0.3))
    assert not points.any() and not share.any()
    assert points.shape == (count, 2)


def test_two_points_lie_on_one_line() -> None:
    points, share = plane(torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 3.0]]))
    np.testing.assert_allclose(points[:, 0], [2**0.5, -(2**0.5)])
    np.testing.assert_allclose(share, [1, 0], atol=1e-12)


@pytest.fixture
def checkpoint(saved: Callable[..., Path]) -> Checkpoint:
    return Checkpoint.open(saved("mixtral"), "mixtral")


class _One:
    """A block like an expert's, or a wider one."""

    name = identity = "one more"

    def __init__(self, scale: int = 1) -> None:
        self._scale = scale

    def matrix(self, layer: int, role: str) -> torch.Tensor:
        shape = (16, 12 * self._scale) if role == "down" else (12 * self._scale, 16)
        return torch.randn(shape, generator=torch.Generator().manual_seed(layer))

    def check_fits(self, checkpoint: Checkpoint) -> None:
        """It does."""


def test_experts_and_all_neurons_of_a_small_model(checkpoint: Checkpoint) -> None:
    found = ProjectionMeasurement.of((0, 1), list(projection_layers(checkpoint, (0, 1), None, seed=3)))
    assert found.layers.tolist() == [0, 1]
    for role in ROLES:
        for place, layer in enumerate((0, 1)):
            matrix = checkpoint.matrix(layer, role).double().numpy()
            flat = matrix.reshape(4, -1)
            points, share = _expected(flat)
            np.testing.assert_allclose(found.experts[role][place].points[0], points, rtol=0, atol=_rounding(flat))
            np.testing.assert_allclose(found.experts[role][place].share, share, rtol=1e-5)
            # Neuron i of every expert, then neuron i + 1; a neuron of down is a column.
            rows = matrix.transpose(2, 0, 1) if role == "down" else matrix.transpose(1, 0, 2)
            flat = rows.reshape(48, 16)
            neurons = found.neurons[role][place].points.reshape(48, 2)
            np.testing.assert_allclose(neurons, _expected(flat)[0], rtol=0, atol=_rounding(flat))


def test_neurons_are_drawn_by_lot_with_a_seed(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "SAMPLE", 4 * 5)
    first, again, other = (
        next(iter(projection_layers(checkpoint, (1,), None, seed=seed)))["neurons.up"] for seed in (0, 0, 1)
    )
    assert first.shape == (5, 4, 2)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    monkeypatch.setattr(projections, "SAMPLE", 1)  # never fewer than four of each expert
    assert next(iter(projection_layers(checkpoint, (1,), None, seed=0)))["neurons.down"].shape == (4, 4, 2)


def test_a_reference_is_the_last_point_unless_it_is_of_another_shape(checkpoint: Checkpoint) -> None:
    found = next(iter(projection_layers(checkpoint, (0,), _One(), seed=0)))
    assert found["experts.down"].shape == (1, 5, 2)
    assert found["neurons.act"].shape == (12, 5, 2)
    rows = torch.cat([checkpoint.matrix(0, "up").float(), _One().matrix(0, "up")[None]]).flatten(1)
    wide = rows.double().numpy()  # in float32, what it is held against would be off by as much as its rounding
    np.testing.assert_allclose(found["experts.up"][0], _expected(wide)[0], rtol=0, atol=_rounding(wide))
    larger = next(iter(projection_layers(checkpoint, (0,), _One(2), seed=0)))
    assert larger["experts.up"].shape == (1, 4, 2)
