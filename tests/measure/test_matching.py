"""Neuron matching: a planted permutation is found, τ is SciPy's, and what it would cost is said beforehand."""

import threading
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from moe_claims._util import progress
from moe_claims._util.memory import GIB
from moe_claims.errors import ModelError, NotMeasuredError, UsageError
from moe_claims.measure import assignment, matching, matching_cost
from moe_claims.measure.assignment import Neurons
from moe_claims.measure.matching import kendall, layers_to_match, match, match_layers, measure_matching
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, Role
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

LAYERS, EXPERTS, WIDTH, INNER = 2, 3, 16, 9
TENSOR = {"up": "w3", "act": "w1", "down": "w2"}


def _checkpoint(neurons: np.ndarray[Any, Any], role: Role, numbers: Sequence[int] | None = None) -> Checkpoint:
    """(L, E, m, d) neurons as the matrices of one role; the other roles hold noise."""
    generator = torch.Generator().manual_seed(0)
    stored = {}
    for layer, experts in zip(numbers or range(len(neurons)), neurons, strict=True):
        block = f"model.layers.{layer}.block_sparse_moe"
        stored[f"{block}.gate.weight"] = torch.randn(len(experts), neurons.shape[-1], generator=generator)
        for expert, rows in enumerate(experts):
            for kind, tensor in TENSOR.items():
                matrix = torch.tensor(rows) if kind == role else torch.randn(rows.shape, generator=generator).double()
                stored[f"{block}.experts.{expert}.{tensor}.weight"] = matrix.T if kind == "down" else matrix
    return Checkpoint("m", {"model_type": "mixtral"}, MemorySource(stored))


def _noise(seed: int, layers: int = LAYERS, experts: int = EXPERTS, inner: int = INNER) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((layers, experts, inner, WIDTH))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("role", ROLES)
def test_planted_permutation_is_recovered(role: Role, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "SPARSE_FROM", 1 if sparse else 1_000)
    rng = np.random.default_rng(3)
    order = np.stack([[rng.permutation(INNER) for _ in range(EXPERTS)] for _ in range(LAYERS)])
    base = rng.standard_normal((LAYERS, INNER, WIDTH))
    # Every expert holds the same neurons, each in an order of its own and with a little noise.
    neurons = np.stack([[base[n][order[n, e]] for e in range(EXPERTS)] for n in range(LAYERS)])
    neurons += 0.01 * rng.standard_normal(neurons.shape)
    found = measure_matching(_checkpoint(neurons, role), role, range(LAYERS))
    assert found.layers.tolist() == [0, 1]
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
    found = measure_matching(_checkpoint(_noise(4), role), role, range(LAYERS))
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


def test_only_the_layers_asked_for_are_matched_under_their_true_index() -> None:
    neurons = _noise(5, layers=3)
    checkpoint = _checkpoint(neurons, "up", (1, 3, 4))
    whole, some = (measure_matching(checkpoint, "up", layers) for layers in ((1, 3, 4), (4, 1)))
    assert some.layers.tolist() == [4, 1]
    for name in ("similarity", "tau", "permutation", "null_gain"):
        np.testing.assert_array_equal(whole.arrays()[name][[2, 0]], some.arrays()[name])


@pytest.mark.parametrize("count", [40, 600], ids=["few neurons", "many neurons"])
def test_the_number_of_workers_changes_nothing(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "SPARSE_FROM", 500)
    neurons = _noise(6, layers=1, inner=count)
    neurons[:, 1, :5] = neurons[:, 2, :5] = neurons[:, 0, :5] = 0  # ties, which rounding could break either way
    checkpoint = _checkpoint(neurons, "act")
    threads = torch.get_num_threads()
    one, three = (measure_matching(checkpoint, "act", [0], workers=workers).arrays() for workers in (1, 3))
    for name, array in one.items():
        np.testing.assert_array_equal(array, three[name])
    assert torch.get_num_threads() == threads


def test_workers_work_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, plain = threading.Barrier(2, timeout=60), matching.match

    def meet(*given: Any) -> Any:
        meeting.wait()  # breaks, and so fails, where no second thread comes
        assert torch.get_num_threads() == 1
        return plain(*given)

    monkeypatch.setattr(matching, "match", meet)
    assert measure_matching(_checkpoint(_noise(7, layers=1), "up"), "up", [0], workers=2).tau.shape == (1, 3, 3)


def test_what_breaks_in_a_worker_is_raised_and_threads_are_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ModelError("broken")

    threads = torch.get_num_threads()
    monkeypatch.setattr(matching, "match", broken)
    for workers in (1, 2):
        with pytest.raises(ModelError, match="broken"):
            measure_matching(_checkpoint(_noise(7), "up"), "up", [0], workers=workers)
        assert torch.get_num_threads() == threads


