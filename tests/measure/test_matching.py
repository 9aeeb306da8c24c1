"""Neuron matching: a planted permutation is found, and τ is SciPy's."""

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from moe_claims.measure.matching import match, measure_matching
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import ROLES, Role
from moe_claims.models.source import MemorySource

LAYERS, EXPERTS, WIDTH, INNER = 2, 3, 16, 9
TENSOR = {"up": "w3", "act": "w1", "down": "w2"}


def _checkpoint(neurons: np.ndarray[Any, Any], role: Role) -> Checkpoint:
    """(L, E, m, d) neurons as the matrices of one role; the other roles hold noise."""
    generator = torch.Generator().manual_seed(0)
    stored = {}
    for layer, experts in enumerate(neurons):
        block = f"model.layers.{layer}.block_sparse_moe"
        stored[f"{block}.gate.weight"] = torch.randn(len(experts), WIDTH, generator=generator)
        for expert, rows in enumerate(experts):
            for kind, tensor in TENSOR.items():
                matrix = torch.tensor(rows) if kind == role else torch.randn(rows.shape, generator=generator).double()
                stored[f"{block}.experts.{expert}.{tensor}.weight"] = matrix.T if kind == "down" else matrix
    return Checkpoint("m", {"model_type": "mixtral"}, MemorySource(stored))


@pytest.mark.parametrize("role", ROLES)
def test_planted_permutation_is_recovered(role: Role) -> None:
    rng = np.random.default_rng(3)
    order = np.stack([[rng.permutation(INNER) for _ in range(EXPERTS)] for _ in range(LAYERS)])
    base = rng.standard_normal((LAYERS, INNER, WIDTH))
    # Every expert holds the same neurons, each in an order of its own and with a little noise.
    neurons = np.stack([[base[n][order[n, e]] for e in range(EXPERTS)] for n in range(LAYERS)])
    neurons += 0.01 * rng.standard_normal(neurons.shape)
    found = measure_matching(_checkpoint(neurons, role), role)
    assert found.permutation.shape == (LAYERS, EXPERTS, EXPERTS, INNER)
    for n in range(LAYERS):
        for e, f in permutations(range(EXPERTS), 2):
            # Neuron i of e is base[order[e][i]]; its partner j in f has order[f][j] == order[e][i].
            planted = np.argsort(order[n, f])[order[n, e]]
            np.testing.assert_array_equal(found.permutation[n, e, f], planted)
            expected = kendalltau(planted, np.arange(INNER)).statistic
            assert found.tau[n, e, f] == pytest.approx(expected, abs=1e-12)
            matched = neurons[n, f][planted]
            cosine = (neurons[n, e] * matched).sum() / np.linalg.norm(neurons[n, e]) / np.linalg.norm(matched)
            assert found.similarity[n, e, f] == pytest.approx(cosine, abs=1e-12)
            assert found.similarity[n, e, f] > 0.99
    assert len(np.unique(found.tau)) > 2


@pytest.mark.parametrize("role", ROLES)
def test_triangles_and_diagonal(role: Role) -> None:
    rng = np.random.default_rng(4)
    found = measure_matching(_checkpoint(rng.standard_normal((LAYERS, EXPERTS, INNER, WIDTH)), role), role)
    identity = np.arange(INNER)
    for n in range(LAYERS):
        for e in range(EXPERTS):
            assert found.permutation[n, e, e].tolist() == identity.tolist()
            assert found.tau[n, e, e] == found.similarity[n, e, e] == 1
        for e, f in combinations(range(EXPERTS), 2):
            there, back = found.permutation[n, e, f], found.permutation[n, f, e]
            assert there[back].tolist() == back[there].tolist() == identity.tolist()
            assert found.tau[n, e, f] == found.tau[n, f, e]  # a permutation and its inverse agree in τ
            assert kendalltau(back, identity).statistic == pytest.approx(found.tau[n, f, e], abs=1e-12)
            assert found.similarity[n, e, f] == found.similarity[n, f, e]


def test_assignment_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(5)
    first, second = (torch.randn(6, 4, generator=generator) for _ in range(2))
    a, b = (x.double().numpy() / np.linalg.norm(x.double(), axis=1, keepdims=True) for x in (first, second))
    cosines = a @ b.T
    best = max(permutations(range(6)), key=lambda order: cosines[range(6), order].sum())  # all 720
    assert match(first, second).tolist() == list(best)


@given(st.integers(0, 2**31), st.lists(st.floats(0.01, 100.0), min_size=INNER, max_size=INNER))
@settings(max_examples=30)
def test_scale_of_a_neuron_does_not_change_its_partner(seed: int, scales: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(INNER, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    factors = torch.tensor(scales, dtype=torch.float64)[:, None]
    np.testing.assert_array_equal(match(first, second), match(first * factors, second))
    np.testing.assert_array_equal(match(first, second), match(first, second * factors))


@given(st.integers(0, 2**31), st.permutations(range(INNER)))
@settings(max_examples=30)
def test_order_of_neurons_is_found_whatever_the_neurons(seed: int, order: list[int]) -> None:
    neurons = torch.randn(INNER, WIDTH, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_array_equal(match(neurons, neurons[order]), np.argsort(order))
    np.testing.assert_array_equal(match(neurons[order], neurons), order)


def test_number_of_experts_and_widths_are_read_by_role(saved: Any) -> None:
    checkpoint = Checkpoint.open(saved("qwen3_moe with a dense layer"), "m")
    for role in ROLES:
        assert measure_matching(checkpoint, role).permutation.shape == (2, 5, 5, 10)


def test_an_expert_of_zeros_is_no_nan() -> None:
    neurons = np.random.default_rng(6).standard_normal((1, EXPERTS, INNER, WIDTH))
    neurons[0, 1] = 0
    found = measure_matching(_checkpoint(neurons, "up"), "up")
    assert np.isfinite(found.tau).all()
    assert found.similarity[0, 0, 1] == found.similarity[0, 1, 2] == 0  # as weights.cosine has it
