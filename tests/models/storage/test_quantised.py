"""Quantised checkpoints against loops over single numbers, against transformers, and against their plain twins."""

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from moe_claims.commands.main import main
from moe_claims.errors import ModelError
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.weights import measure_weights
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import DenseModel
from moe_claims.models.forward.batches import micro_batches, pad
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import OpenModel, random_control
from moe_claims.models.names import ModelRef
from moe_claims.models.storage.quantised import Fp8Source, Mxfp4Source, dequantised
from moe_claims.models.storage.tensor_source import MemorySource, TensorSource

BLOCK = 128
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
Stored = dict[str, torch.Tensor]


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _float8(seed: int, *shape: int) -> torch.Tensor:
    """Every finite number of the format is as likely as every other."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 0x7F, shape, dtype=np.uint8) | (rng.integers(0, 2, shape, dtype=np.uint8) << 7)
    return torch.from_numpy(bits).view(torch.float8_e4m3fn)


def _e4m3(byte: int) -> float:
    """One number from its bits: a sign, four bits of exponent with bias 7, three of mantissa; no infinity."""
    exponent, mantissa = byte >> 3 & 15, byte & 7
    size = mantissa * 2.0**-9 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -size if byte >> 7 else size


def _by_loop(weight: torch.Tensor, scale: torch.Tensor, block: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """Number by number; the product rounds to float32, and then to what is asked for."""
    bits, scales = weight.view(torch.uint8).tolist(), scale.to(torch.float32).numpy()
    rows, columns = weight.shape
    values = np.empty((rows, columns), dtype=np.float32)
    for i, j in product(range(rows), range(columns)):
        values[i, j] = np.float32(_e4m3(bits[i][j])) * scales[i // block[0], j // block[1]]
    return torch.from_numpy(values).to(dtype)


def _source(tensors: Stored, block: tuple[int, int] | None = (BLOCK, BLOCK), dtype: str = "bfloat16") -> Fp8Source:
    return Fp8Source("m", MemorySource(tensors), dtype, block)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


# --- values ----------------------------------------------------------------------------------------


def test_every_number_of_the_format() -> None:
    bits = torch.tensor([b for b in range(256) if b & 0x7F != 0x7F], dtype=torch.uint8).view(1, -1)
    source = _source({"a": bits.view(torch.float8_e4m3fn), "a_scale_inv": torch.ones(1, 2)}, dtype="float32")
    assert source.get("a")[0].tolist() == [_e4m3(b) for b in bits[0].tolist()]
    assert source.get("a").max() == 448


SCALES = {
    "float32": lambda s: s,
    "bfloat16": lambda s: s.to(torch.bfloat16),
    "float16": lambda s: s.to(torch.float16),
    "e8m0": lambda s: s.to(torch.float8_e8m0fnu),
    "bytes": lambda s: s.to(torch.float8_e8m0fnu).view(torch.uint8),
}


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["bfloat16", "float32"]),
    st.sampled_from(sorted(SCALES)),
    st.integers(0, 2**31),
)
def test_ragged_blocks_against_a_loop(
    shape: tuple[int, int], block: tuple[int, int], dtype: str, kind: str, seed: int
) -> None:
    weight = _float8(seed, *shape)
    grid = (ceil(shape[0] / block[0]), ceil(shape[1] / block[1]))
    numbers = torch.rand(grid, generator=torch.Generator().manual_seed(seed)) + 1e-3
    stored = SCALES[kind](numbers)
    meant = stored.view(torch.float8_e8m0fnu) if kind == "bytes" else stored
    given_as = _source({"a.weight": weight, "a.weight_scale_inv": stored}, block, dtype).get("a.weight")
    assert _same(given_as, _by_loop(weight, meant, block, getattr(torch, dtype)))


def test_blocks_of_a_wide_matrix_are_read_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, scale = _float8(1, 300, 200), torch.rand(3, 2)
    tensors = {"a.weight": weight, "a.weight_scale_inv": scale}
    whole = _source(tensors).get("a.weight")
    monkeypatch.setattr("moe_claims.models.storage.quantised._AT_ONCE", 1000)
    assert _same(_source(tensors).get("a.weight"), whole)
    assert _same(whole, _by_loop(weight, scale, (BLOCK, BLOCK), torch.bfloat16))


def test_scales_as_powers_of_two_are_read_bit_by_bit() -> None:
    powers = torch.arange(255, dtype=torch.uint8)
    one = torch.ones(255, 1).to(torch.float8_e4m3fn)
    source = _source({"a": one, "a_scale_inv": powers[:, None]}, (1, 1), "float32")
    assert source.get("a")[:, 0].tolist() == [2.0 ** (power - 127) for power in range(255)]


@pytest.mark.parametrize("given_as", [torch.tensor(0.25), torch.tensor([0.25]), torch.tensor([[0.25]])])
def test_one_scale_for_a_tensor(given_as: torch.Tensor) -> None:
    weight = _float8(2, 5, 7)
    found = _source({"a.weight": weight, "a.weight_scale_inv": given_as}, None).get("a.weight")
    assert _same(found, (0.25 * weight.float()).bfloat16())


@pytest.mark.parametrize("inner", [64, 24, 128, 256])
def test_experts_in_one_tensor(inner: int) -> None:
    # Halves of less than half a block have scales of their own; those of whole blocks have them in any case.
    experts, width = 3, 200
    weight, down = _float8(3, experts, 2 * inner, width), _float8(4, experts, width, inner)
    each = ceil(inner / BLOCK)
    scale, scale_down = torch.rand(experts, 2 * each, 2), torch.rand(experts, 2, each)
    tensors = {"x.gate_up_proj": weight, "x.gate_up_proj_scale_inv": scale}
    tensors |= {"x.down_proj": down, "x.down_proj_scale_inv": scale_down}
    both, other = _source(tensors).get_many(["x.gate_up_proj", "x.down_proj"])
    for expert in range(experts):
        for half in range(2):
            rows, of_rows = slice(half * inner, (half + 1) * inner), slice(half * each, (half + 1) * each)
            part = _by_loop(weight[expert, rows], scale[expert, of_rows], (BLOCK, BLOCK), torch.bfloat16)
            assert torch.equal(both[expert, rows], part)
        assert torch.equal(other[expert], _by_loop(down[expert], scale_down[expert], (BLOCK, BLOCK), torch.bfloat16))


def test_experts_in_one_tensor_with_one_scale_each() -> None:
    weight = _float8(5, 2, 6, 5)
    for scale in (torch.rand(2, 2, 1), torch.rand(2, 1, 1), torch.tensor(3.0)):
        found = _source({"gate_up_proj": weight, "gate_up_proj_scale_inv": scale}, None).get("gate_up_proj")
        of_rows = scale.repeat_interleave(3, dim=1) if scale.dim() and scale.shape[1] == 2 else scale
        assert _same(found, (weight.float() * of_rows).bfloat16())


# --- against transformers --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(256, 384), (128, 128), (3, 256, 128)])
def test_values_are_those_of_transformers(shape: tuple[int, ...]) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    weight = _float8(6, *shape)
    scale = torch.rand(*shape[:-2], shape[-2] // BLOCK, shape[-1] // BLOCK)
    found: Any = Fp8Dequantize(None).convert({"weight": weight, "weight_scale_inv": scale})["weight"]
    theirs = found[0] if isinstance(found, list) else found  # older versions
    ours = _source({"a.weight": weight, "a.weight_scale_inv": scale}, dtype="float32").get("a.weight")
    assert theirs.dtype == torch.float32  # that of the scales
    assert torch.equal(ours, theirs)


def test_ragged_values_are_those_of_transformers() -> None:
    module = pytest.importorskip("transformers.integrations.finegrained_fp8")
    if not hasattr(module, "_dequantize_fp8_weight"):
        pytest.skip("the installed transformers dequantises whole blocks alone")
    weight, scale = _float8(7, 200, 300), torch.rand(2, 3)
    theirs = module._dequantize_fp8_weight(weight, scale, [BLOCK, BLOCK], torch.float32)
    ours = _source({"a.weight": weight, "a.weight_scale_inv": scale}, dtype="float32").get("a.weight")
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("block", [(BLOCK, BLOCK), (64, 32), None])
@pytest.mark.parametrize("scale_fmt", ["float", "ue8m0"])
def test_layouts_that_transformers_allocates_are_read(block: tuple[int, int] | None, scale_fmt: str) -> None:
    from transformers import DeepseekV3Config
    from transformers.integrations.finegrained_fp8 import FP8Experts, FP8Linear

    config = DeepseekV3Config(hidden_size=200, moe_intermediate_size=64, n_routed_experts=3)
    linear = FP8Linear(200, 300, block_size=block, scale_fmt=scale_fmt)
    experts = FP8Experts(config, block_size=block, scale_fmt=scale_fmt)
    tensors = {}
    for path, module in (("linear", linear), ("experts", experts)):
        for name, value in module.named_parameters():
            of_scales = name.endswith("_scale_inv")
            filled = torch.full(value.shape, 2.0) if of_scales else torch.ones(value.shape)
            tensors[f"{path}.{name}"] = filled.to(value.dtype)
    source = _source(tensors, block)
    for name, shape in (
        ("linear.weight", (300, 200)),
        ("experts.gate_up_proj", (3, 128, 200)),
        ("experts.down_proj", (3, 200, 64)),
    ):
        assert _same(source.get(name), torch.full(shape, 2.0, dtype=torch.bfloat16))


def test_what_transformers_quantises_comes_back(tmp_path: Path) -> None:
    from transformers import FineGrainedFP8Config
    from transformers.integrations.finegrained_fp8 import Fp8Quantize

    class Quantizer:
        quantization_config = FineGrainedFP8Config()

    plain = torch.randn(3, 128, 256, generator=torch.Generator().manual_seed(8))
    stored = Fp8Quantize(Quantizer()).convert({"e.down_proj": plain})
    assert {name: value.dtype for name, value in stored.items()} == {
        "e.down_proj": torch.float8_e4m3fn, "e.down_proj_scale_inv": torch.float32,
    }  # fmt: skip
    found = _source(stored, dtype="float32").get("e.down_proj")
    largest = plain.abs().amax(dim=(1, 2)).max()
    assert float((found - plain).abs().max() / largest) < 2**-4
    assert not torch.equal(found, plain)


# --- as a source -----------------------------------------------------------------------------------


class Elsewhere:
    """Tensors from anywhere; notes what is read."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.read: list[list[str]] = []

    def names(self) -> frozenset[str]:
        return frozenset(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def get(self, name: str) -> torch.Tensor:
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> list[torch.Tensor]:
        self.read.append(list(names))
        return [self.tensors[name] for name in names]


def test_names_and_shapes_are_those_without_scales_and_nothing_else_is_read() -> None:
    tensors = {
        "a.weight": _float8(9, 4, 4), "a.weight_scale_inv": torch.ones(1, 1), "a.activation_scale": torch.ones(()),
        "b.weight": _float8(9, 4, 4), "b.weight_scale_inv": torch.ones(1, 1), "norm.weight": torch.ones(4),
    }  # fmt: skip
    inner = Elsewhere(tensors)
    source: TensorSource = dequantised("m", {"quantization_config": FP8}, inner)
    assert source.names() == {"a.weight", "b.weight", "norm.weight"}
    assert source.shape("a.weight") == (4, 4)
    assert inner.read == []
    a, norm = source.get_many(["a.weight", "norm.weight"])
    assert inner.read == [["a.weight", "norm.weight", "a.weight_scale_inv"]]  # together
    assert _same(a, tensors["a.weight"].bfloat16())
    assert norm is tensors["norm.weight"]
    for hidden in ("a.weight_scale_inv", "a.activation_scale", "c.weight"):
        for read in (source.get, source.shape):
            with pytest.raises(KeyError, match=hidden):
                read(hidden)


def test_experts_lie_one_behind_the_other() -> None:
    tensors = {f"{number}.weight": _float8(number, 6, 5) for number in range(3)}
    tensors |= {f"{name}_scale_inv": torch.full((1, 1), 2.0) for name in tensors} | {"other": torch.ones(2)}
    source = _source(tensors)
    found = source.get_many(["0.weight", "1.weight", "2.weight"])
    assert [part.data_ptr() - found[0].data_ptr() for part in found] == [0, 2 * 30, 4 * 30]
    assert all(_same(a, b) for a, b in zip(found, map(source.get, ("0.weight", "1.weight", "2.weight")), strict=True))
    assert [tuple(part.shape) for part in source.get_many(["other", "1.weight"])] == [(2,), (6, 5)]
    assert source.get_many([]) == []


def test_what_is_not_quantised_is_left_as_it_is() -> None:
    inner = MemorySource({})
    assert dequantised("m", {}, inner) is inner
    assert dequantised("m", {"quantization_config": None}, inner) is inner


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({}, torch.bfloat16),
        ({"torch_dtype": "float16"}, torch.float16),
        ({"dtype": "float32", "torch_dtype": "bfloat16"}, torch.float32),
    ],
)
def test_dtype_is_what_the_config_says(config: dict[str, Any], dtype: torch.dtype) -> None:
    inner = MemorySource({"a": _float8(10, 2, 2), "a_scale_inv": torch.ones(1, 1)})
    assert dequantised("m", config | {"quantization_config": FP8}, inner).get("a").dtype == dtype


