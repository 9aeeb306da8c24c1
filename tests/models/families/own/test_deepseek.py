"""DeepSeekMoE against an independent computation in float64, from the published names and settings."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
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

pytestmark = pytest.mark.numerics

CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekConfig",
        "AutoModel": "modeling_deepseek.DeepseekModel",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekForCausalLM",
    },
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
    "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 32, "initializer_range": 0.02,
    "intermediate_size": 40, "max_position_embeddings": 128, "model_type": "deepseek", "moe_intermediate_size": 12,
    "moe_layer_freq": 1, "n_routed_experts": 8, "n_shared_experts": 2, "norm_topk_prob": False,
    "num_attention_heads": 4, "num_experts_per_tok": 3, "num_hidden_layers": 4, "num_key_value_heads": 4,
    "pretraining_tp": 1, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000,
    "scoring_func": "softmax", "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
    "vocab_size": 64,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "published": {},
    "weights that sum to 1": {"norm_topk_prob": True},
    "experts in every second layer": {"moe_layer_freq": 2, "first_k_dense_replace": 0},
    "grouped heads with biases": {"num_key_value_heads": 2, "attention_bias": True},
    "no shared experts": {"n_shared_experts": None},
    "tied": {"tie_word_embeddings": True},
    "another base": {"rope_theta": 500.0},
    "linear scaling": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "dynamic scaling": {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 10},
}


def _moe(config: Mapping[str, Any], layer: int) -> bool:
    return layer >= config["first_k_dense_replace"] and layer % config["moe_layer_freq"] == 0


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names as on the hub."""
    d, vocabulary = config["hidden_size"], config["vocab_size"]
    keys = d // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, d), "model.norm.weight": (d,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, d)

    def block(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
        return {f"{prefix}.{m}_proj.weight": (width, d) for m in ("gate", "up")} | {
            f"{prefix}.down_proj.weight": (d, width)
        }

    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.{name}.weight": (d,) for name in ("input_layernorm", "post_attention_layernorm")}
        for name, rows in (("q", d), ("k", keys), ("v", keys), ("o", d)):
            shapes[f"{at}.self_attn.{name}_proj.weight"] = (rows, d)
            if config["attention_bias"]:
                shapes[f"{at}.self_attn.{name}_proj.bias"] = (rows,)
        if not _moe(config, layer):
            shapes |= block(f"{at}.mlp", config["intermediate_size"])
            continue
        shapes[f"{at}.mlp.gate.weight"] = (config["n_routed_experts"], d)
        for expert in range(config["n_routed_experts"]):
            shapes |= block(f"{at}.mlp.experts.{expert}", config["moe_intermediate_size"])
        if shared := config["n_shared_experts"]:
            shapes |= block(f"{at}.mlp.shared_experts", config["moe_intermediate_size"] * shared)
    return shapes


def _rotation(config: Mapping[str, Any], length: int) -> dict[str, float]:
    """Base and slowing of the rotary positions."""
    base, scaling = float(config["rope_theta"]), config["rope_scaling"]
    if scaling is None:
        return {"base": base}
    if scaling["type"] == "linear":
        return {"base": base, "slower": scaling["factor"]}
    size, trained, factor = 32 // 4, config["max_position_embeddings"], scaling["factor"]
    if length > trained:
        base *= (factor * length / trained - (factor - 1)) ** (size / (size - 2))
    return {"base": base}


def _computed(weights: Mapping[str, torch.Tensor], config: Mapping[str, Any], ids: Any, plain: Any, found: Any) -> Any:
    """One sequence through the model, written from the paper's and the configuration's words."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    size, eps = config["hidden_size"] // config["num_attention_heads"], config["rms_norm_eps"]
    groups = config["num_attention_heads"] // config["num_key_value_heads"]
    turned = partial(plain.rotated, **_rotation(config, len(ids)))

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", torch.zeros(1).double())

    def block(name: str, x: torch.Tensor) -> torch.Tensor:
        act = linear(f"{name}.gate_proj", x)
        return linear(f"{name}.down_proj", act / (1 + (-act).exp()) * linear(f"{name}.up_proj", x))

    x = w["model.embed_tokens.weight"][list(ids)]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        normed = plain.norm(x, w[f"{at}.input_layernorm.weight"], eps)
        q, k, v = (linear(f"{at}.self_attn.{name}_proj", normed) for name in "qkv")
        heads = []
        for head in range(config["num_attention_heads"]):
            own, shared = (slice(n * size, n * size + size) for n in (head, head // groups))
            args = turned(q[:, own]), turned(k[:, shared]), v[:, shared]
            heads.append(plain.attend(*args, lambda logits: logits / size**0.5))
        x = x + linear(f"{at}.self_attn.o_proj", torch.cat(heads, dim=1))
        normed = plain.norm(x, w[f"{at}.post_attention_layernorm.weight"], eps)
        if not _moe(config, layer):
            x = x + block(f"{at}.mlp", normed)
            found.states.append(x)
            continue
        found.scores[layer] = linear(f"{at}.mlp.gate", normed)
        shares = found.scores[layer].softmax(dim=1)
        experts = range(config["n_routed_experts"])
        outputs = torch.stack([block(f"{at}.mlp.experts.{e}", normed) for e in experts], dim=1)
        picked, added = [], []
        for token in range(len(ids)):
            best = shares[token].argsort(descending=True)[: config["num_experts_per_tok"]]
            total = shares[token, best].sum() if config["norm_topk_prob"] else 1.0
            added.append(sum(shares[token, e] / total * outputs[token, e] for e in best))
            picked.append(best)
        if config["n_shared_experts"]:
            found.shared[layer] = block(f"{at}.mlp.shared_experts", normed)
            added = list(torch.stack(added) + found.shared[layer])
        found.chosen[layer], found.outputs[layer] = torch.stack(picked), outputs
        x = x + torch.stack(added)
        found.states.append(x)
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    found.logits = plain.norm(x, w["model.norm.weight"], eps) @ w[head].T
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_is_that_of_an_independent_computation(
    variant: str, drawn: Any, plain: Any, reference: Any, texts: Any, assert_agrees: Any
) -> None:
    config = CONFIG | VARIANTS[variant]
    weights = drawn(_shapes(config))
    checkpoint = Checkpoint(variant, config, MemorySource(weights))
    assert checkpoint.moe_layers == tuple(n for n in range(4) if _moe(config, n))
    theirs = [_computed(weights, config, ids, plain, reference()) for ids in texts]
    assert_agrees(checkpoint, texts, theirs)


def test_what_measure_writes_of_a_published_folder(
    drawn: Any, plain: Any, reference: Any, texts: Any, published: Callable[..., Path], tmp_path: Path
) -> None:
    weights = drawn(_shapes(CONFIG))
    folder, output = published(CONFIG, weights, "deepseek"), tmp_path / "x.npz"
    (tmp_path / "ids.json").write_text(json.dumps(texts))
    arguments = ["--token-ids", str(tmp_path / "ids.json"), "--what", "weights,outputs,matching"]
    assert main(["measure", str(folder), *arguments, "--output", str(output)]) == 0
    assert not (tmp_path / "code-was-run").exists()
    theirs = [_computed(weights, CONFIG, ids, plain, reference()) for ids in texts]
    with np.load(output) as arrays:
        assert arrays["layers"].tolist() == [1, 2, 3]
        for number, layer in enumerate((1, 2, 3)):
            experts = f"model.layers.{layer}.mlp.experts"
            flat = torch.stack([weights[f"{experts}.{e}.gate_proj.weight"].double().flatten() for e in range(8)])
            flat = flat / flat.norm(dim=1, keepdim=True)
            np.testing.assert_allclose(arrays["similarity.matrix.act"][number], flat @ flat.T, atol=1e-5)
            router = torch.nn.functional.normalize(weights[f"model.layers.{layer}.mlp.gate.weight"].double())
            np.testing.assert_allclose(arrays["similarity.router"][number], router @ router.T, atol=1e-5)
            outputs = torch.cat([one.outputs[layer] for one in theirs])
            unit = outputs / outputs.norm(dim=-1, keepdim=True)
            angular = 1 - (unit @ unit.transpose(1, 2)).clamp(-1, 1).arccos() / torch.pi
            mean = angular.mean(dim=0).fill_diagonal_(1)
            np.testing.assert_allclose(arrays["output_similarity.angular_mean"][number], mean, atol=1e-6)
            np.testing.assert_allclose(arrays["output_norms"][number], outputs.norm(dim=-1), rtol=1e-4)
            scores = torch.cat([one.scores[layer] for one in theirs])
            np.testing.assert_allclose(arrays["router_logits"][number], scores, atol=1e-5)
            chosen = torch.cat([one.chosen[layer] for one in theirs])
            np.testing.assert_array_equal(arrays["chosen"][number], chosen)


@pytest.mark.parametrize("count", [1, 2])
def test_shared_experts_are_the_last_ones_where_asked_for(
    count: int,
    drawn: Any,
    plain: Any,
    reference: Any,
    texts: Any,
    published: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = CONFIG | {"n_shared_experts": count}
    weights = drawn(_shapes(config))
    folder, output = published(config, weights, "deepseek"), tmp_path / "x.npz"
    (tmp_path / "ids.json").write_text(json.dumps(texts))
    arguments = ["--token-ids", str(tmp_path / "ids.json"), "--what", "weights,outputs,token-outputs"]
    assert main(["measure", str(folder), *arguments, "--shared-experts", "--output", str(output)]) == 0
    note = "; similarity.matrix is without SE, a block of another shape than an expert\n"
    assert capsys.readouterr().out.endswith(note) == (count == 2)
    theirs = [_computed(weights, config, ids, plain, reference()) for ids in texts]
    with np.load(output) as arrays:
        for number, layer in enumerate((1, 2, 3)):
            outputs = torch.cat([torch.cat([one.outputs[layer], one.shared[layer][:, None]], dim=1) for one in theirs])
            unit = outputs / outputs.norm(dim=-1, keepdim=True)
            cosine = unit @ unit.transpose(1, 2)
            np.testing.assert_allclose(arrays["output_similarity.cosine"][number], cosine, atol=1e-5)
            angular = (1 - cosine.clamp(-1, 1).arccos() / torch.pi).mean(dim=0).fill_diagonal_(1)
            np.testing.assert_allclose(arrays["output_similarity.angular_mean"][number], angular, atol=1e-6)
            blocks = [
                f"model.layers.{layer}.mlp.{of}" for of in (*(f"experts.{e}" for e in range(8)), "shared_experts")
            ]
            for role, name, neurons in (("act", "gate", 0), ("up", "up", 0), ("down", "down", 1)):
                matrices = [weights[f"{at}.{name}_proj.weight"].double() for at in blocks]
                mean = torch.nn.functional.normalize(torch.stack([m.mean(dim=neurons) for m in matrices]))
                np.testing.assert_allclose(arrays[f"similarity.mean.{role}"][number], mean @ mean.T, atol=1e-5)
                flat = torch.nn.functional.normalize(torch.stack([m.flatten() for m in matrices[: 10 - count]]))
                np.testing.assert_allclose(arrays[f"similarity.matrix.{role}"][number], flat @ flat.T, atol=1e-5)


def test_another_scoring_is_refused(drawn: Any) -> None:
    config = CONFIG | {"scoring_func": "sigmoid"}
    expected = (
        "transformers cannot build 'm' from its config.json (ValueError: scoring_func is 'sigmoid', but the models "
        "published have softmax alone)"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        LayerwiseModel(Checkpoint("m", config, MemorySource(drawn(_shapes(CONFIG)))))
