"""The family table, row by row: small random models of each family's own class against transformers itself."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.measure.routed import measure_routed
from moe_claims.models import own
from moe_claims.models.batches import micro_batches, pad
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import FAMILIES, ROLES, family_of
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.loading import OpenModel, random_control
from moe_claims.models.names import ModelRef

EXPERTS, TOP_K = 8, 2
SIZES: dict[str, Any] = {
    # What every config class calls its sizes; a model takes those that it knows.
    "vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 4, "max_position_embeddings": 128,
    "intermediate_size": 24, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_heads": 4, "linear_head_dim": 8, "mamba_dt_rank": 4, "mamba_expand": 2,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8,
    "index_n_heads": 2, "index_head_dim": 8, "index_topk": 8, "sliding_window": 16, "chunk_size": 8,
    "num_local_experts": EXPERTS, "num_experts": EXPERTS, "n_routed_experts": EXPERTS, "moe_num_experts": EXPERTS,
    "num_experts_per_tok": TOP_K, "moe_topk": TOP_K, "moe_k": TOP_K, "n_group": 2, "topk_group": 1,
    "n_shared_experts": 1, "num_shared_experts": 1, "moe_num_shared_experts": 1,
    "first_k_dense_replace": 1, "num_dense_layers": 1, "moe_layer_start_index": 1, "layer_types": None,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
OF_THEIR_OWN: dict[str, dict[str, Any]] = {
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    # Far from 1 each, and attention logits that reach the bound of their tanh.
    "grok-1": {
        "attn_output_multiplier": 0.6,
        "max_attn_value": 1.5,
        "embedding_multiplier_scale": 5.7,
        "output_multiplier_scale": 0.6,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "conv"]},
}
ONE_KEY_PER_HEAD = ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa")
"""Their attention has no grouped heads."""


@pytest.fixture(scope="module")
def made() -> Callable[[str], Any]:
    """model_type → a small model of that family, float32, whose weights and balancing biases all matter."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    own.register()

    @cache
    def make(model_type: str) -> Any:
        if model_type not in CONFIG_MAPPING:
            pytest.skip(f"the installed transformers does not know {model_type}")
        kind = CONFIG_MAPPING[model_type]
        known = kind()
        sizes = {name: v for name, v in SIZES.items() if hasattr(known, name) or name in kind.attribute_map}
        if model_type in ONE_KEY_PER_HEAD:
            sizes["num_key_value_heads"] = sizes["num_attention_heads"]
        if isinstance(getattr(kind, "layer_types", None), property):  # follows from other settings
            sizes.pop("layer_types")
        sizes |= OF_THEIR_OWN.get(model_type, {})
        model: Any = AutoModelForCausalLM.from_config(kind(**sizes), dtype=torch.float32).eval()
        generator = torch.Generator().manual_seed(1)
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if "bias" in name:
                tensor.copy_(0.05 * noise)
            else:
                tensor.copy_(1 + 0.3 * noise if tensor.dim() == 1 else noise / tensor.shape[-1] ** 0.5)
        if not any(hasattr(module, "is_transposed") for module in model.modules()):
            pytest.skip(f"the installed transformers has {model_type} outside its experts interface")
        model.set_experts_implementation("eager")
        return model

    return make


@pytest.fixture(scope="module")
def opened(made: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Checkpoint]:
    """(model_type, original) → its checkpoint, as it was published or as transformers keeps it."""

    @cache
    def open_it(model_type: str, original: bool) -> Checkpoint:
        folder = tmp_path_factory.mktemp(model_type)
        made(model_type).save_pretrained(folder, save_original_format=original)
        return Checkpoint.open(Path(folder), model_type)

    return open_it


@pytest.fixture(scope="module")
def texts() -> list[tuple[int, ...]]:
    """Sequences that differ in length, longer than a window, a chunk and a convolution."""
    rng = np.random.default_rng(5)
    return [tuple(int(i) for i in rng.integers(3, 128, size)) for size in (9, 14, 2, 30, 7)]


def test_nothing_is_skipped_with_the_transformers_that_the_table_was_made_with() -> None:
    import transformers
    from packaging.version import Version

    own.register()
    unknown = set(FAMILIES) - set(transformers.CONFIG_MAPPING)
    assert not unknown or Version(transformers.__version__) < Version("5.23")


# --- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", FAMILIES)
def test_rows_are_whole(model_type: str) -> None:
    row = FAMILIES[model_type]
    assert row.model_type == model_type
    assert [row.matrix(role) for role in ROLES] == [row.up, row.act, row.down]
    assert len({row.up, row.act, row.down}) == 3
    assert family_of({"model_type": model_type}, "m") is row


