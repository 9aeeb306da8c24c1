"""What is measured while a text runs, against an ordinary forward pass with hooks, in double precision."""

from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_claims.errors import ModelError
from moe_claims.measure import activations, routed
from moe_claims.measure.accumulator import LayerAccumulator, among_chosen, angular, cosines
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.measure.routed import measure_routed, routed_layers
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.batches import pad
from moe_claims.models.forward.experts_kernel import ExpertBatch
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

PLAIN = ("mixtral", "olmoe", "qwen3_moe")
NAMES = (*PLAIN, "qwen3_moe with a dense layer")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several micro-batches with padding, and several chunks in each."""
    monkeypatch.setattr(routed, "tokens_at_once", lambda *_: 30)
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 700)


def _numpy_angular(outputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(T, E, d) → (T, E, E), one pair at a time."""
    norms = np.linalg.norm(outputs, axis=-1)
    experts = outputs.shape[1]
    result = np.ones((len(outputs), experts, experts))
    for e in range(experts):
        for f in range(experts):
            if e != f:
                cosine = (outputs[:, e] * outputs[:, f]).sum(-1) / (norms[:, e] * norms[:, f])
                result[:, e, f] = 1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi
    return result


def _check_chosen_similarity(
    found: np.ndarray[Any, Any], each: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any], bounds: Any
) -> None:
    """Mean over pairs among a token's chosen experts, and among its others, one pair at a time."""
    expected = np.zeros((len(each), 2))
    for token, similarity in enumerate(each):
        others = set(range(len(similarity))) - set(chosen[token].tolist())
        for side, members in enumerate((chosen[token].tolist(), sorted(others))):
            pairs = [similarity[e, f] for e, f in combinations(members, 2)]
            expected[token, side] = np.mean(pairs) if pairs else 0.0
    assert (expected[:, 0] != expected[:, 1]).all()
    np.testing.assert_allclose(found, [expected[a:b].sum(axis=0) for a, b in pairwise(bounds)], atol=1e-5)


def _check_activations(measured: Any, layer: int, activations: np.ndarray[Any, Any], bounds: Any) -> None:
    """Shares, magnitudes and correlations over indices, sequence by sequence."""
    active = np.abs(activations) > 0.001
    assert not active.all()  # or nothing is tested here
    for field, values in (("active_sums", active), ("magnitude_sums", np.abs(activations))):
        sums = [values[a:b].mean(axis=-1).sum(axis=0) for a, b in pairwise(bounds)]
        np.testing.assert_allclose(getattr(measured, field)[layer], sums, rtol=1e-5, err_msg=field)
    np.testing.assert_allclose(measured.activation_share[layer], active.mean(axis=(0, 2)), atol=1e-12)
    experts, neurons = activations.shape[1:]
    upper = np.triu_indices(experts, 1)
    r = np.asarray([np.corrcoef(token)[upper].mean() for token in activations])
    np.testing.assert_allclose(measured.index_sums[layer], [r[a:b].sum() for a, b in pairwise(bounds)], atol=1e-5)
    for step in range(neurons):
        rolled = np.stack([np.roll(activations[:, e], -e * step, axis=-1) for e in range(experts)], axis=1)
        mean = np.mean([np.corrcoef(token)[upper].mean() for token in rolled])
        assert measured.index_shifted[layer, step] == pytest.approx(mean, abs=1e-6)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", NAMES)
