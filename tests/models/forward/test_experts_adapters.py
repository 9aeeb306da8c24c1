"""Experts outside transformers' interface: run by the kernel they return what they return by themselves."""

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.experts_adapters import ADAPTERS, adapt_experts

pytestmark = pytest.mark.numerics

EXPERTS, WIDTH, INNER, TOKENS, TOP_K = 4, 6, 5, 7, 2


def _dbrx() -> tuple[Any, Any]:
    from transformers.models.dbrx.modeling_dbrx import DbrxConfig, DbrxFFN

    chosen = {"ffn_hidden_size": INNER, "moe_num_experts": EXPERTS, "moe_top_k": TOP_K}
    block = DbrxFFN(DbrxConfig(d_model=WIDTH, ffn_config=chosen))
    return block, block.experts


def _jetmoe() -> tuple[Any, Any]:
    from transformers.models.jetmoe.modeling_jetmoe import JetMoeConfig, JetMoeMoE

    sizes = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_local_experts": EXPERTS}
    block = JetMoeMoE(JetMoeConfig(**sizes, num_experts_per_tok=TOP_K))
    return block, block


def _step() -> tuple[Any, Any]:
    step = pytest.importorskip("transformers.models.step3p7.modeling_step3p7")
    sizes = {"hidden_size": WIDTH, "moe_intermediate_size": INNER, "n_routed_experts": EXPERTS, "share_expert_dim": 8}
    config = step.Step3p7TextConfig(**sizes, num_experts_per_tok=TOP_K, swiglu_limits=[1.5] * 45)
    block = step.Step3p7SparseMoeBlock(config, 0)
    return block, block.experts


MAKERS = {"DbrxExperts": _dbrx, "JetMoeMoE": _jetmoe, "Step3p7Experts": _step}


def test_every_adapter_is_tried() -> None:
    assert set(MAKERS) == set(ADAPTERS)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_block_returns_what_it_returns_by_itself(make: Callable[[], tuple[Any, Any]]) -> None:
    torch.manual_seed(3)
    block, module = make()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    hidden = torch.randn(1, TOKENS, WIDTH)
    experts, seen = adapt_experts(module), list[experts_kernel.ExpertBatch]()
    experts.moe_claims_neutral = 1.0
    with torch.no_grad():
        module_forward = module.__dict__.pop("forward")  # as it was made
        theirs = block(hidden)
        module.forward = module_forward
        with experts_kernel.observing(experts, torch.nn.Identity(), SimpleNamespace(observe=seen.append)):
            ours = block(hidden)
    torch.testing.assert_close(ours, theirs)
    (batch,) = seen
    assert batch.outputs.shape == (TOKENS, EXPERTS, WIDTH) and batch.activations.shape == (TOKENS, EXPERTS, INNER)
    for expert in range(EXPERTS):
        act = experts.gate_up_proj[expert][:INNER]
        plain = torch.nn.functional.silu(hidden[0] @ act.T)
        limit = getattr(module, "limit", float("inf"))
        torch.testing.assert_close(batch.activations[:, expert], plain.clamp(max=limit))


def test_a_module_behind_the_interface_is_left_as_it_is() -> None:
    module = SimpleNamespace(is_transposed=False, forward=None)
    assert adapt_experts(module) is module
    linear = torch.nn.Linear(2, 2)
    assert (
        adapt_experts(linear) is linear and adapt_experts(deepcopy(linear)).forward.__func__ is torch.nn.Linear.forward
    )
