"""Correlations over neuron indices against NumPy's, one pair, token and step at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_claims.measure import activations
from moe_claims.measure.activations import IndexCorrelation

pytestmark = pytest.mark.numerics

Arrays = np.ndarray[Any, Any]


def observed(values: Arrays, owner: list[int], dtype: torch.dtype = torch.float64) -> IndexCorrelation:
    """All (T, E, m) activations at once, of the sequences (T,)."""
    correlation = IndexCorrelation(max(owner) + 1, *values.shape[1:], torch.device("cpu"))
    correlation.observe(torch.as_tensor(values, dtype=dtype), torch.tensor(owner))
    return correlation


def drawn(seed: int, tokens: int = 5, experts: int = 4, neurons: int = 9) -> Arrays:
    """Activations that share part of their pattern over indices."""
    rng = np.random.default_rng(seed)
    gate = rng.standard_normal((1, 1, neurons)) + rng.standard_normal((tokens, experts, neurons))
    return np.asarray(gate / (1 + np.exp(-gate)))


def brute_force(values: Arrays) -> Arrays:
    """(T, E, m) → (T,) Pearson r, mean over pairs of experts."""
    experts = values.shape[1]
    upper = np.triu_indices(experts, 1)
    return np.asarray([np.corrcoef(token)[upper].mean() for token in values])


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(2, 5), st.integers(2, 12))
@settings(max_examples=40)
def test_every_step_against_numpys_roll(seed: int, tokens: int, experts: int, neurons: int) -> None:
    values = drawn(seed, tokens, experts, neurons)
    owner = list(range(tokens))
    correlation = observed(values, owner)
    np.testing.assert_allclose(correlation.sums, brute_force(values), atol=1e-10)
    expected = []
    for step in range(neurons):
        rolled = np.stack([np.roll(values[:, e], -e * step, axis=-1) for e in range(experts)], axis=1)
        expected.append(brute_force(rolled).mean())
    np.testing.assert_allclose(correlation.shifted(), expected, atol=1e-10)
    assert float(correlation.shifted()[0]) == pytest.approx(float(correlation.sums.sum() / tokens), abs=1e-10)


def test_sums_are_kept_by_sequence() -> None:
    values = drawn(1)
    expected = brute_force(values)
    np.testing.assert_allclose(
        observed(values, [0, 2, 2, 0, 0]).sums, [expected[[0, 3, 4]].sum(), 0, expected[1:3].sum()]
    )


@pytest.mark.parametrize("limit", [1, 50, 8_000_000])
def test_chunks_do_not_matter(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values, owner = drawn(2, tokens=23), [0] * 10 + [1] * 13
    whole = observed(values, owner, torch.float32)
    monkeypatch.setattr(activations, "_SPECTRUM_FLOATS", limit)
    parts = IndexCorrelation(2, 4, 9, torch.device("cpu"))
    for part in (slice(0, 7), slice(7, 7), slice(7, 23)):  # one of them holds padding alone
        parts.observe(torch.as_tensor(values[part], dtype=torch.float32), torch.tensor(owner[part], dtype=torch.long))
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-5)
    np.testing.assert_allclose(parts.shifted(), whole.shifted(), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4, 1e-30])
def test_an_expert_that_fires_everywhere_alike_or_nowhere_has_no_pattern(level: float) -> None:
    values = drawn(3).astype(np.float32)
    values[:, 1] = level
    values[:, 2] = level * np.float32(0.7)  # two of them must not pass for alike, as their rounding is
    correlation = observed(values, [0] * 5, torch.float32)
    expected = [np.corrcoef(token[[0, 3]])[0, 1] / 6 for token in values]  # one of six pairs has a correlation
    assert float(correlation.sums[0]) == pytest.approx(np.sum(expected), abs=1e-5)


def test_experts_that_fire_alike_are_alike_until_they_are_shifted() -> None:
    values = np.repeat(drawn(4, tokens=40, experts=1, neurons=31), 3, axis=1)
    shifted = observed(values, [0] * 40).shifted().numpy()
    assert shifted[0] == pytest.approx(1.0)
    assert shifted[1:].max() < 0.5


@given(st.permutations(range(9)), st.permutations(range(4)), st.floats(0.1, 10), st.floats(-5, 5))
def test_names_of_neurons_and_experts_scale_and_level_mean_nothing(
    neurons: list[int], experts: list[int], scale: float, level: float
) -> None:
    values = drawn(5)
    other = scale * values[:, experts][..., neurons] + level
    np.testing.assert_allclose(observed(other, [0] * 5).sums, observed(values, [0] * 5).sums, atol=1e-9)


def test_one_expert_has_no_pairs() -> None:
    correlation = observed(drawn(6, experts=1), [0] * 5)
    assert correlation.sums.tolist() == [0.0]
    assert correlation.shifted().tolist() == [0.0] * 9