def test_everything_against_a_hooked_forward_pass(name: str, layerwise: Any, plain_run: Any, sequences: Any) -> None:
    plain = plain_run(name, dtype="float64")
    measured = measure_routed(layerwise(name, dtype="float64"), sequences)
    lengths = [len(sequence) for sequence in sequences]
    bounds = np.cumsum([0, *lengths])
    assert measured.layers.tolist() == list(plain.layers)
    assert measured.lengths.tolist() == lengths
    np.testing.assert_allclose(measured.nats, plain.losses, rtol=1e-6)  # the model's own loss
    for number, layer in enumerate(plain.layers.values()):
        outputs = layer.outputs.numpy()
        np.testing.assert_allclose(measured.router_logits[number], layer.logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(measured.chosen[number], layer.chosen)
        np.testing.assert_allclose(measured.output_norms[number], np.linalg.norm(outputs, axis=-1), rtol=1e-5)
        each = _numpy_angular(outputs)
        sums = [each[start:end].sum(axis=0) for start, end in pairwise(bounds)]
        np.testing.assert_allclose(measured.angular_sums[number], sums, atol=1e-5)
        np.testing.assert_allclose(measured.angular_mean[number], each.mean(axis=0), atol=1e-6)
        _check_chosen_similarity(measured.chosen_similarity[number], each, layer.chosen.numpy(), bounds)
        _check_activations(measured, number, layer.activations.numpy(), bounds)
        ranks = [values.argsort(-1).argsort(-1) for values in (layer.logits.numpy(), np.linalg.norm(outputs, axis=-1))]
        counts = np.zeros_like(measured.rank_counts()[number])
        np.add.at(counts, (ranks[0], ranks[1]), 1)
        np.testing.assert_array_equal(measured.rank_counts()[number], counts)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", ["mixtral", "olmoe"])
def test_padding_never_enters(name: str, layerwise: Any, sequences: Any) -> None:
    model = layerwise(name)
    together = measure_routed(model, sequences)
    alone = [measure_routed(model, [sequence]) for sequence in sequences]  # nothing to pad
    sums = ("angular_sums", "chosen_similarity", "active_sums", "magnitude_sums", "index_sums")
    for field in ("router_logits", "output_norms", *sums):
        joined = np.concatenate([getattr(one, field) for one in alone], axis=1)
        np.testing.assert_allclose(getattr(together, field), joined, rtol=1e-4, atol=3e-6, err_msg=field)
    np.testing.assert_array_equal(together.chosen, np.concatenate([one.chosen for one in alone], axis=1))
    np.testing.assert_array_equal(together.rank_counts(), sum(one.rank_counts() for one in alone))
    np.testing.assert_allclose(together.nats, np.concatenate([one.nats for one in alone]), rtol=1e-5)
    shares = np.average([one.activation_share for one in alone], axis=0, weights=together.lengths)
    np.testing.assert_allclose(together.activation_share, shares, atol=1e-12)
    steps = np.average([one.index_shifted for one in alone], axis=0, weights=together.lengths)
    np.testing.assert_allclose(together.index_shifted, steps, atol=1e-6)


@pytest.mark.parametrize("name", ["mixtral", "olmoe"])
def test_chunks_do_not_matter(name: str, layerwise: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_routed(layerwise(name), sequences).arrays()
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 1)  # one token at a time
    monkeypatch.setattr(activations, "_SPECTRUM_FLOATS", 1)
    single = measure_routed(layerwise(name), sequences).arrays()
    for field, values in whole.items():
        np.testing.assert_allclose(single[field], values, rtol=1e-4, atol=3e-6, err_msg=field)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", NAMES)
def test_layouts_give_the_same_measurement(name: str, layerwise: Any, sequences: Any) -> None:
    original, *others = [
        measure_routed(layerwise(name, layout=layout), sequences).arrays()
        for layout in ("original", "original-sharded", "fused", "fused-sharded")
    ]
    for other in others:
        for key in original:
            np.testing.assert_array_equal(other[key], original[key], err_msg=key)


def test_tied_embeddings_have_the_models_own_loss(layerwise: Any, plain_run: Any, sequences: Any) -> None:
    for name in PLAIN:
        nats = measure_routed(layerwise(name, tied=True), sequences).nats
        np.testing.assert_allclose(nats, plain_run(name, tied=True).losses, rtol=1e-5)


def test_same_run_gives_the_same_bytes(layerwise: Any, sequences: Any) -> None:
    first, second = (measure_routed(layerwise("mixtral"), sequences).arrays() for _ in range(2))
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


def test_layers_one_by_one_are_the_whole_measurement(layerwise: Any, sequences: Any) -> None:
    model = layerwise("mixtral")
    measured = measure_routed(model, sequences)
    layers = model.checkpoint.moe_layers
    *found, whole = routed_layers(model, sequences, layers)
    again = RoutedMeasurement.of(layers, found, whole)
    assert again.arrays().keys() == measured.arrays().keys()
    assert all(array.tobytes() == measured.arrays()[name].tobytes() for name, array in again.arrays().items())
    assert len(measured.sequence_of) == measured.router_logits.shape[1] == sum(map(len, sequences))


@pytest.mark.usefixtures("small_batches")
def test_cosines_of_single_tokens(layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model = layerwise("mixtral", dtype="float64")
    measured = measure_routed(model, sequences, token_cosines=True)
    assert measured.token_cosines is not None
    for number, layer in enumerate(plain_run("mixtral", dtype="float64").layers.values()):
        unit = layer.outputs / layer.outputs.norm(dim=-1, keepdim=True)
        np.testing.assert_allclose(measured.token_cosines[number], unit @ unit.transpose(1, 2), atol=1e-6)
    assert measure_routed(model, sequences).token_cosines is None


def _renamed(stored: dict[str, torch.Tensor], order: list[int]) -> dict[str, torch.Tensor]:
    """The same model whose new expert n is the old expert order[n], in the fused layout."""
    return {
        name: tensor[order] if ".mlp.experts." in name or name.endswith(".mlp.gate.weight") else tensor
        for name, tensor in stored.items()
    }


@given(st.permutations(range(4)))
@settings(max_examples=8)
def test_labels_of_experts_mean_nothing(weights_on_disk: Any, config_of: Any, sequences: Any, order: list[int]) -> None:
    stored, config = weights_on_disk("mixtral", layout="fused"), config_of("mixtral")
    old, new = (
        measure_routed(LayerwiseModel(Checkpoint("m", config, MemorySource(tensors))), sequences[:4])
        for tensors in (stored, _renamed(stored, order))
    )
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-6)
    close(new.router_logits, old.router_logits[..., order])
    close(new.output_norms, old.output_norms[..., order])
    close(new.angular_sums, old.angular_sums[..., order, :][..., order], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(order)[new.chosen], old.chosen)
    np.testing.assert_allclose(new.active_sums, old.active_sums[..., order], atol=1e-12)
    close(new.magnitude_sums, old.magnitude_sums[..., order])
    close(new.chosen_similarity, old.chosen_similarity, atol=1e-5)
    close(new.index_sums, old.index_sums, atol=1e-5)
    close(new.nats, old.nats)  # the labels moved, and nothing else
    np.testing.assert_array_equal(new.rank_counts(), old.rank_counts())
    np.testing.assert_array_equal(new.lengths, old.lengths)


def test_angular_similarity_of_known_angles() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0], [0.0, 0.0]]])
    similarity = angular(cosines(outputs))[0]
    expected = [1, 0.5, 0, 0.75, 0.5]  # itself, a right angle, the opposite, half a right angle, no direction
    np.testing.assert_allclose(similarity[0], expected, atol=1e-7)
    assert similarity.diagonal().tolist() == [1] * 5
    assert similarity.dtype == torch.float64


