"""Experts against a dense model: weights and outputs, held against plain numpy and transformers' own block."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MistralConfig
from transformers.models.mistral.modeling_mistral import MistralMLP

from moe_claims.errors import NotComparableError
from moe_claims.measure import dense as dense_module
from moe_claims.measure import routed
from moe_claims.measure.accumulator import cosines, cosines_to
from moe_claims.measure.dense import DenseLayer, append_dense, cosine_to, measure_dense
from moe_claims.measure.routed import measure_routed
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import DenseModel
from moe_claims.models.families.table import ROLES
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

Array = np.ndarray[Any, Any]
NAMES = ("mixtral", "olmoe", "qwen3_moe with a dense layer")
LEAVES = {"up": "up_proj", "act": "gate_proj", "down": "down_proj"}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several micro-batches with padding, and several chunks in each."""
    monkeypatch.setattr(routed, "tokens_at_once", lambda *_: 30)
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 700)


def _dense_for(checkpoint: Checkpoint, seed: int = 3) -> DenseModel:
    """A dense model of the shape of an MoE, its weights drawn with unit gain."""
    config = checkpoint.config
    shape = {
        "num_hidden_layers": config["num_hidden_layers"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config.get("moe_intermediate_size", config["intermediate_size"]),
    }
    d, m = shape["hidden_size"], shape["intermediate_size"]
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"model.layers.{layer}.mlp.{LEAVES[role]}.weight": torch.randn(
            (d, m) if role == "down" else (m, d), generator=generator
        )
        / d**0.5
        for layer in range(shape["num_hidden_layers"])
        for role in ROLES
    }
    return DenseModel("dense", {"model_type": "mistral", **shape}, MemorySource(tensors))


def _cosine(a: Array, b: Array) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


# --- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_weights_against_plain_numpy(name: str, layerwise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_module, "_COLUMNS", 17)  # several chunks, the last one short
    checkpoint = layerwise(name).checkpoint
    dense = _dense_for(checkpoint)
    measured = measure_dense(checkpoint, dense)
    for number, layer in enumerate(checkpoint.moe_layers):  # the dense layer is that of the same true index
        for role in ROLES:
            experts, reference = checkpoint.matrix(layer, role).numpy(), dense.matrix(layer, role).numpy()
            over = 1 if role == "down" else 0
            expected = [_cosine(expert, reference) for expert in experts]
            np.testing.assert_allclose(measured.matrix[role][number], expected, atol=1e-12)
            expected = [_cosine(expert.mean(over), reference.mean(over)) for expert in experts.astype(np.float64)]
            np.testing.assert_allclose(measured.mean[role][number], expected, atol=1e-6)


def test_layouts_give_the_same_measurement(layerwise: Any) -> None:
    one, other = (layerwise("mixtral", layout=layout).checkpoint for layout in ("original", "fused"))
    first, second = (measure_dense(checkpoint, _dense_for(checkpoint)) for checkpoint in (one, other))
    for role in ROLES:
        assert first.matrix[role].tobytes() == second.matrix[role].tobytes()
        assert first.mean[role].tobytes() == second.mean[role].tobytes()


def test_another_shape_is_refused(layerwise: Any, sequences: Any) -> None:
    model = layerwise("mixtral")
    dense = _dense_for(layerwise("qwen3_moe").checkpoint)
    with pytest.raises(NotComparableError, match="has not the shape of the experts"):
        measure_dense(model.checkpoint, dense)
    with pytest.raises(NotComparableError, match="has not the shape of the experts"):
        measure_routed(model, sequences, dense=dense)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_scale_changes_no_cosine(scale: float, other: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, reference = torch.from_numpy(rng.standard_normal((3, 40))), torch.from_numpy(rng.standard_normal(40))
    cosine = cosine_to(rows, reference)
    np.testing.assert_allclose(cosine_to(rows * scale, reference * other), cosine, atol=1e-12)
    np.testing.assert_allclose(cosine_to(rows.flip(0), -reference), -cosine[::-1], atol=1e-12)


def test_known_cosines_and_zeros() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    found = cosine_to(rows, torch.tensor([5.0, 0.0]))
    np.testing.assert_allclose(found, [1, 0, 0.5**0.5, -1, 0], atol=1e-15)
    assert cosine_to(rows, torch.zeros(2)).tolist() == [0] * 5


def test_long_rows_are_summed_in_double_precision() -> None:
    rows = torch.full((1, 3_000_000), 0.1, dtype=torch.bfloat16)
    assert cosine_to(rows, rows[0])[0] == pytest.approx(1, abs=1e-12)


# --- outputs ---------------------------------------------------------------------------------------


def test_block_is_the_one_of_transformers(layerwise: Any) -> None:
    checkpoint = layerwise("mixtral").checkpoint
    dense = _dense_for(checkpoint)
    for activation in ("silu", "gelu"):
        config = MistralConfig(hidden_size=16, intermediate_size=12, hidden_act=activation)
        block = MistralMLP(config)
        for role in ROLES:
            getattr(block, LEAVES[role]).weight.data = dense.matrix(1, role)
        hidden = torch.randn(9, 16)
        layer = DenseLayer(dense, 1, activation)
        with torch.no_grad():
            torch.testing.assert_close(layer.outputs(hidden), block(hidden))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", NAMES)
def test_outputs_against_a_hooked_forward_pass(name: str, layerwise: Any, plain_run: Any, sequences: Any) -> None:
    plain = plain_run(name, dtype="float64")
    model = layerwise(name, dtype="float64")
    dense = _dense_for(model.checkpoint)
    measured = measure_routed(model, sequences, dense=dense, token_cosines=True)
    assert measured.dense_sums is not None
    assert measured.token_cosines is not None
    bounds = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    for number, (index, layer) in enumerate(plain.layers.items()):
        up, act, down = (dense.matrix(index, role).numpy().astype(np.float64) for role in ROLES)
        hidden, outputs = layer.hidden.numpy(), layer.outputs.numpy()
        gate = hidden @ act.T
        answer = (gate / (1 + np.exp(-gate)) * (hidden @ up.T)) @ down.T
        norms = np.linalg.norm(outputs, axis=-1) * np.linalg.norm(answer, axis=-1)[:, None]
        cosine = np.einsum("ted,td->te", outputs, answer) / norms
        alike = 1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi
        sums = [alike[start:end].sum(axis=0) for start, end in pairwise(bounds)]
        np.testing.assert_allclose(measured.dense_sums[number], sums, atol=1e-5)
        np.testing.assert_allclose(measured.token_cosines[number, :, -1, :-1], cosine, atol=1e-6)
        np.testing.assert_allclose(measured.token_cosines[number, :, :-1, -1], cosine, atol=1e-6)
    assert (measured.token_cosines[:, :, -1, -1] == 1).all()


@pytest.mark.usefixtures("small_batches")
def test_a_dense_reference_changes_nothing_else(layerwise: Any, sequences: Any) -> None:
    model = layerwise("mixtral")
    without = measure_routed(model, sequences, token_cosines=True)
    with_it = measure_routed(model, sequences, token_cosines=True, dense=_dense_for(model.checkpoint))
    plain, more = without.arrays(), with_it.arrays()
    assert set(more) - set(plain) == {"dense_sums"}
    assert all(plain[key].tobytes() == more[key].tobytes() for key in plain if key != "token_cosines")
    assert without.token_cosines is not None
    assert with_it.token_cosines is not None
    np.testing.assert_array_equal(with_it.token_cosines[..., :-1, :-1], without.token_cosines)


def test_padding_never_enters(layerwise: Any, sequences: Any) -> None:
    model = layerwise("olmoe")
    dense = _dense_for(model.checkpoint)
    together = measure_routed(model, sequences, dense=dense).dense_sums
    alone = [measure_routed(model, [sequence], dense=dense).dense_sums for sequence in sequences]
    assert together is not None
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), rtol=1e-4)


