"""What is derived from the arrays, and that they survive being stored."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
from moe_claims.models.families.table import ROLES


def _routed(
    seed: int = 0,
    *,
    layers: int = 2,
    experts: int = 4,
    lengths: tuple[int, ...] = (3, 5, 2),
    dense: bool = False,
) -> RoutedMeasurement:
    rng = np.random.default_rng(seed)
    tokens = sum(lengths)
    sums = rng.random((layers, len(lengths), experts, experts))
    return RoutedMeasurement(
        layers=np.arange(layers),
        lengths=np.asarray(lengths),
        router_logits=rng.standard_normal((layers, tokens, experts)).astype(np.float32),
        output_norms=rng.random((layers, tokens, experts)).astype(np.float32),
        chosen=rng.integers(0, experts, (layers, tokens, 2)).astype(np.int16),
        angular_sums=sums,
        nats=rng.random(len(lengths)),
        chosen_similarity=rng.random((layers, len(lengths), 2)),
        active_sums=rng.random((layers, len(lengths), experts)),
        magnitude_sums=rng.random((layers, len(lengths), experts)),
        index_sums=rng.random((layers, len(lengths))),
        index_shifted=rng.random((layers, 7)),
        dense_sums=rng.random((layers, len(lengths), experts)) if dense else None,
    )


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 6))
@settings(max_examples=25)
def test_rank_counts_against_scipy(seed: int, layers: int, experts: int) -> None:
    measured = _routed(seed, layers=layers, experts=experts)
    expected = np.zeros((layers, experts, experts), dtype=int)
    for layer in range(layers):
        for logits, norms in zip(measured.router_logits[layer], measured.output_norms[layer], strict=True):
            score, norm = (rankdata(values).astype(int) - 1 for values in (logits, norms))  # 0 is the smallest
            for expert in range(experts):
                expected[layer, score[expert], norm[expert]] += 1
    np.testing.assert_array_equal(measured.rank_counts(), expected)


def test_rows_are_score_ranks_and_columns_norm_ranks() -> None:
    measured = replace(
        _routed(layers=1, experts=3, lengths=(1,)),
        router_logits=np.asarray([[[0.1, 0.9, 0.5]]]),  # score ranks 0, 2, 1
        output_norms=np.asarray([[[7.0, 3.0, 5.0]]]),  # norm ranks 2, 0, 1
    )
    assert measured.rank_counts().tolist() == [[[0, 0, 1], [0, 1, 0], [1, 0, 0]]]


def test_every_token_is_once_in_each_row_and_column() -> None:
    counts = _routed(lengths=(20, 7)).rank_counts()
    assert (counts.sum(axis=1) == 27).all() and (counts.sum(axis=2) == 27).all()


def test_angular_mean_weighs_tokens_alike_and_not_sequences() -> None:
    measured = _routed(lengths=(1, 9))
    expected = (measured.angular_sums[:, 0] + measured.angular_sums[:, 1]) / 10
    np.testing.assert_allclose(measured.angular_mean, expected)


def test_activation_share_weighs_tokens_alike_and_not_sequences() -> None:
    measured = _routed(lengths=(1, 9))
    expected = (measured.active_sums[:, 0] + measured.active_sums[:, 1]) / 10
    np.testing.assert_allclose(measured.activation_share, expected)


def test_sequence_of_every_token() -> None:
    assert _routed().sequence_of.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("dense", [False, True])
def test_arrays_and_back(dense: bool) -> None:
    measured = _routed(dense=dense)
    arrays = measured.arrays()
    there = {field.name for field in fields(RoutedMeasurement) if getattr(measured, field.name) is not None}
    assert set(arrays) == there
    assert ("dense_sums" in arrays) == dense
    whole = {name: arrays.pop(name) for name in ("lengths", "nats")}
    layers = arrays.pop("layers").tolist()
    found = [{name: array[number] for name, array in arrays.items()} for number in range(len(layers))]
    again = RoutedMeasurement.of(layers, found, whole)
    for name, array in measured.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_weight_arrays_and_back() -> None:
    rng = np.random.default_rng(1)
    by_role = [{role: rng.random((2, 3, 3)) for role in ROLES} for _ in range(2)]
    measured = WeightMeasurement(np.arange(2), rng.random((2, 3, 3)), *by_role)
    arrays = measured.arrays()
    assert sorted(arrays) == [
        "layers",
        "similarity.matrix.act",
        "similarity.matrix.down",
        "similarity.matrix.up",
        "similarity.mean.act",
        "similarity.mean.down",
        "similarity.mean.up",
        "similarity.router",
    ]
    assert arrays["similarity.matrix.down"] is by_role[0]["down"]
    assert arrays["similarity.mean.act"] is by_role[1]["act"]
    layers = arrays.pop("layers").tolist()
    found = [{name: array[number] for name, array in arrays.items()} for number in range(len(layers))]
    again = WeightMeasurement.of(layers, found).arrays()
    assert all((again[name] == measured.arrays()[name]).all() for name in again)


def test_measurements_are_frozen() -> None:
    with pytest.raises(AttributeError):
        _routed().nats = np.zeros(1)
