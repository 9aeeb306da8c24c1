"""Weight similarities against numpy in float64, and the symmetries that they must have."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from moe_claims.errors import ModelError
from moe_claims.measure import weights
from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.measure.weights import cosine, mean_neurons, measure_weights, similarities
from moe_claims.models import checkpoint as checkpoint_module
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import FAMILIES, ROLES
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

LAYERS, EXPERTS, WIDTH, INNER = 2, 4, 8, 6
TENSOR = {"up": "w3", "act": "w1", "down": "w2"}
Stored = dict[str, torch.Tensor]


def _random(seed: int) -> Stored:
    """The MoE tensors of a Mixtral checkpoint; weights alone need no others."""
    generator = torch.Generator().manual_seed(seed)
    stored = {}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}.block_sparse_moe"
        stored[f"{block}.gate.weight"] = torch.randn(EXPERTS, WIDTH, generator=generator)
        for expert in range(EXPERTS):
            for role, tensor in TENSOR.items():
                shape = (WIDTH, INNER) if role == "down" else (INNER, WIDTH)
                stored[f"{block}.experts.{expert}.{tensor}.weight"] = torch.randn(shape, generator=generator)
    return stored


def _measured(stored: Stored) -> WeightMeasurement:
    return measure_weights(Checkpoint("m", {"model_type": "mixtral"}, MemorySource(stored)))


def _numpy_cosines(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pair by pair, as a textbook has it."""
    result = np.empty((len(rows), len(rows)))
    for e, a in enumerate(rows):
        for f, b in enumerate(rows):
            result[e, f] = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    return result


