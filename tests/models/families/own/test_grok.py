"""Grok-1 against an independent computation in float64, from the published names and settings."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moe_claims.commands.main import main
from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource
from moe_claims.models.synthetic.random_init import initialise

pytestmark = pytest.mark.numerics

PUBLISHED: dict[str, Any] = {  # like the published one, without a model_type
    "architectures": ["Grok1ModelForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_grok1.Grok1Config",
        "AutoModel": "modeling_grok1.Grok1Model",
        "AutoModelForCausalLM": "modeling_grok1.Grok1ModelForCausalLM",
    },
    "vocab_size": 64, "hidden_size": 36, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "attn_output_multiplier": 0.4082482904638631, "embedding_multiplier_scale": 6.0,
    "output_multiplier_scale": 0.5773502691896257, "max_attn_value": 30.0, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "use_cache": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": True, "num_experts_per_tok": 2, "num_experts": 8, "output_router_logits": False,
    "router_aux_loss_coef": 0.001, "torch_dtype": "bfloat16",
}  # fmt: skip
CONFIG = PUBLISHED | {"model_type": "grok-1"}
VARIANTS: dict[str, dict[str, Any]] = {
    "published": {},
    "logits at the bound": {"max_attn_value": 0.7},
    "a key for every head": {"num_key_value_heads": 6},
    "a head of its own": {"tie_word_embeddings": False},
}


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names as on the hub."""
    d, m = config["hidden_size"], config["intermediate_size"]
    keys = d // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], d),
        "model.norm.scale": (d,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], d)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.{side}_{of}_norm.scale": (d,) for side in ("pre", "post") for of in ("attn", "moe")}
        for name, rows in (("q", d), ("k", keys), ("v", keys), ("o", d)):
            shapes[f"{at}.attn.{name}_proj.weight"] = (rows, d)
        shapes[f"{at}.moe_block.gate.weight"] = (config["num_experts"], d)
        for expert in range(config["num_experts"]):
            experts = f"{at}.moe_block.experts.{expert}"
            shapes |= {f"{experts}.{name}.weight": (m, d) for name in ("linear", "linear_v")}
            shapes[f"{experts}.linear_1.weight"] = (d, m)
    return shapes


