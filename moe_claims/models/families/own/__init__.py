"""Models that transformers lacks, as small modules over its own parts; made known to it when one is opened."""

from typing import Any


def register() -> None:
    """Makes these models known to transformers' Auto classes and loading; harmless when done twice.

    A model type that the installed transformers already knows is left to it.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping

    if {"deepseek", "grok-1"} <= set(CONFIG_MAPPING):
        return

    from moe_claims.models.families.own.deepseek import DeepseekConfig, DeepseekForCausalLM
    from moe_claims.models.families.own.grok import Grok1Config, Grok1ModelForCausalLM

    for config, model, rules in (
        (DeepseekConfig, DeepseekForCausalLM, _fused("mlp.experts", act="gate_proj", up="up_proj", down="down_proj")),
        (Grok1Config, Grok1ModelForCausalLM, _fused("moe_block.experts", act="linear", up="linear_v", down="linear_1")),
    ):
        if config.model_type not in CONFIG_MAPPING:
            AutoConfig.register(config.model_type, config)
            AutoModelForCausalLM.register(config, model)
            register_checkpoint_conversion_mapping(config.model_type, rules, overwrite=True)


def _fused(experts: str, *, act: str, up: str, down: str) -> list[Any]:
    """The rules of transformers from a matrix per expert, as published, to two tensors for all experts of a layer."""
    from transformers.core_model_loading import Concatenate, MergeModulelist, WeightConverter

    return [
        WeightConverter(
            source_patterns=[f"{experts}.*.{act}.weight", f"{experts}.*.{up}.weight"],
            target_patterns=f"{experts}.gate_up_proj",
            operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
        ),
        WeightConverter(
            source_patterns=f"{experts}.*.{down}.weight",
            target_patterns=f"{experts}.down_proj",
            operations=[MergeModulelist(dim=0)],
        ),
    ]
