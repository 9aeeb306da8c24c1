"""Tensors by their names in the transformers module, whatever the checkpoint calls them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.naming import StoredNames

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


def test_a_rule_for_several_tensors_at_once_is_refused(saved: Any, config_of: Any) -> None:
    class Splits:
        def convert(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {"one": values, "two": values}

    stored = StoredNames(_module(config_of("mixtral")), Checkpoint.open(saved("mixtral"), "m"))
    stored._parts["both"] = {"pattern": ["lm_head.weight"]}
    stored._rule_of["pattern"] = SimpleNamespace(operations=[Splits()], source_patterns=[], target_patterns=[])
    with pytest.raises(ModelError) as caught:
        stored.tensor("both")
    assert str(caught.value) == (
        "'m' stores 'both' together with 1 other tensor(s), which cannot be read layer by layer yet"
    )


def _checkpoint(tensors: dict[str, torch.Tensor]) -> Checkpoint:
    from moe_claims.models.source import MemorySource

    return Checkpoint("m", {"model_type": "kimi_linear"}, MemorySource(tensors))
