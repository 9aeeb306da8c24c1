"""Layouts told apart by names and shapes, and matrices unpacked from each."""

from collections.abc import Mapping

import pytest
import torch

from moe_claims.models.families.layout import Layout
from moe_claims.models.families.table import FAMILIES, ROLES, Family, Role

EXPERTS, WIDTH, INNER = 3, 4, 5
UP, ACT, DOWN = (torch.randn(EXPERTS, *shape) for shape in ((INNER, WIDTH), (INNER, WIDTH), (WIDTH, INNER)))
ROUTER = torch.randn(EXPERTS, WIDTH)
TURNS = torch.stack([ACT, UP], dim=2).flatten(1, 2)


def _layout(model_type: str | Family, tensors: Mapping[str, torch.Tensor]) -> Layout:
    family = FAMILIES[model_type] if isinstance(model_type, str) else model_type
    routed = (lambda: EXPERTS) if family.routed else None
    return Layout(family, frozenset(tensors), lambda name: tuple(tensors[name].shape), routed)


def _stored(model_type: str) -> dict[str, torch.Tensor]:
    """One layer, the second, as each kind of layout has it."""
    both = torch.cat([ACT, UP], dim=1)
    several: dict[str, dict[str, torch.Tensor]] = {
        "qwen3_moe": {"mlp.gate.weight": ROUTER, "mlp.experts.gate_up_proj": both, "mlp.experts.down_proj": DOWN},
        "qwen3_vl_moe": {
            "mlp.gate.weight": ROUTER,
            "mlp.experts.gate_up_proj": both.transpose(1, 2),
            "mlp.experts.down_proj": DOWN.transpose(1, 2),
        },
        "gemma4_text": {"router.proj.weight": ROUTER, "experts.gate_up_proj": both, "experts.down_proj": DOWN},
        "inkling_text": {
            "mlp.gate.weight": torch.cat([ROUTER, torch.zeros(1, WIDTH)]),
            "mlp.experts.w13_weight": TURNS,
            "mlp.experts.w2_weight": DOWN,
        },
        "jetmoe": {
            "mlp.router.layer.weight": ROUTER, "mlp.input_linear.weight": both, "mlp.output_linear.weight": DOWN,
        },
        "dbrx": {
            "ffn.router.layer.weight": ROUTER,
            "ffn.experts.mlp.w1": ACT.flatten(0, 1),
            "ffn.experts.mlp.v1": UP.flatten(0, 1),
            "ffn.experts.mlp.w2": DOWN.transpose(1, 2).flatten(0, 1),
        },
        "step3p7": {
            "moe.gate.weight": ROUTER, "moe.gate_proj.weight": ACT, "moe.up_proj.weight": UP,
            "moe.down_proj.weight": DOWN,
        },
    }  # fmt: skip
    prefix = FAMILIES[model_type].published_layers or FAMILIES[model_type].layers
    return {f"{prefix}.1.{name}": tensor for name, tensor in several[model_type].items()}


STACKED = ("qwen3_moe", "qwen3_vl_moe", "gemma4_text", "inkling_text", "jetmoe", "dbrx", "step3p7")


@pytest.mark.parametrize("model_type", STACKED)
def test_every_layout_gives_the_same_matrices(model_type: str) -> None:
    tensors = _stored(model_type)
    layout = _layout(model_type, tensors)
    assert (layout.moe_layers, layout.experts) == ((1,), EXPERTS)
    wanted: dict[Role, torch.Tensor] = dict(zip(ROLES, (UP, ACT, DOWN), strict=True))
    for role, matrix in wanted.items():
        (name,) = layout.stored(1, role)
        assert torch.equal(layout.unpack(tensors[name], role), matrix)
        assert layout.shape(tuple(tensors[name].shape), role) == tuple(matrix.shape)
    assert layout.as_module == (model_type in ("qwen3_moe", "gemma4_text", "jetmoe"))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("width", "inner"), [(4, 2), (4, 4), (4, 3)], ids=["2m = d", "m = d", "neither"])
def test_transposed_under_the_same_names_is_told_by_shapes(width: int, inner: int, turned: bool) -> None:
    both, down = torch.zeros(2, 2 * inner, width), torch.zeros(2, width, inner)
    layer = "model.language_model.layers.0.mlp"
    layout = _layout(
        "qwen3_vl_moe",
        {
            f"{layer}.gate.weight": torch.zeros(2, width),
            f"{layer}.experts.gate_up_proj": both.transpose(1, 2) if turned else both,
            f"{layer}.experts.down_proj": down.transpose(1, 2) if turned else down,
        },
    )
    assert layout.as_module == (not turned)


def test_a_part_of_several_is_found_with_and_without_its_prefix() -> None:
    for prefix in ("thinker.model.layers", "thinker.model.language_model.layers", "model.language_model.layers"):
        layout = _layout("qwen3_omni_moe", {f"{prefix}.2.mlp.gate.weight": ROUTER})
        assert layout.moe_layers == (2,) and layout.router(2) == f"{prefix}.2.mlp.gate.weight"
        assert layout.stored(2, "up")[1] == f"{prefix}.2.mlp.experts.1.up_proj.weight"


def test_a_published_router_may_be_transposed() -> None:
    published = _layout("ernie4_5_vl_moe", {"model.layers.1.mlp.gate.weight": ROUTER.T})
    own = _layout("ernie4_5_vl_moe", {"model.language_model.layers.1.mlp.text_moe.gate.weight": ROUTER})
    assert (published.experts, published.router_is_transposed) == (EXPERTS, True)
    assert (own.experts, own.router_is_transposed) == (EXPERTS, False)
    assert published.stored(1, "act")[0] == "model.layers.1.mlp.experts.0.gate_proj.weight"
    assert own.block == "mlp.text_moe"


def test_no_router_means_no_layers_and_the_names_of_transformers() -> None:
    layout = _layout("mixtral", {"model.layers.0.mlp.up_proj.weight": ROUTER})
    assert layout.moe_layers == () and layout.router(0) == "model.layers.0.mlp.gate.weight"