def _computed(weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], ids: Any, plain: Any, found: Any) -> Any:
    """One sequence through the model, written from the published code's words."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    size, eps = config["hidden_size"] // config["num_attention_heads"], config["rms_norm_eps"]
    groups = config["num_attention_heads"] // config["num_key_value_heads"]
    bound, multiplier = config["max_attn_value"], config["attn_output_multiplier"]

    def normed(name: str, x: torch.Tensor) -> Any:
        return plain.norm(x, w[f"{name}.scale"], eps)

    def expert(name: str, x: torch.Tensor) -> torch.Tensor:
        act = x @ w[f"{name}.linear.weight"].T
        gelu = act * (1 + torch.erf(act / 2**0.5)) / 2
        return (gelu * (x @ w[f"{name}.linear_v.weight"].T)) @ w[f"{name}.linear_1.weight"].T

    x = w["model.embed_tokens.weight"][list(ids)] * config["embedding_multiplier_scale"]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        q, k, v = (normed(f"{at}.pre_attn_norm", x) @ w[f"{at}.attn.{name}_proj.weight"].T for name in "qkv")
        heads = []
        for head in range(config["num_attention_heads"]):
            own, shared = (slice(n * size, n * size + size) for n in (head, head // groups))
            args = plain.rotated(q[:, own]), plain.rotated(k[:, shared]), v[:, shared]
            heads.append(plain.attend(*args, lambda logits: bound * torch.tanh(logits * multiplier / bound)))
        mixed = torch.cat(heads, dim=1) @ w[f"{at}.attn.o_proj.weight"].T
        x = x + normed(f"{at}.post_attn_norm", mixed)
        into = normed(f"{at}.pre_moe_norm", x)
        found.scores[layer] = into @ w[f"{at}.moe_block.gate.weight"].T
        shares = found.scores[layer].softmax(dim=1)
        experts = range(config["num_experts"])
        outputs = torch.stack([expert(f"{at}.moe_block.experts.{e}", into) for e in experts], dim=1)
        picked, added = [], []
        for token in range(len(ids)):
            best = shares[token].argsort(descending=True)[: config["num_experts_per_tok"]]
            added.append(sum(shares[token, e] * outputs[token, e] for e in best))
            picked.append(best)
        found.chosen[layer], found.outputs[layer] = torch.stack(picked), outputs
        x = x + normed(f"{at}.post_moe_norm", torch.stack(added))
        found.states.append(x)
    head_name = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    found.logits = normed("model.norm", x) @ w[head_name].T * config["output_multiplier_scale"]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_is_that_of_an_independent_computation(
    variant: str, drawn: Any, plain: Any, reference: Any, texts: Any, assert_agrees: Any
) -> None:
    config = CONFIG | VARIANTS[variant]
    weights = drawn(_shapes(config))
    checkpoint = Checkpoint(variant, config, MemorySource(weights))
    theirs = [_computed(weights, config, ids, plain, reference()) for ids in texts]
    assert_agrees(checkpoint, texts, theirs)


def test_what_measure_writes_of_a_published_folder(
    drawn: Any, plain: Any, reference: Any, texts: Any, published: Callable[..., Path], tmp_path: Path
) -> None:
    weights = drawn(_shapes(CONFIG))
    folder, output = published(PUBLISHED, weights, "grok1"), tmp_path / "x.npz"
    (tmp_path / "ids.json").write_text(json.dumps(texts))
    arguments = ["--token-ids", str(tmp_path / "ids.json"), "--what", "weights,outputs,matching"]
    assert main(["measure", str(folder), *arguments, "--output", str(output)]) == 0
    assert not (tmp_path / "code-was-run").exists()
    theirs = [_computed(weights, CONFIG, ids, plain, reference()) for ids in texts]
    roles = {"act": "linear", "up": "linear_v", "down": "linear_1"}
    with np.load(output) as arrays:
        assert arrays["layers"].tolist() == [0, 1, 2]
        for layer in range(3):
            experts = f"model.layers.{layer}.moe_block.experts"
            for role, name in roles.items():
                flat = torch.stack([weights[f"{experts}.{e}.{name}.weight"].double().flatten() for e in range(8)])
                flat = flat / flat.norm(dim=1, keepdim=True)
                np.testing.assert_allclose(arrays[f"similarity.matrix.{role}"][layer], flat @ flat.T, atol=1e-5)
            outputs = torch.cat([one.outputs[layer] for one in theirs])
            unit = outputs / outputs.norm(dim=-1, keepdim=True)
            angular = 1 - (unit @ unit.transpose(1, 2)).clamp(-1, 1).arccos() / torch.pi
            mean = angular.mean(dim=0).fill_diagonal_(1)
            np.testing.assert_allclose(arrays["output_similarity.angular_mean"][layer], mean, atol=1e-6)
            np.testing.assert_allclose(arrays["output_norms"][layer], outputs.norm(dim=-1), rtol=1e-4)
            scores = torch.cat([one.scores[layer] for one in theirs])
            np.testing.assert_allclose(arrays["router_logits"][layer], scores, atol=1e-5)
            chosen = torch.cat([one.chosen[layer] for one in theirs])
            np.testing.assert_array_equal(arrays["chosen"][layer], chosen)


def test_a_fresh_one_is_not_the_zeros_that_the_published_code_starts_from() -> None:
    weights = initialise(CONFIG, seed=1)
    assert all(torch.equal(tensor, torch.ones(36)) for name, tensor in weights.items() if name.endswith(".scale"))
    spread = {name: float(tensor.std()) for name, tensor in weights.items() if tensor.dim() > 1}
    assert len(spread) == 1 + 3 * 7
    assert all(0.015 < value < 0.025 for value in spread.values()), spread


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"rope_theta": 500.0},
            "the model published rotates by {'rope_theta': 10000.0, 'rope_type': 'default'} alone, not by "
            "{'rope_theta': 500.0, 'rope_type': 'default'}: leave these settings out",
        ),
        ({"num_attention_heads": 5}, "hidden_size 36 is no multiple of 5 heads"),
    ],
)
def test_settings_that_the_published_model_does_not_know(setting: dict[str, Any], said: str, drawn: Any) -> None:
    expected = f"transformers cannot build 'm' from its config.json (ValueError: {said})"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        LayerwiseModel(Checkpoint("m", CONFIG | setting, MemorySource(drawn(_shapes(CONFIG)))))