def test_experts_that_are_copies_of_the_dense_model_are_it(
    weights_on_disk: Any, config_of: Any, sequences: Any
) -> None:
    config, stored = config_of("mixtral"), weights_on_disk("mixtral", layout="fused")
    dense = _dense_for(Checkpoint("m", config, MemorySource(stored)))
    for layer, scales in enumerate(([1, 1, 1, 1], [1, 2, 3, 4])):
        act, up, down = (dense.matrix(layer, role) for role in ("act", "up", "down"))
        block, scale = f"model.layers.{layer}.mlp.experts", torch.tensor(scales)[:, None, None]
        stored[f"{block}.gate_up_proj"] = torch.cat([act, up]) * scale
        stored[f"{block}.down_proj"] = down * scale
    model = LayerwiseModel(Checkpoint("m", config, MemorySource(stored)), dtype="float64")
    weights = measure_dense(model.checkpoint, dense)
    for role in ROLES:
        np.testing.assert_allclose(weights.matrix[role], 1, atol=1e-12)
        np.testing.assert_allclose(weights.mean[role], 1, atol=1e-6)
    sums = measure_routed(model, sequences, dense=dense).dense_sums
    assert sums is not None
    lengths = np.asarray([len(sequence) for sequence in sequences], dtype=float)
    np.testing.assert_allclose(sums[0], np.tile(lengths[:, None], 4), rtol=1e-6)
    assert (sums[1, :, 1:] < 0.999 * lengths[:, None]).all()  # σ is no multiple of itself at another scale


def test_weights_of_a_layer_are_let_go_after_its_last_token(
    layerwise: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []
    most = []

    class Counted(DenseLayer):
        def outputs(self, hidden: torch.Tensor) -> torch.Tensor:
            alive.append(1) if self._weights is None else None
            most.append(len(alive))
            return super().outputs(hidden)

        def __del__(self) -> None:
            alive.pop()

    monkeypatch.setattr(routed, "DenseLayer", Counted)
    model = layerwise("qwen3_moe with a dense layer")
    measure_routed(model, sequences, dense=_dense_for(model.checkpoint))
    assert len(most) >= len(model.checkpoint.moe_layers) == 2
    assert max(most) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtype_of_the_forward_pass_is_followed(dtype: str, layerwise: Any, sequences: Any) -> None:
    model = layerwise("mixtral", dtype=dtype)
    sums = measure_routed(model, sequences, dense=_dense_for(model.checkpoint)).dense_sums
    exact_model = layerwise("mixtral")
    exact = measure_routed(exact_model, sequences, dense=_dense_for(exact_model.checkpoint)).dense_sums
    assert sums is not None
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums, exact, rtol=0.2 if dtype == "bfloat16" else 1e-4)


# --- arrays ----------------------------------------------------------------------------------------


def test_cosines_to_another_output_are_those_of_one_more_expert() -> None:
    outputs = torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(1))
    outputs[2, 0] = 0
    outputs[3, 3] = 0
    joined = cosines(outputs)
    one_fewer = append_dense(cosines(outputs[:, :3]).numpy(), cosines_to(outputs[:, :3], outputs[:, 3]).numpy())
    np.testing.assert_allclose(one_fewer, joined, atol=1e-12)