def test_gain_of_a_random_pair() -> None:
    """Against the same thing done by hand on many random pairs: matching finds chance likeness."""
    rng = np.random.default_rng(8)
    neurons = _noise(8, layers=6, inner=60) * rng.gamma(2.0, size=(6, 1, 60, 1))
    found = measure_matching(_checkpoint(neurons, "up"), "up", range(6))
    norms = np.linalg.norm(neurons[:, :2], axis=-1)
    by_hand = []
    for first, second in norms.repeat(5, axis=0):
        a, b = (rng.standard_normal((60, WIDTH)) for _ in range(2))
        matched = match(*(Neurons.of(torch.from_numpy(x)) for x in (a, b)))
        a, b = (n[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True) for n, x in ((first, a), (second, b)))
        by_hand.append(((a * b[matched.partner]).sum() - (a * b).sum()) / np.linalg.norm(a) / np.linalg.norm(b))
    error = np.std(by_hand) / len(by_hand) ** 0.5 + np.std(by_hand) / 6**0.5
    assert found.null_gain.mean() == pytest.approx(np.mean(by_hand), abs=4 * error)
    assert found.null_gain.mean() > 0.1
    again = measure_matching(_checkpoint(neurons, "up"), "up", range(6))
    np.testing.assert_array_equal(found.null_gain, again.null_gain)
    assert len(np.unique(found.null_gain)) == 6  # another pair in every layer