# --- whole models ----------------------------------------------------------------------------------


def _in_blocks(plain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As such checkpoints are made: the largest of each block becomes 448."""
    rows, columns = plain.shape
    weight, scale = (
        torch.empty(rows, columns, dtype=torch.float8_e4m3fn),
        torch.empty(ceil(rows / BLOCK), ceil(columns / BLOCK)),
    )
    for i, j in product(range(scale.shape[0]), range(scale.shape[1])):
        at = slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK)
        scale[i, j] = plain[at].abs().max() / 448
        weight[at] = (plain[at] / scale[i, j]).to(torch.float8_e4m3fn)
    return weight, scale


def _is_quantised(name: str, tensor: torch.Tensor) -> bool:
    kept = ("embed_tokens", "lm_head", "norm", "mlp.gate.")
    return tensor.dim() == 2 and not any(part in name for part in kept)


def _drawn(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if "bias" in name:
            tensor.copy_(0.05 * noise)
        else:
            tensor.copy_(1 + 0.3 * noise if tensor.dim() == 1 else noise / tensor.shape[-1] ** 0.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small DeepSeek-V3 in fp8 as published, and its plain twin; no width is a whole number of blocks."""
    from transformers import AutoModelForCausalLM, DeepseekV3Config

    config = DeepseekV3Config(
        vocab_size=64, hidden_size=144, intermediate_size=160, moe_intermediate_size=136, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=2, n_routed_experts=4, num_experts_per_tok=2, n_group=2,
        topk_group=1, n_shared_experts=1, first_k_dense_replace=1, q_lora_rank=24, kv_lora_rank=16,
        qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, max_position_embeddings=64, dtype="bfloat16",
        bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    _drawn(model, 3)
    plain, quantised = (tmp_path_factory.mktemp(name) for name in ("plain", "fp8"))
    model.save_pretrained(plain, save_original_format=True)
    (file,) = plain.glob("*.safetensors")
    stored: Stored = {}
    twin: Stored = {}
    for name, tensor in load_file(file).items():
        if not _is_quantised(name, tensor):
            stored[name] = twin[name] = tensor
            continue
        weight, scale = stored[name], stored[f"{name}_scale_inv"] = _in_blocks(tensor.float())
        twin[name] = _by_loop(weight, scale, (BLOCK, BLOCK), torch.bfloat16)
    assert sum(name.endswith("_scale_inv") for name in stored) == 3 * 4 * 2 + 3 * 2 + 3 + 5 * 3
    save_file(stored, quantised / "model.safetensors")
    save_file(twin, file)
    said = json.loads((plain / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps(said | {"quantization_config": FP8}))
    return {"plain": plain, "fp8": quantised}


@pytest.fixture(scope="module")
def pair(folders: dict[str, Path]) -> tuple[Checkpoint, Checkpoint]:
    """Quantised and plain."""
    fp8, plain = (Checkpoint.open(folders[kind], "m") for kind in ("fp8", "plain"))
    return fp8, plain


def test_a_quantised_model_measures_as_its_plain_twin(pair: tuple[Checkpoint, Checkpoint]) -> None:
    fp8, plain = pair
    assert fp8.sha256 == plain.sha256
    assert fp8.names == plain.names
    assert fp8.config == plain.config
    ours, theirs = measure_weights(fp8).arrays(), measure_weights(plain).arrays()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_quantised_model_is_the_same_in_another_process(pair: tuple[Checkpoint, Checkpoint]) -> None:
    pickled = pickle.dumps(pair[0])
    again, (_, plain) = pickle.loads(pickled), pair
    assert len(pickled) < 20_000  # names of its tensors, no weights
    assert again.config == plain.config
    for layer in plain.moe_layers:
        for role in ("up", "act", "down"):
            assert torch.equal(again.matrix(layer, role), plain.matrix(layer, role))


def test_a_quantised_model_runs_as_its_plain_twin(pair: tuple[Checkpoint, Checkpoint]) -> None:
    texts = [(3, 4, 5, 6, 7, 8, 9), (10, 11, 12), tuple(range(20, 50))]
    batches = [pad(texts, *bounds, "cpu") for bounds in micro_batches(texts, tokens=30)]
    runs = [LayerwiseModel(checkpoint) for checkpoint in pair]
    assert not any("FP8" in type(module).__name__ for module in runs[0]._model.modules())
    for ours, theirs in zip(*(run.run(batches) for run in runs), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(runs[0].logits(ours), runs[1].logits(theirs))
    fp8, plain = (measure_routed(LayerwiseModel(checkpoint), texts).arrays() for checkpoint in pair)
    assert all(np.array_equal(fp8[name], plain[name]) for name in plain)


def test_a_quantised_model_has_a_fresh_control(pair: tuple[Checkpoint, Checkpoint]) -> None:
    control = random_control(OpenModel(ModelRef("m", "directory", "x"), pair[0], None, None, 64)).checkpoint
    assert control.matrix(1, "up").dtype == torch.float32
    assert LayerwiseModel(control).run([pad([[3, 4, 5]], 0, 1, "cpu")])[0].isfinite().all()


def test_the_command_line_measures_a_quantised_model(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moe_claims._util.progress._LINE_EVERY", float("inf"))  # on however slow a machine
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps([[3, 4, 5, 6], [7, 8, 9, 10, 11]]))
    found = {}
    for kind, folder in folders.items():
        output = tmp_path / f"{kind}.npz"
        assert main(["measure", str(folder), "--token-ids", str(ids), "--output", str(output)]) == 0
        with np.load(output, allow_pickle=False) as arrays:
            found[kind] = dict(arrays)
    assert capsys.readouterr().err == ""
    assert "router_logits" in found["plain"] and "matching.up.tau" in found["plain"]
    assert all(np.array_equal(found["fp8"][name], values) for name, values in found["plain"].items())


def test_a_quantised_dense_reference_is_its_plain_twin() -> None:
    sizes = {"hidden_size": 130, "intermediate_size": 140, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {"model_type": "mistral", "dtype": "float32", **sizes}
    stored: Stored = {}
    for role, shape in (("up", (140, 130)), ("gate", (140, 130)), ("down", (130, 140))):
        name = f"model.layers.0.mlp.{role}_proj.weight"
        stored[name], stored[f"{name}_scale_inv"] = _float8(11, *shape), torch.rand(2, 2)
    dense = DenseModel("d", config | {"quantization_config": FP8}, MemorySource(stored))
    name = "model.layers.0.mlp.gate_proj.weight"
    wanted = _by_loop(stored[name], stored[f"{name}_scale_inv"], (BLOCK, BLOCK), torch.float32)
    assert _same(dense.matrix(0, "act"), wanted)
    del stored[f"{name}_scale_inv"]
    plain = DenseModel("d", config, MemorySource(stored))
    assert _message(lambda: plain.matrix(0, "act")) == (
        f"'d' stores '{name}' in float8, but its config has no quantization_config, which says how to read it: take "
        "both from the same checkpoint"
    )


# --- mxfp4 -----------------------------------------------------------------------------------------


def _mxfp4(seed: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (*shape, 16), generator=generator).to(torch.uint8)
    return blocks, torch.randint(118, 124, shape, generator=generator).to(torch.uint8)


def test_mxfp4_number_by_number() -> None:
    # Every byte under every power of two that is a number.
    blocks = torch.arange(256, dtype=torch.uint8).view(1, 16, 1, 16).repeat(1, 255, 1, 1)
    scales = torch.arange(255, dtype=torch.uint8).repeat_interleave(16).view(1, -1, 1)
    found = Mxfp4Source("m", MemorySource({"x_blocks": blocks, "x_scales": scales}), "float32").get("x")
    sizes = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    wanted = np.empty((16 * 255, 32))
    for row, byte in product(range(16 * 255), range(16)):
        packed = 16 * (row % 16) + byte
        for place, four in enumerate((packed & 15, packed >> 4)):
            wanted[row, 2 * byte + place] = (-1 if four & 8 else 1) * sizes[four & 7] * 2.0 ** (row // 16 - 127)
    fits = np.abs(wanted) <= np.finfo(np.float32).max
    assert np.array_equal(found[0].T.double().numpy()[fits], wanted[fits])
    assert fits.mean() > 0.99


def test_mxfp4_is_what_transformers_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = _mxfp4(1, 3, 40, 5)
    inner = Elsewhere({"x_blocks": blocks, "x_scales": scales, "bias": torch.ones(2)})
    source = Mxfp4Source("m", inner, "bfloat16")
    assert source.names() == {"x", "bias"}
    assert source.shape("x") == (3, 160, 40)
    assert source.shape("bias") == (2,)
    assert inner.read == []
    theirs = convert_moe_packed_tensors(blocks, scales)
    x, bias = source.get_many(["x", "bias"])
    assert _same(x, theirs)
    assert bias.tolist() == [1, 1]
    assert inner.read == [["x_blocks", "x_scales", "bias"]]
    monkeypatch.setattr("moe_claims.models.storage.quantised._AT_ONCE", 500)  # in strips
    assert _same(source.get("x"), theirs)
    with pytest.raises(KeyError, match="x_blocks"):
        source.get("x_blocks")


def test_a_packed_gpt_oss_measures_and_runs_as_its_plain_twin() -> None:
    from transformers import AutoModelForCausalLM, GptOssConfig
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    config = GptOssConfig(
        vocab_size=64, hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=64,
        sliding_window=8, dtype="bfloat16", tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 150000.0},
    )  # fmt: skip
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    _drawn(model, 5)
    plain, packed = {name: tensor.clone() for name, tensor in model.state_dict().items()}, {}
    for number, name in enumerate([name for name in plain if name.endswith(("gate_up_proj", "down_proj"))]):
        experts, columns, rows = plain[name].shape
        blocks, scales = _mxfp4(number, experts, rows, columns // 32)
        plain[name] = convert_moe_packed_tensors(blocks, scales)
        packed |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    stored = {name: tensor for name, tensor in plain.items() if f"{name}_blocks" not in packed} | packed
    assert len(packed) == 2 * 2 * 2
    said = json.loads(json.dumps(config.to_dict()))
    ours = Checkpoint("m", said | {"quantization_config": MXFP4}, MemorySource(stored))
    theirs = Checkpoint("m", said, MemorySource(plain))
    assert ours.sha256 == theirs.sha256
    assert ours.config == theirs.config
    texts = [(3, 4, 5, 6, 7, 8, 9), (10, 11, 12)]
    found, wanted = (measure_routed(LayerwiseModel(checkpoint), texts).arrays() for checkpoint in (ours, theirs))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


# --- what cannot be read ---------------------------------------------------------------------------

UNQUANTISED = "give the checkpoint in bfloat16, float16 or float32 that it was made from"


@pytest.mark.parametrize(
    ("said", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "modelopt"}, "modelopt"),
        ({"quant_method": "mxfp4"}, "mxfp4"),  # of another family than GPT-OSS
        ({"bits": 4}, "unknown"),
        (["fp8"], "unknown"),
        ("fp8", "unknown"),
    ],
)
def test_other_quantisation_is_refused(said: Any, method: str, config_of: Any) -> None:
    config = config_of("mixtral") | {"quantization_config": said}
    assert _message(lambda: Checkpoint("m", config, MemorySource({}))) == (
        f"'m' is quantised (quant_method '{method}'), which cannot be read: {UNQUANTISED}, or one in fp8 with scales "
        "for blocks"
    )


@pytest.mark.parametrize(
    ("changed", "config", "message"),
    [
        ({"fmt": "e5m2"}, {}, f"'m' is quantised to fp8 with fmt 'e5m2', and only 'e4m3' can be read: {UNQUANTISED}"),
        (
            {"expert_dtype": "fp4"},
            {},
            f"'m' is quantised to fp8 with expert_dtype 'fp4', and only 'fp8' can be read: {UNQUANTISED}",
        ),
        *(
            (
                {"weight_block_size": size},
                {},
                f"'m' is quantised with weight_block_size {size}: it is two whole numbers, or null",
            )
            for size in ([128], [128, 0], [128.0, 128], 128, [True, 128], [])
        ),
        (
            {},
            {"torch_dtype": "float8_e4m3fn"},
            "the config of quantised 'm' has dtype 'float8_e4m3fn': it must be one of bfloat16, float16, float32",
        ),
    ],
)
def test_fp8_that_is_not_read(changed: dict[str, Any], config: dict[str, Any], message: str) -> None:
    said = config | {"quantization_config": FP8 | changed}
    assert _message(lambda: dequantised("m", said, MemorySource({}))) == message


def _damaged(**changed: torch.Tensor | None) -> Stored:
    tensors = {"a.weight": _float8(12, 200, 300), "a.weight_scale_inv": torch.ones(2, 3)}
    named = {"weight": "a.weight", "scale": "a.weight_scale_inv"}
    tensors |= {named[key]: tensor for key, tensor in changed.items() if tensor is not None}
    return {name: t for name, t in tensors.items() if changed.get("scale", t) is not None or "scale" not in name}


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (1, 1), (6,), (), (1, 2, 3)])
def test_scale_of_another_shape(shape: tuple[int, ...]) -> None:
    source = _source(_damaged(scale=torch.ones(shape)))
    assert _message(lambda: source.get("a.weight")) == (
        f"'m' stores 'a.weight_scale_inv' as {shape}, but for 'a.weight' (200, 300) blocks of 128 × 128 ask for "
        "(2, 3): config and weights do not belong together"
    )


def test_scale_of_another_shape_where_one_is_expected() -> None:
    source = _source(_damaged(), None)
    assert _message(lambda: source.get("a.weight")) == (
        "'m' stores 'a.weight_scale_inv' as (2, 3), but for 'a.weight' (200, 300) one scale asks for (), (1,) or "
        "(1, 1): config and weights do not belong together"
    )


def test_halves_that_could_be_read_in_two_ways() -> None:
    source = _source({"x.gate_up_proj": _float8(13, 2, 400, 64), "x.gate_up_proj_scale_inv": torch.ones(2, 4, 1)})
    assert _message(lambda: source.get("x.gate_up_proj")) == (
        "'m' stores 'x.gate_up_proj' (2, 400, 64) with scales (2, 4, 1), which fit blocks of the whole and of "
        f"its two halves alike: {UNQUANTISED}, or one with a tensor for each expert"
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_scale_that_is_no_number(number: float) -> None:
    scale = torch.ones(2, 3)
    scale[1, 2] = number
    expected = "'m' has NaN or infinite scales in the tensor 'a.weight_scale_inv': it cannot be measured"
    assert _message(lambda: _source(_damaged(scale=scale)).get("a.weight")) == expected
    powers = torch.full((2, 3), 255, dtype=torch.uint8)  # the one that e8m0 keeps for NaN
    assert _message(lambda: _source(_damaged(scale=powers)).get("a.weight")) == expected


def test_weight_that_is_no_number_is_told_as_in_any_checkpoint(folders: dict[str, Path]) -> None:
    stored = load_file(folders["fp8"] / "model.safetensors")
    name = "model.layers.1.mlp.experts.2.up_proj.weight"
    stored[name].view(torch.uint8)[5, 6] = 0x7F
    config = json.loads((folders["fp8"] / "config.json").read_text())
    checkpoint = Checkpoint("m", config, MemorySource(stored))
    expected = f"'m' has NaN or infinite weights in the tensor '{name}': it cannot be measured"
    assert _message(lambda: checkpoint.matrix(1, "up")) == expected
    del stored[name]
    expected = f"'m' lacks the tensor '{name}': is the checkpoint complete?"
    assert _message(lambda: Checkpoint("m", config, MemorySource(stored)).matrix(1, "up")) == expected


def test_missing_scale() -> None:
    assert _message(lambda: _source(_damaged(scale=None)).get("a.weight")) == (
        "'m' stores 'a.weight' as float8_e4m3fn, but lacks 'a.weight_scale_inv': is the checkpoint complete?"
    )


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e5m2, torch.bfloat16])
def test_scaled_tensor_of_another_dtype(dtype: torch.dtype) -> None:
    said = str(dtype).removeprefix("torch.")
    expected = f"'m' stores 'a.weight' as {said}, not as float8_e4m3fn: {UNQUANTISED}"
    assert _message(lambda: _source(_damaged(weight=torch.ones(200, 300).to(dtype))).get("a.weight")) == expected


def test_float8_of_the_other_kind_without_a_scale() -> None:
    source = _source({"a": torch.ones(2).to(torch.float8_e5m2)})
    assert _message(lambda: source.get("a")) == f"'m' stores 'a' as float8_e5m2, not as float8_e4m3fn: {UNQUANTISED}"


def test_scales_that_are_packed_in_words() -> None:
    source = _source(_damaged(scale=torch.ones(2, 3, dtype=torch.int32)))
    assert _message(lambda: source.get("a.weight")) == (
        "'m' stores 'a.weight_scale_inv' as int32: scales are float32, bfloat16, float16 or e8m0"
    )


def test_scaled_tensor_without_rows() -> None:
    source = _source({"a": _float8(14, 8), "a_scale_inv": torch.ones(1)})
    assert _message(lambda: source.get("a")) == "'m' stores 'a' (8,) as float8_e4m3fn: it has no rows and columns"


def test_float8_that_no_config_explains(folders: dict[str, Path]) -> None:
    config = json.loads((folders["plain"] / "config.json").read_text())
    checkpoint = Checkpoint("m", config, MemorySource(load_file(folders["fp8"] / "model.safetensors")))
    assert _message(lambda: measure_weights(checkpoint)) == (
        "'m' stores 'model.layers.1.mlp.experts.0.up_proj.weight' in float8, but its config has no "
        "quantization_config, which says how to read it: take both from the same checkpoint"
    )


def test_mxfp4_that_is_damaged() -> None:
    blocks, scales = _mxfp4(2, 2, 4, 3)

    def read(**changed: torch.Tensor) -> object:
        return Mxfp4Source("m", MemorySource({"x_blocks": blocks, "x_scales": scales} | changed), "bfloat16").get("x")

    assert _message(lambda: Mxfp4Source("m", MemorySource({"x_blocks": blocks}), "bfloat16")) == (
        "'m' has 'x_blocks', but lacks 'x_scales': is the checkpoint complete?"
    )
    assert _message(lambda: read(x_scales=scales[:, :, :2])) == (
        "'m' stores 'x_blocks' as (2, 4, 3, 16) and 'x_scales' as (2, 4, 2): one scale is expected for every 16 bytes; "
        "is the checkpoint damaged?"
    )
    assert "as (2, 4, 3, 8) and" in _message(lambda: read(x_blocks=blocks[..., :8]))
    assert _message(lambda: read(x_blocks=blocks.to(torch.int32))) == "'m' stores 'x_blocks' as int32: it must be uint8"
    damaged = scales.clone()
    damaged[1, 2, 1] = 255
    expected = "'m' has NaN or infinite scales in the tensor 'x_scales': it cannot be measured"
    assert _message(lambda: read(x_scales=damaged)) == expected
