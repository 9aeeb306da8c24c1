"""Reading by role: both layouts are one model, and every fault has its line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from moe_claims.errors import ModelError
from moe_claims.measure.weights import measure_weights
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import FAMILIES, ROLES, Role
from moe_claims.models.storage.tensor_source import MemorySource

LAYOUTS = ("original", "original-sharded", "fused", "fused-sharded")
NAMES = ("mixtral", "olmoe", "qwen3_moe", "qwen3_moe with a dense layer")


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_layouts_under_test_really_differ(name: str, weights_on_disk: Any, saved: Any) -> None:
    original, fused = weights_on_disk(name), weights_on_disk(name, layout="fused")
    assert not any("gate_up_proj" in key for key in original)
    assert any(".experts.0." in key for key in original)
    assert "model.layers.0.mlp.experts.gate_up_proj" in fused
    assert not any(".experts.0." in key for key in fused)
    for layout in LAYOUTS:
        files = list(saved(name, False, layout).glob("*.safetensors"))
        assert len(files) > 1 if layout.endswith("sharded") else len(files) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_roles_are_the_tensors_of_the_hub(
    name: str, layout: str, saved: Any, weights_on_disk: Any, tiny_configs: Any
) -> None:
    checkpoint = Checkpoint.open(saved(name, False, layout), name)
    stored, row, config = weights_on_disk(name), checkpoint.family, tiny_configs[name]
    experts = config.get("num_experts", config.get("num_local_experts"))
    assert checkpoint.moe_layers == ((0, 2) if "dense layer" in name else (0, 1))
    assert checkpoint.experts == experts
    assert checkpoint.top_k == config["num_experts_per_tok"]
    for layer in checkpoint.moe_layers:
        block = f"model.layers.{layer}.{row.routers[0].partition('.')[0]}"
        assert torch.equal(checkpoint.router(layer), stored[f"{block}.gate.weight"])
        for role in ROLES:
            wanted = [stored[f"{block}.experts.{e}.{row.matrix(role)}.weight"] for e in range(experts)]
            assert torch.equal(checkpoint.matrix(layer, role), torch.stack(wanted))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_layouts_have_one_hash_and_one_measurement(name: str, tied: bool, saved: Any) -> None:
    checkpoints = [Checkpoint.open(saved(name, tied, layout), name) for layout in LAYOUTS]
    assert len({checkpoint.sha256 for checkpoint in checkpoints}) == 1
    first, *others = [measure_weights(checkpoint).arrays() for checkpoint in checkpoints]
    for other in others:
        assert other.keys() == first.keys()
        assert all((other[key] == first[key]).all() for key in first)


def test_hash_is_documented_by_an_independent_computation(weights_on_disk: Any, config_of: Any) -> None:
    stored = weights_on_disk("mixtral")
    digest = hashlib.sha256()

    def add(label: str, tensor: torch.Tensor) -> None:
        digest.update(f"{label} torch.float32 {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())

    labels = {name.replace("block_sparse_moe", "moe"): name for name in stored if ".experts." not in name}
    for label in sorted(labels):
        add(label, stored[labels[label]])
    for layer in (0, 1):
        for role, tensor in (("up", "w3"), ("act", "w1"), ("down", "w2")):
            prefix = f"model.layers.{layer}.block_sparse_moe.experts"
            add(f"{layer} {role}", torch.stack([stored[f"{prefix}.{e}.{tensor}.weight"] for e in range(4)]))
    assert Checkpoint("m", config_of("mixtral"), MemorySource(stored)).sha256 == digest.hexdigest()


@pytest.mark.parametrize("changed", ["lm_head.weight", "model.layers.1.block_sparse_moe.experts.3.w2.weight"])
def test_hash_sees_every_weight(changed: str, weights_on_disk: Any, config_of: Any) -> None:
    stored = weights_on_disk("mixtral")
    before = Checkpoint("m", config_of("mixtral"), MemorySource(stored)).sha256
    stored[changed] = stored[changed].clone()
    stored[changed][-1, -1] += 1e-3
    assert Checkpoint("m", config_of("mixtral"), MemorySource(stored)).sha256 != before


def test_bfloat16_is_read_and_hashed_as_it_is(weights_on_disk: Any, config_of: Any) -> None:
    hashes = set()
    for layout in ("original", "fused"):
        halved = {key: tensor.bfloat16() for key, tensor in weights_on_disk("mixtral", layout=layout).items()}
        checkpoint = Checkpoint("m", config_of("mixtral"), MemorySource(halved))
        assert checkpoint.matrix(0, "up").dtype == torch.bfloat16
        hashes.add(checkpoint.sha256)
    assert len(hashes) == 1
    assert hashes != {Checkpoint("m", config_of("mixtral"), MemorySource(weights_on_disk("mixtral"))).sha256}


def test_folder_without_config(tmp_path: Path) -> None:
    expected = f"'{tmp_path}' has no config.json: give the folder of a saved model"
    assert _message(lambda: Checkpoint.open(tmp_path, "m")) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"", "is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"a": "\xff"}', "is not valid JSON: 'utf-8' codec can't decode byte 0xff in position 7: invalid start byte"),
        (b'{"a": {"b": 1, "b": 2}}', "is not valid JSON: the key 'b' stands in it twice"),
        (b'{"a":' * 100_000, "is not valid JSON: it is nested too deeply"),
        (b"[1]", "is not the configuration of a model: it holds no JSON object"),
    ],
)
def test_config_that_is_none(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert _message(lambda: Checkpoint.open(tmp_path, "m")) == f"'{tmp_path / 'config.json'}' {message}"


def test_dense_and_unknown_models_are_told_before_their_weights_are_looked_for(tmp_path: Path) -> None:
    from transformers import MistralConfig

    MistralConfig().save_pretrained(tmp_path)
    expected = "'m' is a dense model (model_type 'mistral', no experts in its config): give an MoE"
    assert _message(lambda: Checkpoint.open(tmp_path, "m")) == expected
    (tmp_path / "config.json").write_text('{"model_type": "newmoe", "num_local_experts": 8}')
    assert _message(lambda: Checkpoint.open(tmp_path, "m")).startswith(
        "'m' has model_type 'newmoe', which cannot be read yet: "
    )


@pytest.mark.parametrize("promised", [True, False])
def test_layers_that_predict_further_tokens_are_none_of_the_model(
    promised: bool, weights_on_disk: Any, config_of: Any
) -> None:
    # DeepSeek-V3 and GLM-4.5 store them behind the last layer; transformers leaves them out.
    stored, config = weights_on_disk("mixtral"), config_of("mixtral") | {"num_nextn_predict_layers": int(promised)}
    stored |= {name.replace("layers.1.", "layers.2."): value for name, value in stored.items() if "layers.1." in name}
    assert Checkpoint("m", config, MemorySource(stored)).moe_layers == ((0, 1) if promised else (0, 1, 2))


def test_missing_shard_of_a_real_checkpoint(copied: Callable[..., Path]) -> None:
    folder = copied("mixtral", "original-sharded")
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    (folder / shards[1]).unlink()
    expected = f"'{folder}' lacks shard {shards[1]} of the {len(shards)} in its index: download it again"
    assert _message(lambda: Checkpoint.open(folder, "m")) == expected


@pytest.mark.parametrize("layout", ["original", "fused"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(number: float, layout: str, copied: Callable[..., Path]) -> None:
    folder = copied("mixtral", layout)
    stored = load_file(folder / "model.safetensors")
    expert = "model.layers.1.block_sparse_moe.experts.2.w2.weight"
    name = expert if layout == "original" else "model.layers.1.mlp.experts.down_proj"
    stored[name].view(-1)[-1] = number
    save_file(stored, folder / "model.safetensors")
    checkpoint = Checkpoint.open(folder, "m")
    expected = f"'m' has NaN or infinite weights in the tensor '{name}': it cannot be measured"
    assert _message(lambda: measure_weights(checkpoint)) == expected
    assert _message(lambda: checkpoint.sha256) == expected
    assert checkpoint.matrix(0, "down").isfinite().all()  # other layers are unharmed


@pytest.mark.parametrize("role", ROLES)
def test_missing_tensor_is_named(role: Role, weights_on_disk: Any, config_of: Any) -> None:
    stored = weights_on_disk("olmoe")
    name = f"model.layers.1.mlp.experts.3.{FAMILIES['olmoe'].matrix(role)}.weight"
    del stored[name]
    checkpoint = Checkpoint("m", config_of("olmoe"), MemorySource(stored))
    expected = f"'m' lacks the tensor '{name}': is the checkpoint complete?"
    assert _message(lambda: measure_weights(checkpoint)) == expected


def test_tensor_that_only_the_index_has(copied: Callable[..., Path]) -> None:
    folder = copied("mixtral", "original-sharded")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    other = next(s for s in set(index["weight_map"].values()) if s != index["weight_map"]["lm_head.weight"])
    index["weight_map"]["lm_head.weight"] = other
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    expected = "'m' lacks the tensor 'lm_head.weight': is the checkpoint complete?"
    assert _message(lambda: Checkpoint.open(folder, "m").get("lm_head.weight")) == expected


def test_checkpoint_without_any_router(config_of: Any) -> None:
    assert _message(lambda: Checkpoint("m", config_of("mixtral"), MemorySource({"lm_head.weight": torch.ones(1)}))) == (
        "'m' has no tensor that names a router of the mixtral family (such as 'model.layers.0.mlp.gate.weight'): "
        "is it a complete checkpoint?"
    )


def test_config_without_top_k(config_of: Any, weights_on_disk: Any) -> None:
    config = config_of("mixtral")
    del config["num_experts_per_tok"]
    checkpoint = Checkpoint("m", config, MemorySource(weights_on_disk("mixtral")))
    assert (
        _message(lambda: checkpoint.top_k)
        == "the config of 'm' does not give num_experts_per_tok as one whole number for all layers"
    )


def test_experts_of_different_shapes(config_of: Any, weights_on_disk: Any) -> None:
    stored = weights_on_disk("mixtral")
    stored["model.layers.1.block_sparse_moe.experts.2.w1.weight"] = torch.ones(7, 16)
    checkpoint = Checkpoint("m", config_of("mixtral"), MemorySource(stored))
    assert _message(lambda: measure_weights(checkpoint)) == (
        "'m' has experts of different shapes in layer 1 (act: (7, 16) and (12, 16)): is the checkpoint damaged?"
    )


@pytest.mark.parametrize(
    ("said", "alone"),
    [
        ({}, False),
        ({"rope_scaling": None}, False),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, False),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, True),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, True),
        ({"rope_parameters": {"full_attention": {"rope_type": "dynamic"}}}, True),
    ],
)
def test_sequences_whose_length_sets_their_rotation_run_one_by_one(
    said: dict[str, Any], alone: bool, weights_on_disk: Any, config_of: Any
) -> None:
    checkpoint = Checkpoint("m", config_of("mixtral") | said, MemorySource(weights_on_disk("mixtral")))
    assert checkpoint.alone == alone


def test_quantisation_may_be_said_of_the_decoder_alone() -> None:
    config = {
        "model_type": "kimi_k25",
        "text_config": {"model_type": "deepseek_v3", "quantization_config": {"quant_method": "compressed-tensors"}},
    }
    assert _message(lambda: Checkpoint("m", config, MemorySource({}))).startswith(
        "'m' is quantised (quant_method 'compressed-tensors'), which cannot be read: "
    )
    config["text_config"] = {"model_type": "deepseek_v3", "quantization_config": None, "hidden_size": 2}
    router = {"language_model.model.layers.0.mlp.gate.weight": torch.zeros(3, 2)}
    checkpoint = Checkpoint("m", config, MemorySource(router))
    assert checkpoint.config["text_config"] == {"model_type": "deepseek_v3", "hidden_size": 2}
    assert (checkpoint.experts, checkpoint.text_config["hidden_size"]) == (3, 2)