@given(st.integers(0, 2**31), st.lists(st.floats(0.01, 100.0), min_size=INNER, max_size=INNER))
@settings(max_examples=30)
def test_scale_of_a_neuron_does_not_change_its_partner(seed: int, scales: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(INNER, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    factors = torch.tensor(scales, dtype=torch.float64)[:, None]
    plain, left, right = (
        match(Neurons.of(a), Neurons.of(b)).partner.tolist()
        for a, b in ((first, second), (first * factors, second), (first, second * factors))
    )
    assert plain == left == right


@given(st.integers(0, 2**31), st.permutations(range(INNER)))
@settings(max_examples=30)
def test_order_of_neurons_is_found_whatever_the_neurons(seed: int, order: list[int]) -> None:
    neurons = torch.randn(INNER, WIDTH, generator=torch.Generator().manual_seed(seed))
    there, back = (
        match(Neurons.of(a), Neurons.of(b)) for a, b in ((neurons, neurons[order]), (neurons[order], neurons))
    )
    assert there.partner.tolist() == np.argsort(order).tolist()
    assert back.partner.tolist() == order
    assert there.similarity == pytest.approx(1, abs=1e-12)


@given(st.integers(2, 300), st.integers(0, 2**31))
@settings(max_examples=50)
def test_kendall_is_that_of_scipy(count: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(count)
    assert kendall(order) == pytest.approx(kendalltau(order, np.arange(count)).statistic, abs=1e-12)
    assert kendall(np.arange(count)) == 1
    assert kendall(np.arange(count)[::-1]) == -1
    assert kendall(np.array([0])) == 1


def test_number_of_experts_and_widths_are_read_by_role(saved: Any) -> None:
    checkpoint = Checkpoint.open(saved("qwen3_moe with a dense layer"), "m")
    for role in ROLES:
        assert measure_matching(checkpoint, role, (0, 2)).permutation.shape == (2, 5, 5, 10)


def test_an_expert_of_zeros_is_no_nan() -> None:
    neurons = _noise(9, layers=1)
    neurons[0, 1] = 0
    found = measure_matching(_checkpoint(neurons, "up"), "up", [0])
    assert all(np.isfinite(array).all() for array in found.arrays().values())
    assert found.similarity[0, 0, 1] == found.similarity[0, 1, 2] == 0  # as weights.cosine has it
    assert found.null_gain[0] == 0  # the random pair has the norms of the first two experts


def test_progress_counts_pairs_and_the_random_one(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(progress, "_quiet", False)  # whatever another test has left
    measure_matching(_checkpoint(_noise(10), "down"), "down", (0, 1))
    assert "matching down neurons: 8/8 pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "asked", "listed"),
    [((0, 1, 2), 40, "0 to 2"), ((1, 2), 0, "1 to 2"), ((1, 3), 2, "1, 3"), ((4,), 0, "4")],
)
def test_a_layer_without_experts_is_refused(there: tuple[int, ...], asked: int, listed: str) -> None:
    checkpoint = _checkpoint(_noise(11, layers=len(there)), "up", there)
    message = rf"'m' has no MoE layer {asked}; its MoE layers are {listed}$"
    with pytest.raises(UsageError, match=message):
        layers_to_match(checkpoint, (there[0], asked))
    with pytest.raises(UsageError, match=message):
        measure_matching(checkpoint, "up", [asked])


def test_all_layers_where_that_takes_minutes_and_those_asked_for_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = _checkpoint(_noise(12, layers=5), "up", (1, 2, 3, 5, 8))
    assert layers_to_match(checkpoint, None) == (1, 2, 3, 5, 8)
    assert layers_to_match(checkpoint, (2, 8)) == (2, 8)
    seconds = []

    def an_hour_per_layer(neurons: int, width: int) -> float:
        seconds.append((neurons, width))
        return 300.0  # 3 pairs and a random one, of 3 matrices

    monkeypatch.setattr(matching, "pair_seconds", an_hour_per_layer)
    with pytest.raises(NotMeasuredError) as caught:
        layers_to_match(checkpoint, None)
    assert str(caught.value) == (
        "matching the neurons of all 5 MoE layers of 'm' would take about 5 hours here, 60 minutes per layer: "
        "--moe-layers 1,3,8 matches some of them"
    )
    assert seconds == [(INNER, WIDTH)]
    assert layers_to_match(checkpoint, (2, 8)) == (2, 8)  # whoever asks gets it


def test_patience_counts_all_pairs_of_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = _checkpoint(_noise(13, layers=5), "up")
    patience = 5 * 3 * 4  # layers, matrices, pairs with the random one
    monkeypatch.setattr(matching, "pair_seconds", lambda *_: 0.999 * matching.PATIENCE / patience)
    assert layers_to_match(checkpoint, None) == (0, 1, 2, 3, 4)
    monkeypatch.setattr(matching, "pair_seconds", lambda *_: 1.001 * matching.PATIENCE / patience)
    with pytest.raises(NotMeasuredError, match="--moe-layers 0,2,4 matches"):
        layers_to_match(checkpoint, None)


def test_two_layers_are_named_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "pair_seconds", lambda *_: 1e6)
    with pytest.raises(NotMeasuredError, match="--moe-layers 0,1 matches"):
        layers_to_match(_checkpoint(_noise(14), "up"), None)


@pytest.mark.parametrize(
    ("free", "threads", "neurons", "expected"),
    [
        (None, 4, 1_408, 4),
        (3.5, 4, 1_408, 3),
        (8.0, 4, 1_408, 4),
        (8.0, 4, 128, 1),  # quicker than starting threads
    ],
)
def test_workers_are_bounded_by_threads_and_memory(
    free: float | None, threads: int, neurons: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(matching, "pair_bytes", lambda *_: GIB)
    monkeypatch.setattr(matching, "free_bytes", lambda: None if free is None else int(free * GIB))
    assert matching._workers("m", neurons, 64) == expected


def test_too_little_memory_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "pair_bytes", lambda *_: 6 * GIB)
    monkeypatch.setattr(matching, "free_bytes", lambda: 2 * GIB)
    checkpoint = _checkpoint(_noise(15), "up")
    message = "matching the 9 neurons of 'm' needs 6.0 GiB of memory per pair, and 2.0 GiB are free"
    for call in (lambda: layers_to_match(checkpoint, None), lambda: measure_matching(checkpoint, "up", [0])):
        with pytest.raises(NotMeasuredError, match=message):
            call()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(40, "40 seconds"), (150, "2 minutes"), (3_600, "60 minutes"), (18_000, "5 hours"), (200_000, "2 days")],
)
def test_spans_for_people(seconds: float, text: str) -> None:
    assert matching_cost.span(seconds) == text


def test_memory_grows_with_the_square_and_time_faster() -> None:
    assert matching_cost.pair_bytes(32_768, 6_144) < 4 * 32_768**2 + 6 * GIB
    for small, large in combinations((128, 512, 1_408, 14_336, 32_768), 2):
        assert matching_cost.pair_seconds(small, 2_048) < matching_cost.pair_seconds(large, 2_048)
        assert matching_cost.pair_seconds(large, 2_048) < matching_cost.pair_seconds(large, 4_096)


def test_layers_one_by_one_are_the_whole_measurement() -> None:
    checkpoint = _checkpoint(_noise(16), "up")
    whole = measure_matching(checkpoint, "up", (0, 1)).arrays()
    for number, found in enumerate(match_layers(checkpoint, "up", (0, 1))):
        assert found.keys() == whole.keys() - {"layers"}
        for name, array in found.items():
            np.testing.assert_array_equal(array, whole[name][number])
