"""Small random models of every family of the table, made by transformers' own classes, and a hub on this machine."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import own
from moe_claims.models.families.table import FAMILIES
from moe_claims.models.forward.experts_adapters import ADAPTERS

EXPERTS, TOP_K = 8, 2
SIZES: dict[str, Any] = {
    # What every config class calls its sizes; a model takes those that it knows.
    "vocab_size": 128, "unpadded_vocab_size": 120, "max_position_embeddings": 128,
    "hidden_size": 32, "num_hidden_layers": 4,
    "intermediate_size": 24, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_heads": 4, "linear_head_dim": 8, "mamba_dt_rank": 4, "mamba_expand": 2,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8,
    "index_n_heads": 2, "index_head_dim": 8, "index_topk": 8, "sliding_window": 16, "chunk_size": 8,
    "num_local_experts": EXPERTS, "num_experts": EXPERTS, "n_routed_experts": EXPERTS, "moe_num_experts": EXPERTS,
    "num_experts_per_tok": TOP_K, "moe_topk": TOP_K, "moe_k": TOP_K, "top_k_experts": TOP_K,
    "n_group": 2, "topk_group": 1,
    "n_shared_experts": 1, "num_shared_experts": 1, "moe_num_shared_experts": 1,
    "first_k_dense_replace": 1, "num_dense_layers": 1, "moe_layer_start_index": 1,
    "layer_types": None, "mlp_layer_types": None,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TOWER: dict[str, Any] = {
    # Of parts that a text never reaches.
    "depth": 1, "num_hidden_layers": 1, "n_layers": 1, "hidden_size": 16, "intermediate_size": 16,
    "num_heads": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8,
    "adapter_in_dim": 16, "adapter_input_size": 16, "adapter_out_dim": 32, "out_hidden_size": 32,
    "text_hidden_size": 32, "num_position_embeddings": 16, "max_image_size": 64,
    "output_channels": 16, "downsample_channels": [16, 16],
}  # fmt: skip
_ONE_DENSE = ["dense", "sparse", "sparse", "sparse"]
_ROTARY = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
_DOTS3 = {
    "head_dim": 16, "shared_experts_intermediate_size": 16, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 4,
    "swa_head_dim": 16, "swa_qk_nope_head_dim": 8, "swa_v_head_dim": 8, "swa_q_lora_rank": 8, "swa_kv_lora_rank": 8,
}  # fmt: skip
_GEMMA4 = {
    "layer_types": ["sliding_attention", "full_attention"] * 2, "enable_moe_block": True, "global_head_dim": 8,
    "num_kv_shared_layers": 1, "vocab_size_per_layer_input": 128, "hidden_size_per_layer_input": 8,
}  # fmt: skip
_INKLING2_LOOP = {
    "n_layers_per_attn_res_block": 1, "loop_layer_index_start": 1, "loop_layer_index_end": 3, "loop_gate_rank": 4,
}  # fmt: skip
_QWEN4 = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8,
    "indexer_compress_ratio": 4, "ple_layer_ids": [2], "ple_embed_dim": 16, "ngram_vocab_size_base": 50,
    "heads_per_ngram": 2, "split_ngram_parts": 2, "hc_lowrank": 8,
}  # fmt: skip
OF_THEIR_OWN: dict[str, dict[str, Any]] = {
    "dbrx": {
        "d_model": 32, "n_heads": 4, "n_layers": 4, "max_seq_len": 128,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 0.8},
        "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": EXPERTS, "moe_top_k": TOP_K},
    },
    "deepseek_ocr2": {"text_config": {"mlp_layer_types": _ONE_DENSE}},
    "deepseek_v4": {"mlp_layer_types": ["hash_moe", "hash_moe", "moe", "moe"]},
    "dots3_note": {"text_config": _DOTS3, "vision_config": {"per_layer_config": {}}},
    "dots3_note_text": _DOTS3,
    "ernie4_5_vl_moe": {
        "text_config": {"moe_intermediate_size": [16, 12], "rope_parameters": _ROTARY | {"mrope_section": [1, 1, 2]}},
    },
    "gemma4": {"text_config": _GEMMA4},
    "gemma4_text": _GEMMA4,
    "glm4v_moe": {"text_config": {"rope_parameters": _ROTARY | {"mrope_section": [2, 1, 1]}}},
    "glm5_next": {
        "text_config": {
            "layer_types": ["linear_attention", "indexed_attention"] * 2, "mlp_layer_types": _ONE_DENSE,
            "qk_rope_head_dim": 0, "head_dim": 0, "index_kpool": 4,
        },
    },
    # Far from 1 each, and attention logits that reach the bound of their tanh.
    "grok-1": {
        "attn_output_multiplier": 0.6, "max_attn_value": 1.5, "embedding_multiplier_scale": 5.7,
        "output_multiplier_scale": 0.6,
    },
    "hy_v4_vl": {"text_config": {"rope_parameters": _ROTARY | {"mrope_section": [2, 1, 1]}}},
    "inkling2_loop": {"text_config": _INKLING2_LOOP},
    "inkling2_loop_text": _INKLING2_LOOP,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "longcat_flash": {"expert_ffn_hidden_size": 16, "num_layers": 4, "zero_expert_num": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "conv"]},
    "mistral4": {"head_dim": 16},
    "muse_spark": {
        "out_hidden_size": 64, "projector_hidden_size": 32, "text_config": {"moe_hidden_size": 24},
        "audio_config": {"num_hidden_layers": 1, "patch_sizes": [16], "hidden_sizes": [16], "depths": [1]},
    },
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "step3p7": {"text_config": {"mlp_layer_types": _ONE_DENSE}},
}  # fmt: skip
ONE_KEY_PER_HEAD = (
    "axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots3_note_text", "glm4_moe_lite", "glm5_next_text",
    "glm_moe_dsa", "mistral4", "mistral_large4_text", "sarvam_mla",
)  # fmt: skip
"""Their attention has no grouped heads."""
SAVED_UNDER_OTHER_NAMES = {
    "deepseek_v4": {"model.": "", "embed_tokens.": "embed.", "hc_head.hc_": "hc_head_"},
    "kimi_k25": {"language_model.model.blocks.": "language_model.model.layers."},
}
"""Where save_original_format writes other names than are published: parts of names, and what they are."""


def _has(config: Any, name: str) -> bool:
    try:
        return hasattr(config, name)
    except RuntimeError:  # there is one for each layer
        return True


def _known(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    known = kind()
    found = {name: v for name, v in settings.items() if _has(known, name) or name in kind.attribute_map}
    if "vocab_size" in found:  # a release may count its tokens, padded or not, by a further name
        larger = {name for name, v in vars(known).items() if "vocab_size" in name and isinstance(v, int)}
        found |= {name: found["vocab_size"] for name in larger - set(found) if getattr(known, name) > 128}
    if isinstance(getattr(kind, "layer_types", None), property):  # follows from other settings
        found.pop("layer_types", None)
    return found


def small_config(model_type: str) -> Any:
    """Of a small model of a family; its decoder is like those of models for text alone, its towers are tiny."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    if not FAMILIES[model_type].text:
        sizes = _known(kind, SIZES)
        if model_type in ONE_KEY_PER_HEAD:
            sizes["num_key_value_heads"] = sizes["num_attention_heads"]
        return kind(**sizes | OF_THEIR_OWN.get(model_type, {}))
    own = OF_THEIR_OWN.get(model_type, {})
    parts = _parts(kind, FAMILIES[model_type].text.split("."), own)
    return kind(**parts, **{name: value for name, value in own.items() if name not in kind.sub_configs})


