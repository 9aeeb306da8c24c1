"""Which class of transformers builds a model, and which of its parts a text goes through."""

from typing import Any

import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.models.families.table import FAMILIES, Family
from moe_claims.models.forward.architecture import DecoderParts, build, model_class

NAMES = ("mixtral", "aria", "qwen3_vl_moe", "gemma4")


@pytest.mark.parametrize("model_type", NAMES)
def test_the_model_is_built_as_it_was_published(model_type: str, made: Any, opened: Any) -> None:
    checkpoint = opened(model_type, True)
    with torch.device("meta"):
        model = build(checkpoint.config, checkpoint.family, torch.bfloat16)
    assert type(model) is type(made(model_type))
    assert {tensor.dtype for tensor in model.parameters()} == {torch.bfloat16}
    assert set(model.state_dict()) == set(made(model_type).state_dict())


def test_what_no_class_can_build_is_left_to_transformers_to_say() -> None:
    from transformers import CLIPConfig

    config = CLIPConfig()
    with pytest.raises(ValueError, match="CLIPConfig"):
        model_class(config).from_config(config)


@pytest.mark.parametrize("model_type", NAMES)
def test_towers_have_no_part_in_a_text(model_type: str, made: Any) -> None:
    model, family = made(model_type), FAMILIES[model_type]
    parts = DecoderParts(model, family)
    names = list(model.state_dict())
    text = {name for name in names if parts.belongs_to_text(name)}
    assert {parts.embedding, "lm_head.weight"} <= text
    others = {name for name in names if any(word in name for word in ("vision", "visual", "projector"))}
    assert text == set(names) - others and bool(others) == (model_type in ("aria", "qwen3_vl_moe"))
    assert len(parts.layers) == 4 and parts.decoder is model.get_submodule(family.layers.rpartition(".")[0])


def test_layers_can_be_exchanged(made: Any) -> None:
    model = made("dbrx")
    parts = DecoderParts(model, FAMILIES["dbrx"])
    own, parts.layers = parts.layers, torch.nn.ModuleList()
    assert len(model.transformer.blocks) == 0
    parts.layers = own
    assert len(model.transformer.blocks) == 4


@pytest.mark.parametrize("model_type", ["mixtral", "gemma4_text", "qwen3_vl_moe"])
def test_buffers_of_no_checkpoint_get_their_values(model_type: str, made: Any, opened: Any) -> None:
    checkpoint = opened(model_type, True)
    with torch.device("meta"):
        model = build(checkpoint.config, checkpoint.family, torch.float32)
    parts = DecoderParts(model, checkpoint.family)
    parts.compute_constants(parts.decoder, "cpu")
    theirs = dict(DecoderParts(made(model_type), checkpoint.family).decoder.named_buffers())
    kept = set(model.state_dict())
    found = {name: tensor for name, tensor in parts.decoder.named_buffers() if not tensor.is_meta}
    assert found and all(torch.equal(tensor, theirs[name]) for name, tensor in found.items())
    left = {name for name, tensor in parts.decoder.named_buffers() if tensor.is_meta}
    assert all(any(name.endswith(f".{of}") for name in kept) for of in left)


def test_layers_that_are_elsewhere_are_told(made: Any) -> None:
    from transformers import __version__

    with pytest.raises(ModelError) as caught:
        DecoderParts(made("mixtral"), Family("mixtral", layers="model.decoder.layers"))
    assert str(caught.value) == (
        f"MixtralForCausalLM of the installed transformers {__version__} has no 'model.decoder.layers': only its "
        "weights can be measured; a newer version may have it"
    )