def test_parallel_outputs_are_alike_to_the_last_digit() -> None:
    # Without clamping, a cosine a little over one would be NaN.
    outputs = torch.randn(50, 1, 7, generator=torch.Generator().manual_seed(2)) * torch.ones(1, 3, 1)
    similarity = angular(cosines(outputs * torch.tensor([[[1.0], [3.0], [0.1]]])))
    assert similarity.isfinite().all()
    np.testing.assert_allclose(similarity, 1, atol=1e-3)


@given(st.integers(0, 2**31), st.integers(2, 7), st.data())
@settings(max_examples=25)
def test_similarity_among_chosen_and_among_others(seed: int, experts: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, experts))
    generator = torch.Generator().manual_seed(seed)
    similarity = angular(cosines(torch.randn(3, experts, 5, generator=generator)))
    chosen = torch.rand(3, experts, generator=generator).argsort(dim=1)[:, :k]
    found = among_chosen(similarity, chosen)
    for token in range(3):
        for side, count in enumerate((k, experts - k)):
            members = [e for e in range(experts) if (e in chosen[token].tolist()) == (side == 0)]
            pairs = [float(similarity[token, e, f]) for e, f in combinations(members, 2)]
            assert len(members) == count
            expected = np.mean(pairs) if pairs else 0.0  # nothing to compare
            assert float(found[token, side]) == pytest.approx(expected, abs=1e-12)