@pytest.mark.parametrize("name", ["mixtral", "olmoe", "qwen3_moe", "qwen3_moe with a dense layer"])
def test_against_numpy(name: str, saved: Callable[..., Path], weights_on_disk: Any) -> None:
    stored, row = weights_on_disk(name), FAMILIES[name.split()[0]]
    measured = measure_weights(Checkpoint.open(saved(name), name))
    assert measured.layers.tolist() == ([0, 2] if "dense" in name else [0, 1])
    experts = measured.router.shape[-1]
    for number, layer in enumerate(measured.layers):
        block = f"model.layers.{layer}.{row.routers[0].partition('.')[0]}"
        router = stored[f"{block}.gate.weight"].double().numpy()
        np.testing.assert_allclose(measured.router[number], _numpy_cosines(router), atol=1e-12)
        for role in ROLES:
            names = [f"{block}.experts.{e}.{row.matrix(role)}.weight" for e in range(experts)]
            matrices = np.stack([stored[key].double().numpy() for key in names])
            flat = matrices.reshape(experts, -1)
            np.testing.assert_allclose(measured.matrix[role][number], _numpy_cosines(flat), atol=1e-12)
            # A neuron is a vector of the residual stream: a row of up and act, a column of down.
            neurons = matrices.transpose(0, 2, 1) if role == "down" else matrices
            assert neurons.shape[2] == router.shape[1]
            means = neurons.mean(axis=1)
            np.testing.assert_allclose(measured.mean[role][number], _numpy_cosines(means), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("role", ROLES)
def test_matrices_larger_than_one_block_are_summed_up(
    role: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = torch.randn(5, 31, 67, generator=torch.Generator().manual_seed(1)).to(dtype)
    whole = similarities(matrix, role)
    monkeypatch.setattr(weights, "_BLOCK", 1100)  # three rows at a time
    monkeypatch.setattr(weights, "_RUN", 16)
    exact = matrix.double().numpy()
    expected = exact.reshape(5, -1), exact.mean(2 if role == "down" else 1)
    for ours, before, rows in zip(similarities(matrix, role), whole, expected, strict=True):
        np.testing.assert_allclose(ours, before, atol=3e-7)
        np.testing.assert_allclose(ours, _numpy_cosines(rows), atol=1e-14 if dtype == torch.float32 else 3e-7)


def test_sums_are_kept_in_double_precision() -> None:
    # A bfloat16 accumulator would stop at 256 and a float32 one lose the small part here.
    rows = torch.ones(2, 1000, 20_000, dtype=torch.bfloat16)
    rows[1, 500:] = -1
    rows[1, 0, 0] = 3
    expected = 2 / np.sqrt(20_000_000 * 20_000_008)
    assert similarities(rows, "up")[0][0, 1] == pytest.approx(expected, rel=1e-12)


def test_zeros_have_no_direction() -> None:
    similarity = cosine(torch.tensor([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0]]))
    assert similarity.tolist() == [[1, 0, 0], [0, 1, -1], [0, -1, 1]]


def test_mean_neurons_by_role() -> None:
    matrix = torch.arange(24.0).reshape(2, 3, 4)
    assert mean_neurons(matrix, "up").tolist() == matrix.double().mean(1).tolist()
    assert mean_neurons(matrix, "act").shape == (2, 4)
    assert mean_neurons(matrix, "down").tolist() == matrix.double().mean(2).tolist()
    assert mean_neurons(matrix.bfloat16(), "down").dtype == torch.float64


@given(st.integers(0, 2**31), st.permutations(range(EXPERTS)))
@settings(max_examples=20)
def test_labels_of_experts_mean_nothing(seed: int, order: list[int]) -> None:
    stored = _random(seed)
    renamed = {}
    for name, tensor in stored.items():
        before, _, after = name.partition(".experts.")
        if after:
            expert, _, rest = after.partition(".")
            renamed[f"{before}.experts.{order.index(int(expert))}.{rest}"] = tensor
        else:
            renamed[name] = tensor[order]
    old, new = _measured(stored).arrays(), _measured(renamed).arrays()
    assert new.keys() == old.keys()
    for name in old:
        expected = old[name] if name == "layers" else old[name][:, order][:, :, order]
        np.testing.assert_allclose(new[name], expected, atol=1e-13, err_msg=name)


@given(st.integers(0, 2**31), st.integers(0, EXPERTS - 1), st.sampled_from(ROLES), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_scale_of_a_matrix_means_nothing(seed: int, expert: int, role: str, scale: float) -> None:
    stored = _random(seed)
    scaled = dict(stored)
    name = f"model.layers.1.block_sparse_moe.experts.{expert}.{TENSOR[role]}.weight"
    scaled[name] = stored[name].double() * scale
    for key in stored:  # one dtype throughout, so that the scaled numbers are not rounded
        scaled[key] = scaled[key].double()
    old, new = _measured(stored).arrays(), _measured(scaled).arrays()
    for key in old:
        np.testing.assert_allclose(new[key], old[key], atol=1e-12, err_msg=key)


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_similarities_are_symmetric_cosines(seed: int) -> None:
    for name, array in _measured(_random(seed)).arrays().items():
        if name != "layers":
            assert array.shape == (LAYERS, EXPERTS, EXPERTS) and array.dtype == np.float64
            np.testing.assert_array_equal(array, array.swapaxes(1, 2))
            assert (np.diagonal(array, axis1=1, axis2=2) == 1).all()
            assert (np.abs(array) <= 1).all()


# --- piece by piece ------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", ["original-sharded", "fused"])
def test_small_pieces_in_any_number_of_threads_are_the_whole(
    layout: str, threads: int, saved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    folder = saved("mixtral", False, layout)
    whole = measure_weights(Checkpoint.open(folder, "m")).arrays()
    monkeypatch.setattr(checkpoint_module, "_READ_TOGETHER", 4 * 16 * 5)  # five rows of all experts
    checkpoint = Checkpoint.open(folder, "m")
    pieces = [part for read in checkpoint.pieces(0) for part in read()]
    assert len(pieces) > 6
    for role in ROLES:
        rows = torch.cat([piece for of, piece in pieces if of == role], dim=1)
        assert torch.equal(rows, checkpoint.matrix(0, role))
    measured = measure_weights(checkpoint).arrays()
    for name, array in whole.items():
        np.testing.assert_allclose(measured[name], array, atol=1e-14)


def test_a_number_that_is_none_is_named_whatever_piece_it_is_in(copied: Any) -> None:
    folder = copied("mixtral")
    (path,) = folder.glob("*.safetensors")
    stored = load_file(path)
    name = "model.layers.1.block_sparse_moe.experts.2.w3.weight"
    stored[name][-1, -1] = float("nan")
    save_file(stored, path)
    with pytest.raises(ModelError, match=f"NaN or infinite weights in the tensor '{re.escape(name)}'"):
        measure_weights(Checkpoint.open(folder, "m"))


def test_weights_whose_squares_overflow_are_measured(copied: Any) -> None:
    folder = copied("mixtral")
    (path,) = folder.glob("*.safetensors")
    plain = measure_weights(Checkpoint.open(folder, "m")).arrays()
    stored = {name: tensor.bfloat16() * (1e25 if ".w3." in name else 1) for name, tensor in load_file(path).items()}
    save_file(stored, path)
    large = measure_weights(Checkpoint.open(folder, "m")).arrays()
    np.testing.assert_allclose(large["similarity.matrix.up"], plain["similarity.matrix.up"], atol=0.02)
    assert all(np.isfinite(array).all() for array in large.values())