def _parts(kind: Any, text: list[str], own: dict[str, Any]) -> dict[str, Any]:
    """Of a config, small ones; ``text`` leads to that of the decoder."""
    whole, parts = kind(), {}
    for name in kind.sub_configs if len(text) < 2 else text[:1]:
        if (part := getattr(whole, name)) is None:
            continue
        part_kind = type(part)
        sizes = _known(part_kind, SIZES if [name] == text else TOWER) | own.get(name, {})
        if part.model_type in ONE_KEY_PER_HEAD:
            sizes["num_key_value_heads"] = sizes["num_attention_heads"]
        parts[name] = part_kind(**_parts(part_kind, text[1:], own), **sizes)
    return parts


def _in_reach(module: torch.nn.Module) -> bool:
    return hasattr(module, "is_transposed") or type(module).__name__ in ADAPTERS


@contextmanager
def _by_transformers_alone(model_type: str, newer: str) -> Iterator[None]:
    """Nothing of this package runs here, so that what fails with a newer release is no fault of its readings."""
    try:
        yield
    except Exception as error:
        if newer:
            pytest.skip(f"{newer}, and the small {model_type} cannot be made: {type(error).__name__}: {error}")
        raise


@pytest.fixture(scope="module")
def made(newer_than_the_table: str) -> Callable[[str], Any]:
    """model_type → a small model of that family, float32, whose weights and balancing biases all matter."""
    from transformers import CONFIG_MAPPING

    from moe_claims.models.forward.architecture import model_class

    own.register()

    @cache
    def make(model_type: str) -> Any:
        if model_type not in CONFIG_MAPPING:
            pytest.skip(f"the installed transformers does not know {model_type}")
        with _by_transformers_alone(model_type, newer_than_the_table):
            config = small_config(model_type)
            if part := FAMILIES[model_type].part:
                config = getattr(config, f"{part}_config")
            model: Any = model_class(config).from_config(config, dtype=torch.float32).eval()
        if FAMILIES[model_type].layers not in {path for path, _ in model.named_modules()}:
            pytest.skip(f"the installed transformers has the layers of {model_type} elsewhere")
        generator = torch.Generator().manual_seed(1)
        for name, tensor in model.state_dict().items():
            if name.endswith("tid2eid"):  # a table of experts for each token
                tensor.copy_(torch.rand(len(tensor), EXPERTS, generator=generator).argsort(dim=1)[:, :TOP_K])
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            # Gates of residual streams that nearly close would multiply rounding errors by ten in every layer.
            if "bias" in name or name.endswith("residual_gate.gate"):
                tensor.copy_(0.05 * noise)
            else:
                tensor.copy_(1 + 0.3 * noise if tensor.dim() == 1 else noise / tensor.shape[-1] ** 0.5)
        if not FAMILIES[model_type].weights_only and not any(map(_in_reach, model.modules())):
            pytest.skip(f"the installed transformers has {model_type} outside its experts interface")
        model.set_experts_implementation("eager")
        return model

    return make


