"""Tensors by their names in the transformers module, whatever the checkpoint calls them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward.stored_names import StoredNames

NAMES = ("mixtral", "olmoe", "qwen3_moe", "qwen3_moe with a dense layer")


def _module(config: dict[str, Any]) -> Any:
    """On the meta device: names and shapes alone."""
    from transformers import AutoConfig, AutoModelForCausalLM

    known = dict(config)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(known.pop("model_type"), **known))


@pytest.mark.parametrize("layout", ["original", "fused"])
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_module_is_found(
    name: str, layout: str, saved: Any, config_of: Any, weights_on_disk: Any
) -> None:
    stored = StoredNames(_module(config_of(name)), Checkpoint.open(saved(name, False, layout), name))
    module = weights_on_disk(name, layout="fused")  # transformers writes these under its module's own names
    others = {key: tensor for key, tensor in module.items() if ".experts." not in key}
    assert len(others) > 10
    assert all(torch.equal(stored.tensor(key), tensor) for key, tensor in others.items())
    assert stored.has("lm_head.weight") and stored.has("model.layers.0.mlp.gate.weight")
    assert not stored.has("model.layers.9.mlp.gate.weight")


def test_a_tied_head_is_absent(saved: Any, config_of: Any) -> None:
    stored = StoredNames(_module(config_of("mixtral", True)), Checkpoint.open(saved("mixtral", True), "m"))
    assert not stored.has("lm_head.weight") and stored.has("model.embed_tokens.weight")


def test_parts_are_put_together_in_the_order_of_their_numbers() -> None:
    # A convolution over queries, keys and values is published as three of them.
    from transformers import CONFIG_MAPPING

    if "kimi_linear" not in CONFIG_MAPPING:
        pytest.skip("the installed transformers does not know kimi_linear")
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 64, "pad_token_id": 0}
    sizes |= {"linear_head_dim": 8, "linear_num_heads": 4, "num_experts": 4, "moe_intermediate_size": 8}
    module = _module({"model_type": "kimi_linear", **CONFIG_MAPPING["kimi_linear"](**sizes).to_dict()})
    wanted = "model.layers.0.self_attn.conv1d.weight"
    shape = module.state_dict()[wanted].shape
    parts = torch.randn(3, shape[0] // 3, *shape[1:])
    names = [f"model.layers.0.self_attn.{which}_conv1d.weight" for which in "qkv"]
    router = {"model.layers.1.block_sparse_moe.gate.weight": torch.zeros(4, 32)}
    source = dict(zip(names, parts, strict=True)) | router
    stored = StoredNames(module, _checkpoint(source))
    assert stored.has(wanted)
    assert torch.equal(stored.tensor(wanted), torch.cat(list(parts)))


def test_a_rule_for_several_tensors_yields_each(saved: Any, config_of: Any) -> None:
    class Halves:
        def convert(self, values: dict[str, Any], target_patterns: list[str], **_: Any) -> dict[str, Any]:
            return dict(zip(target_patterns, values["both"][0].chunk(2), strict=True))

    stored = StoredNames(_module(config_of("mixtral")), Checkpoint.open(saved("mixtral"), "m"))
    rule = SimpleNamespace(operations=[Halves()], source_patterns=["both"], target_patterns=["one", "two"])
    stored._parts["x.one"] = {"both": ["lm_head.weight"]}
    stored._first["x.two"] = ("x.one", "two")
    stored._rule_of["both"] = rule
    assert stored.has("x.one") and stored.has("x.two")
    assert torch.equal(torch.cat([stored.tensor("x.one"), stored.tensor("x.two")]), stored.tensor("lm_head.weight"))
    rule.target_patterns = ["one", "three"]
    with pytest.raises(ModelError) as caught:
        stored.tensor("x.two")
    assert str(caught.value) == (
        "the rule by which transformers reads 'x.one' of 'm' yields no 'two': the installed version cannot be used "
        "with this checkpoint"
    )


def _checkpoint(tensors: dict[str, torch.Tensor]) -> Checkpoint:
    from moe_claims.models.storage.tensor_source import MemorySource

    return Checkpoint("m", {"model_type": "kimi_linear"}, MemorySource(tensors))
