"""Dense references: what is read of them, which are refused, and what they fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from moe_claims.errors import ModelError, MoeClaimsError, NotComparableError, UsageError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import MODEL_TYPES, DenseModel, activation_of, open_dense
from moe_claims.models.families.table import ROLES
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WANTS = "--moe-dense-reference takes a dense SwiGLU model of the shape of the MoE's experts"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """model_type → folder of a tiny dense model, as transformers saves it."""
    made: dict[str, Path] = {}

    def save(model_type: str) -> Path:
        if model_type not in made:
            torch.manual_seed(4)
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **SIZES), dtype=torch.float32)
            made[model_type] = tmp_path_factory.mktemp("dense")
            model.save_pretrained(made[model_type])
        return made[model_type]

    return save


def _in_memory(name: str = "d", **config: Any) -> DenseModel:
    """A model of zeros, for what does not look at weights."""
    return DenseModel(name, {"model_type": "mistral", **SIZES, **config}, MemorySource({}))


def _message(make: Callable[[], object], kind: type[MoeClaimsError] = ModelError) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_family_is_read_by_role(model_type: str, folder_of: Callable[[str], Path]) -> None:
    folder = folder_of(model_type)
    dense = open_dense(resolve(str(folder)))
    block = AutoModelForCausalLM.from_pretrained(folder).model.layers[1].mlp
    hidden = torch.randn(5, 16)
    up, act, down = (dense.matrix(1, role) for role in ROLES)
    assert up.shape == act.shape == (12, 16)
    assert down.shape == (16, 12)
    inner = torch.nn.functional.silu(hidden @ act.T) * (hidden @ up.T)
    with torch.no_grad():
        np.testing.assert_allclose(
            inner @ down.T, block(hidden), atol=1e-6
        )  # the roles are those that transformers runs
    assert (dense.layers, dense.hidden, dense.intermediate) == (2, 16, 12)


def test_identity_is_that_of_the_weights_and_of_nothing_else(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folder_of("mistral")
    identity = open_dense(resolve(str(folder))).identity
    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(sharded, max_shard_size="3KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert open_dense(resolve(str(sharded))).identity == identity
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    weights["model.embed_tokens.weight"] += 1  # no part of any comparison
    assert DenseModel("d", config, MemorySource(weights)).identity == identity
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] += 1
    assert DenseModel("d", config, MemorySource(weights)).identity != identity


def test_a_model_of_the_hub_is_known_by_its_revision(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--mistralai--Mistral-7B-v0.1"
    shutil.copytree(folder_of("mistral"), repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    dense = open_dense(resolve("mistral-7b"))
    assert dense.name == "mistral-7b"
    assert dense.identity == "mistralai/Mistral-7B-v0.1@0123abc"
    assert dense.matrix(0, "up").shape == (12, 16)


def test_synthetic_dense_model_fits_its_moe() -> None:
    sizes = "seed=5&layers=2&experts=3&hidden=16&intermediate=12"
    dense = open_dense(resolve(f"synthetic:dense?{sizes}"))
    moe = open_model(resolve(f"synthetic:planted?{sizes}")).checkpoint
    dense.check_fits(moe)
    assert dense.fits(moe)
    assert dense.identity == open_dense(resolve(f"synthetic:dense?{sizes}")).identity
    assert dense.identity != open_dense(resolve(f"synthetic:dense?{sizes.replace('5', '6')}")).identity


# --- what fits -------------------------------------------------------------------------------------


def _moe(tiny_configs: Any, name: str = "mixtral", **changed: Any) -> Checkpoint:
    router = torch.zeros(4, 16)
    return Checkpoint("m", {**tiny_configs[name], **changed}, MemorySource({"model.layers.0.mlp.gate.weight": router}))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 3}, "3 layers, d = 16, m = 12, silu"),
        ({"hidden_size": 32}, "2 layers, d = 32, m = 12, silu"),
        ({"intermediate_size": 10}, "2 layers, d = 16, m = 10, silu"),
        ({"hidden_act": "gelu"}, "2 layers, d = 16, m = 12, gelu"),
    ],
)
def test_another_shape_is_not_comparable(tiny_configs: Any, config: dict[str, Any], said: str) -> None:
    dense, moe = _in_memory(**config), _moe(tiny_configs)
    expected = f"'d' ({said}) has not the shape of the experts of 'm' (2 layers, d = 16, m = 12, silu)"
    assert _message(lambda: dense.check_fits(moe), NotComparableError) == expected
    assert not dense.fits(moe)


def test_experts_of_their_own_size_are_what_is_compared(tiny_configs: Any) -> None:
    moe = _moe(tiny_configs, "qwen3_moe")  # its intermediate_size is that of dense layers
    assert not _in_memory().fits(moe)
    assert _in_memory(intermediate_size=10).fits(moe)


def test_two_names_of_one_activation_fit(tiny_configs: Any) -> None:
    assert activation_of({"hidden_act": "swish"}) == activation_of({}) == "silu"
    assert _in_memory(hidden_act="swish").fits(_moe(tiny_configs, hidden_act="silu"))


def test_an_activation_that_no_config_names_is_that_of_the_family() -> None:
    grok = open_model(resolve("tiny-gelu")).checkpoint
    assert "hidden_act" not in grok.config
    dense = open_dense(resolve("tiny-dense"))
    expected = (
        "'tiny-dense' (12 layers, d = 96, m = 96, silu) has not the shape of the experts of 'tiny-gelu' (12 layers, "
        "d = 96, m = 96, gelu)"
    )
    assert _message(lambda: dense.check_fits(grok), NotComparableError) == expected
    assert dense.fits(open_model(resolve("tiny-upcycled")).checkpoint)


# --- what is refused -------------------------------------------------------------------------------


def test_an_moe_is_no_dense_reference(saved: Callable[..., Path]) -> None:
    folder = saved("mixtral")
    expected = f"'{folder}' is a mixture of experts (model_type 'mixtral'): {WANTS}"
    assert _message(lambda: open_dense(resolve(str(folder)))) == expected
    assert _message(lambda: open_dense(resolve("synthetic:planted"))) == (
        f"'synthetic:planted' is a mixture of experts: {WANTS}"
    )


def test_unknown_families_and_gaps_are_said() -> None:
    assert _message(lambda: _in_memory(model_type="gpt2")) == (
        "'d' has model_type 'gpt2', which cannot be read as a dense model yet: mistral, llama, qwen2, qwen3 can"
    )
    assert _message(lambda: _in_memory(intermediate_size=None)) == "the config of 'd' does not say intermediate_size"
    assert _message(lambda: _in_memory().matrix(0, "act")) == (
        "'d' lacks the tensor 'model.layers.0.mlp.gate_proj.weight': is the checkpoint complete?"
    )


@pytest.mark.parametrize("leaf", ["gate_proj", "up_proj", "down_proj"])
def test_biases_are_refused(leaf: str) -> None:
    source = MemorySource({f"model.layers.0.mlp.{leaf}.bias": torch.zeros(12)})
    expected = f"the feed-forward blocks of 'd' have biases: {WANTS}, which have none"
    assert _message(lambda: DenseModel("d", {"model_type": "llama", **SIZES}, source)) == expected


def test_damaged_weights_are_said(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(folder_of("mistral"), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 3] = torch.nan
    weights["model.layers.1.mlp.up_proj.weight"] = torch.zeros(13, 16)
    save_file(weights, folder / "model.safetensors")
    dense = open_dense(resolve(str(folder)))
    assert _message(lambda: dense.matrix(0, "up")) == (
        f"'{folder}' has NaN or infinite weights in the tensor 'model.layers.0.mlp.up_proj.weight'"
    )
    assert _message(lambda: dense.matrix(1, "up")) == (
        f"'{folder}' stores 'model.layers.1.mlp.up_proj.weight' as (13, 16), but its config asks for (12, 16): "
        "config and weights do not belong together"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no config.json"), ("{", "is not valid JSON"), ("[]", "holds no JSON object")],
)
def test_folders_without_a_configuration(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert message in _message(lambda: open_dense(resolve(str(tmp_path))))


def test_pickled_weights_are_never_loaded(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(folder_of("llama") / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert "holds pickled weights (pytorch_model.bin), which are never loaded" in _message(
        lambda: open_dense(resolve(str(tmp_path)))
    )


def test_options_of_a_synthetic_dense_model_are_checked() -> None:
    with pytest.raises(UsageError, match=r"^synthetic:dense has no option 'colour'"):
        open_dense(resolve("synthetic:dense?colour=1"))