@pytest.fixture(scope="module")
def opened(
    made: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory, newer_than_the_table: str
) -> Callable[[str, bool], Checkpoint]:
    """(model_type, original) → its checkpoint, as it was published or as transformers keeps it."""

    @cache
    def open_it(model_type: str, original: bool) -> Checkpoint:
        folder = tmp_path_factory.mktemp(model_type)
        with _by_transformers_alone(model_type, newer_than_the_table):
            made(model_type).save_pretrained(folder, save_original_format=original)
        if original:
            (path,) = folder.glob("*.safetensors")
            tensors = load_file(path)
            for written, published in SAVED_UNDER_OTHER_NAMES.get(model_type, {}).items():
                tensors = {name.replace(written, published): tensor for name, tensor in tensors.items()}
            save_file(tensors, path)
        if part := FAMILIES[model_type].part:  # the whole model has further parts, which nothing looks at
            (path,) = folder.glob("*.safetensors")
            save_file({f"{part}.{name}": tensor for name, tensor in load_file(path).items()}, path)
            small_config(model_type).save_pretrained(folder)
        return Checkpoint.open(Path(folder), model_type)

    return open_it


@pytest.fixture(scope="module")
def texts() -> list[tuple[int, ...]]:
    """Sequences that differ in length, longer than a window, a chunk and a convolution; no token is of the padding."""
    rng = np.random.default_rng(5)
    return [tuple(int(i) for i in rng.integers(3, 120, size)) for size in (9, 14, 2, 30, 7)]


# --- the hub ------------------------------------------------------------------------------------------


def _server() -> Any:
    """The module beside: tests are no package, so that it has no name to import it by."""
    if "hub_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).parents[1] / "hub_server.py")
        assert spec is not None and spec.loader is not None
        sys.modules["hub_server"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hub_server"])
    return sys.modules["hub_server"]


@pytest.fixture
def served() -> Iterator[tuple[Any, str]]:
    """(a hub without repositories, its address); see ``hub_server.Hub``."""
    server = _server()
    hub = server.Hub()
    with server.serving(hub) as address:
        yield hub, address


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command ``measure`` keeps measurements in this process: a folder of its own for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def hub_here(served: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hub, and this process sent to it: as ``HF_ENDPOINT`` would have done before huggingface_hub was imported."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    hub, address = served
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    close_session()
    yield hub
    close_session()


@pytest.fixture
def repository_of(hub_here: Any) -> Callable[..., Any]:
    """(folder, revision="main", **policy) → a ``Repository`` of its files that retries at once."""
    from moe_claims.models.storage.hub_repository import Repository
    from moe_claims.models.storage.retry import RetryPolicy

    def open_(folder: Path, revision: str | None = "main", **policy: Any) -> Repository:
        hub_here.put("org/tiny", folder, revision=revision or "main")
        hasty = {"first_wait": 0.01, "longest_wait": 0.02, **policy}
        return Repository("org/tiny", revision, patience=RetryPolicy(**hasty))

    return open_