def test_an_expert_that_never_fires_is_inactive_and_like_no_other(config_of: Any, weights_on_disk: Any) -> None:
    stored = weights_on_disk("mixtral")
    name = "model.layers.1.block_sparse_moe.experts.2.w1.weight"
    stored[name] = torch.zeros_like(stored[name])
    silent = measure_routed(LayerwiseModel(Checkpoint("m", config_of("mixtral"), MemorySource(stored))), [[4, 9, 7]])
    assert silent.active_sums[1, 0, 2] == silent.magnitude_sums[1, 0, 2] == 0.0
    assert (silent.active_sums[1, 0, [0, 1, 3]] > 2).all()
    assert (silent.output_norms[1, :, 2] == 0).all()
    assert all(np.isfinite(values).all() for values in silent.arrays().values())
    np.testing.assert_allclose(silent.angular_mean[1, 2, [0, 1, 3]], 0.5)  # no direction: as at a right angle


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_routing_rule_is_noticed() -> None:
    hidden = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    router = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    batch = pad([[1, 2, 3], [4, 5, 6]], 0, 2, "cpu")
    best = (hidden @ router.T).topk(2).indices

    def observe(chosen: torch.Tensor, *answers: torch.Tensor) -> None:
        accumulator = LayerAccumulator(router, [batch], 2, "'m', layer 3")
        accumulator.observe(ExpertBatch(hidden, torch.ones(6, 4, 8), torch.ones(6, 4, 5), chosen, hidden, answers, 0))

    observe(best)
    observe(best.flip(1))  # the order among the chosen is not the rule
    wrong = best.clone()
    wrong[4, 1] = (hidden @ router.T)[4].argmin()
    assert _message(lambda: observe(wrong)) == (
        "'m', layer 3: the experts that the model chose are not those of the largest recomputed router scores, and its "
        "router returned other scores: it cannot be measured so far"
    )
    # A bias that balances loads may choose otherwise, as long as the router's own scores are those recomputed.
    logits = hidden @ router.T
    for answer in (logits, logits.softmax(dim=-1), logits.sigmoid()):
        observe(wrong, torch.rand(6, 4), answer)
        with pytest.raises(ModelError, match="its router returned other scores"):
            observe(wrong, answer.flip(0))


def test_routing_of_padding_is_not_checked() -> None:
    # What a model does on padding is nobody's business, and must not stop a measurement.
    hidden, router = torch.randn(4, 8), torch.randn(3, 8)
    batch = pad([[1, 2], [3]], 0, 2, "cpu")
    chosen = (hidden @ router.T).topk(1).indices
    chosen[3] = (hidden[3] @ router.T).argmin()
    outputs = torch.full((4, 3, 8), 2.0)
    activations = torch.rand(4, 3, 5) + 0.1
    outputs[3] = activations[3] = torch.nan
    accumulator = LayerAccumulator(router, [batch], 2, "'m', layer 0")
    accumulator.observe(ExpertBatch(hidden, outputs, activations, chosen, hidden, (), 0))
    assert torch.cat(accumulator.norms).shape == (3, 3)
    assert accumulator.active.sum() == 9  # three experts on three tokens
    for sums in (accumulator.angular, accumulator.chosen_similarity, accumulator.magnitude):
        assert sums.isfinite().all()
    assert accumulator.index is not None and accumulator.index.shifted().isfinite().all()


def test_text_on_which_the_model_breaks_down(config_of: Any, weights_on_disk: Any, sequences: Any) -> None:
    stored = weights_on_disk("mixtral")
    stored["lm_head.weight"] = torch.full_like(stored["lm_head.weight"], 3e38)
    model = LayerwiseModel(Checkpoint("m", config_of("mixtral"), MemorySource(stored)))
    expected = "'m' yields NaN on this text: nothing was measured"
    assert _message(lambda: measure_routed(model, sequences)) == expected


def test_bfloat16_runs(layerwise: Any, sequences: Any) -> None:
    measured = measure_routed(layerwise("olmoe", dtype="bfloat16"), sequences)
    exact = measure_routed(layerwise("olmoe"), sequences)
    assert measured.router_logits.dtype == np.float32
    np.testing.assert_allclose(measured.nats, exact.nats, rtol=0.1)
    agreement = (measured.chosen[0, :, 0] == exact.chosen[0, :, 0]).mean()
    assert agreement > 0.9
    for field in ("chosen_similarity", "active_sums", "magnitude_sums", "index_sums", "index_shifted"):
        found, expected = getattr(measured, field), getattr(exact, field)
        assert found.dtype == np.float64
        # The first layer, which sees the embeddings; deeper ones also differ in what they see.
        np.testing.assert_allclose(found[0], expected[0], atol=0.06 * np.abs(expected[0]).max(), err_msg=field)


def test_saved_model_is_only_read(saved: Callable[..., Path], sequences: Any) -> None:
    folder = saved("mixtral")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    measure_routed(LayerwiseModel(Checkpoint.open(folder, "m")), sequences)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