@pytest.mark.parametrize("original", [True, False], ids=["original", "fused"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_weights_are_read_by_role(model_type: str, original: bool, made: Any, opened: Any) -> None:
    # Shapes cannot tell up from act; the models' own code can: the first half is under the activation function.
    model, checkpoint = made(model_type), opened(model_type, original)
    weights, row = model.state_dict(), FAMILIES[model_type]
    assert (checkpoint.experts, checkpoint.top_k) == (EXPERTS, TOP_K)
    modules = {name: module for name, module in model.named_modules() if name.endswith(f".{row.experts_module}")}
    assert [f"{row.layers}.{layer}.{row.experts_module}" for layer in checkpoint.moe_layers] == list(modules)
    for layer, (name, experts) in zip(checkpoint.moe_layers, modules.items(), strict=True):
        router = weights[f"{row.layers}.{layer}.{row.router_module}.weight"]
        assert torch.equal(checkpoint.router(layer), router)
        # What the module says of its own layout, not what the table says.
        both, down = (
            weights[f"{name}.{leaf}"].transpose(1, 2) if experts.is_transposed else weights[f"{name}.{leaf}"]
            for leaf in ("gate_up_proj", "down_proj")
        )
        act, up = both.chunk(2, dim=1) if experts.is_concatenated else (both[:, ::2], both[:, 1::2])
        assert torch.equal(checkpoint.matrix(layer, "act"), act)
        assert torch.equal(checkpoint.matrix(layer, "up"), up)
        assert torch.equal(checkpoint.matrix(layer, "down"), down)


# --- running them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("original", [True, False], ids=["original", "fused"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_logits_are_those_of_transformers(model_type: str, original: bool, made: Any, opened: Any, texts: Any) -> None:
    replay = LayerwiseModel(opened(model_type, original))
    alone = FAMILIES[model_type].alone
    batches = [pad(texts, *bounds, "cpu") for bounds in micro_batches(texts, tokens=30, alone=alone)]
    assert alone == all(batch.mask.all() for batch in batches)
    for sequence, hidden in zip(texts, replay.run(batches), strict=True):
        with torch.inference_mode():
            theirs = made(model_type)(input_ids=torch.tensor([sequence]), use_cache=False).logits[0]
        ours = replay.logits(hidden)
        assert float((ours - theirs).abs().max() / theirs.abs().max()) <= 1e-4


@pytest.mark.parametrize("model_type", FAMILIES)
def test_chosen_experts_are_those_of_transformers(model_type: str, made: Any, opened: Any, texts: Any) -> None:
    model, row = made(model_type), FAMILIES[model_type]
    measured = measure_routed(LayerwiseModel(opened(model_type, True)), texts)
    theirs: dict[int, list[torch.Tensor]] = {}

    def note(layer: int) -> Callable[..., None]:
        return lambda _, inputs, named: theirs.setdefault(layer, []).append(
            named["top_k_index"] if "top_k_index" in named else inputs[1]
        )

    handles = [
        model.get_submodule(f"{row.layers}.{layer}.{row.experts_module}").register_forward_pre_hook(
            note(int(layer)), with_kwargs=True
        )
        for layer in measured.layers
    ]
    with torch.inference_mode():
        for sequence in texts:
            model(input_ids=torch.tensor([sequence]), use_cache=False)
    for handle in handles:
        handle.remove()
    for number, layer in enumerate(measured.layers):
        chosen = torch.cat([part.reshape(-1, TOP_K) for part in theirs[int(layer)]])
        assert np.array_equal(np.sort(measured.chosen[number]), np.sort(chosen.numpy()))
    assert all(np.isfinite(values).all() for values in measured.arrays().values())


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_has_a_fresh_control(model_type: str, opened: Any) -> None:
    model = OpenModel(ModelRef(model_type, "directory", "x"), opened(model_type, True), None, None, 64)
    control = random_control(model)
    hidden = LayerwiseModel(control.checkpoint).run([pad([[3, 4, 5]], 0, 1, "cpu")])
    assert hidden[0].isfinite().all()


# --- models that are turned away -------------------------------------------------------------------


def test_dense_model_given_as_moe() -> None:
    from transformers import MistralConfig

    expected = "'dense' is a dense model (model_type 'mistral', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of(MistralConfig().to_dict(), "dense")


def test_unknown_family() -> None:
    expected = (
        "'m' has model_type 'dbrx', which cannot be read yet: 'python -m moe_claims models' names the "
        f"{len(FAMILIES)} families that can"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({"model_type": "dbrx", "moe_num_experts": 16}, "m")


def test_config_that_names_no_family() -> None:
    expected = "'m' is a dense model (model_type '(none)', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({}, "m")


def test_the_reference_names_every_family_and_what_is_done_with_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
    models = page[page.index("\n## Models\n") : page.index("\n## Comparing with another model\n")]
    named, _, rest = models[models.index("run layer by layer:") :].partition(".\n")
    assert re.findall(r"`([a-z0-9_-]+)`", named) == list(FAMILIES)
    said = set(re.findall(r"`([a-z0-9_]+)`", rest[: rest.index("run one by one")]))
    assert said == {name for name, row in FAMILIES.items() if row.alone}
