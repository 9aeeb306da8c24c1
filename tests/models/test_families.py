"""The family table, and which models are turned away."""

import re
from typing import Any

import pytest

from moe_claims.errors import ModelError
from moe_claims.models.families import FAMILIES, ROLES, family_of


@pytest.mark.parametrize("model_type", FAMILIES)
def test_rows_are_whole(model_type: str) -> None:
    row = FAMILIES[model_type]
    assert row.model_type == model_type
    assert len({row.matrix(role) for role in ROLES}) == 3
    assert [row.matrix(role) for role in ROLES] == [row.up, row.act, row.down]
    assert family_of({"model_type": model_type}, "m") is row


@pytest.mark.parametrize("model_type", FAMILIES)
def test_rows_name_the_tensors_that_transformers_writes(
    model_type: str, weights_on_disk: Any, tiny_configs: Any
) -> None:
    row, config = FAMILIES[model_type], tiny_configs[model_type]
    original, fused = weights_on_disk(model_type), weights_on_disk(model_type, layout="fused")
    experts = config.get("num_experts", config.get("num_local_experts"))
    block = f"{row.layers}.0.{row.blocks[0]}"
    wanted = {f"{block}.{row.router}"}
    wanted |= {f"{block}.experts.{e}.{row.matrix(role)}.weight" for e in range(experts) for role in ROLES}
    assert wanted == {name for name in original if name.startswith(block)}
    last = f"{row.layers}.0.{row.blocks[-1]}"
    fused_names = {f"{last}.{row.router}", f"{last}.experts.gate_up_proj", f"{last}.experts.down_proj"}
    assert fused_names == {name for name in fused if name.startswith(last)}


def test_up_and_act_are_told_apart_by_the_activation_function() -> None:
    # Shapes cannot tell up from act; the models' own code can: act_fn(act) * up, Mixtral's act_fn(w1) * w3.
    assert {(row.model_type, row.act, row.up) for row in FAMILIES.values()} == {
        ("mixtral", "w1", "w3"),
        ("olmoe", "gate_proj", "up_proj"),
        ("qwen3_moe", "gate_proj", "up_proj"),
    }


def test_dense_model_given_as_moe() -> None:
    from transformers import MistralConfig

    expected = "'dense' is a dense model (model_type 'mistral', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of(MistralConfig().to_dict(), "dense")


def test_unknown_family() -> None:
    expected = "'m' has model_type 'dbrx', which cannot be read yet: families are " + ", ".join(FAMILIES)
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({"model_type": "dbrx", "moe_num_experts": 16}, "m")


def test_config_that_names_no_family() -> None:
    expected = "'m' is a dense model (model_type '(none)', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({}, "m")
