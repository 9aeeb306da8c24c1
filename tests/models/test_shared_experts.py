"""Shared experts: the very block that the model adds, and refusals where there is none to compare."""

import re
from typing import Any

import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.measure.dense import DenseLayer
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families import own
from moe_claims.models.shared_experts import MODEL_TYPES, SharedExperts
from moe_claims.models.storage.tensor_source import MemorySource

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "moe_intermediate_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_shared_experts": 2, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "q_lora_rank": 8,
    "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "head_dim": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_they_are_what_the_model_adds_to_the_routed_sum(model_type: str) -> None:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    own.register()
    known = CONFIG_MAPPING[model_type]()
    config = CONFIG_MAPPING[model_type](**{name: value for name, value in SIZES.items() if hasattr(known, name)})
    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    checkpoint = Checkpoint("m", config.to_dict(), MemorySource(model.state_dict()))
    block = model.model.layers[1].mlp
    seen: dict[str, torch.Tensor] = {}
    for name, module in (("routed", block.experts), ("shared", block.shared_experts), ("block", block)):
        module.register_forward_hook(
            lambda _, inputs, out, name=name: seen.update(
                {f"{name} in": inputs[0].reshape(-1, 16), f"{name} out": out.reshape(-1, 16)}
            )
        )
    with torch.inference_mode():
        model(input_ids=torch.tensor([[3, 4, 5, 6, 7]]), use_cache=False)
        layer = DenseLayer(SharedExperts(checkpoint), 1, checkpoint.config["hidden_act"])
        ours = layer.outputs(seen["routed in"])
    assert torch.equal(seen["shared in"], seen["routed in"])
    assert torch.allclose(ours, seen["shared out"], atol=1e-7) and float(ours.abs().max()) > 0
    assert torch.allclose(seen["routed out"] + ours, seen["block out"], atol=1e-7)


def test_matrices_of_several_are_one_block() -> None:
    weights = {
        "model.layers.1.mlp.gate.weight": torch.ones(4, 6),
        **{f"model.layers.1.mlp.shared_experts.{name}_proj.weight": torch.rand(10, 6) for name in ("up", "gate")},
        "model.layers.1.mlp.shared_experts.down_proj.weight": torch.rand(6, 10),
    }
    checkpoint = Checkpoint("m", {"model_type": "deepseek"}, MemorySource(weights))
    shared = SharedExperts(checkpoint)
    assert torch.equal(shared.matrix(1, "act"), weights["model.layers.1.mlp.shared_experts.gate_proj.weight"])
    assert torch.equal(shared.matrix(1, "down"), weights["model.layers.1.mlp.shared_experts.down_proj.weight"])
    shared.check_fits(checkpoint)
    other = Checkpoint("other", {"model_type": "deepseek"}, MemorySource(weights))
    with pytest.raises(ModelError, match=r"^the shared experts of m are not part of 'other'$"):
        shared.check_fits(other)


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        (
            "olmoe",
            "'m' has model_type 'olmoe', whose shared experts, if any, cannot be compared yet: --shared-experts takes "
            "deepseek, deepseek_v2, deepseek_v3, dots1, glm4_moe",
        ),
        ("deepseek", "'m' has no shared experts: leave --shared-experts out"),
    ],
)
def test_none_to_compare(model_type: str, said: str) -> None:
    weights: dict[str, Any] = {"model.layers.0.mlp.gate.weight": torch.ones(4, 6)}
    checkpoint = Checkpoint("m", {"model_type": model_type}, MemorySource(weights))
    with pytest.raises(ModelError, match=f"^{re.escape(said)}$"):
        SharedExperts(checkpoint)
