"""The experts kernel against transformers' own, and which experts it turns away."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from moe_claims.errors import ModelError
from moe_claims.models.forward import experts_kernel

pytestmark = pytest.mark.numerics

TOKENS, WIDTH, INNER, EXPERTS, TOP_K = 23, 16, 12, 5, 2


def _experts(**config: Any) -> torch.nn.Module:
    """An experts module of transformers, filled with seeded weights."""
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    sizes = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_local_experts": EXPERTS}
    module = MixtralExperts(MixtralConfig(**sizes, num_experts_per_tok=TOP_K, **config))
    generator = torch.Generator().manual_seed(5)
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return module


def _routing() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator)
    weights, index = torch.rand(TOKENS, EXPERTS, generator=generator).topk(TOP_K)
    return hidden, index, weights


def test_registering_twice_is_harmless() -> None:
    experts_kernel.register()
    experts_kernel.register()
    assert ALL_EXPERTS_FUNCTIONS[experts_kernel.KERNEL] is experts_kernel.observed_experts


@pytest.mark.parametrize("chunk", [1, 150, 10**9])
@pytest.mark.parametrize("act", ["silu", "gelu"])
def test_routed_sum_is_that_of_transformers(act: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", chunk)
    module = _experts(hidden_act=act)
    with torch.no_grad():
        theirs = module(*_routing())  # outside a model, transformers computes expert by expert
        ours = experts_kernel.observed_experts(module, *_routing())
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_observer_gets_every_expert_before_the_gate_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 10 * EXPERTS * (WIDTH + INNER))
    module, (hidden, index, weights) = _experts(), _routing()
    seen: list[experts_kernel.ExpertBatch] = []
    module.moe_claims_observer = SimpleNamespace(observe=seen.append)
    with torch.no_grad():
        experts_kernel.observed_experts(module, hidden, index, weights)
    assert [(batch.start, len(batch.hidden)) for batch in seen] == [(0, 10), (10, 10), (20, 3)]
    assert torch.equal(torch.cat([batch.hidden for batch in seen]), hidden)
    assert torch.equal(torch.cat([batch.chosen for batch in seen]), index)
    with torch.no_grad():
        for expert in range(EXPERTS):  # each expert alone, through transformers' own code, with weight one
            alone = module(hidden, torch.full((TOKENS, 1), expert), torch.ones(TOKENS, 1))
            outputs = torch.cat([batch.outputs for batch in seen])[:, expert]
            torch.testing.assert_close(outputs, alone, rtol=1e-5, atol=1e-6)
            gate = hidden @ module.gate_up_proj[expert, :INNER].T
            activations = torch.cat([batch.activations for batch in seen])[:, expert]
            torch.testing.assert_close(activations, gate * gate.sigmoid(), rtol=1e-5, atol=1e-6)


def test_bfloat16_stays_bfloat16() -> None:
    hidden, index, weights = _routing()
    with torch.no_grad():
        module = _experts().bfloat16()
        ours = experts_kernel.observed_experts(module, hidden.bfloat16(), index, weights)
    assert ours.dtype == torch.bfloat16
    assert ours.isfinite().all()


def test_families_of_the_table_are_supported(layerwise: Any, tiny_configs: Any) -> None:
    for name in tiny_configs:
        model = layerwise(name)
        for layer in model.checkpoint.moe_layers:
            experts_kernel.check_supported(model._layers[layer].mlp.experts)
    experts_kernel.check_supported(_experts())


def _gpt_oss() -> torch.nn.Module:
    """Transposed and interleaved weights, biases, a clamped gate that adds 1 to up."""
    from transformers import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts

    config = GptOssConfig(hidden_size=WIDTH, intermediate_size=INNER, num_local_experts=EXPERTS, num_hidden_layers=1)
    module = GptOssExperts(config)
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def test_experts_with_biases_and_a_gate_of_their_own() -> None:
    module, (hidden, index, weights) = _gpt_oss(), _routing()
    experts_kernel.check_supported(module)
    module.moe_claims_neutral = 0.0
    seen: list[experts_kernel.ExpertBatch] = []
    module.moe_claims_observer = SimpleNamespace(observe=seen.append)
    with torch.no_grad():
        theirs = module(hidden, index, weights)
        ours = experts_kernel.observed_experts(module, hidden, index, weights)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        for expert in range(EXPERTS):
            both = hidden @ module.gate_up_proj[expert] + module.gate_up_proj_bias[expert]
            gate = both[:, ::2].clamp(max=module.limit)
            torch.testing.assert_close(seen[0].activations[:, expert], gate * torch.sigmoid(module.alpha * gate))
            alone = module(hidden, torch.full((TOKENS, 1), expert), torch.ones(TOKENS, 1))
            torch.testing.assert_close(seen[0].outputs[:, expert], alone, rtol=1e-5, atol=1e-5)


def test_experts_without_a_gate_are_refused() -> None:
    module = _experts()
    module.has_gate = False
    with pytest.raises(ModelError) as caught:
        experts_kernel.check_supported(module)
    assert str(caught.value) == "MixtralExperts has experts without a gate: they have no W_act to be measured"


def test_a_norm_behind_the_experts_is_part_of_their_outputs() -> None:
    module, (hidden, index, weights) = _experts(), _routing()
    seen: list[experts_kernel.ExpertBatch] = []
    with torch.no_grad(), experts_kernel.observing(module, torch.nn.Identity(), SimpleNamespace(observe=seen.append)):
        experts_kernel.observed_experts(module, hidden, index, weights)
        module.has_post_expert_norm, module.post_expert_norm = True, torch.nn.RMSNorm(WIDTH)
        routed = experts_kernel.observed_experts(module, hidden, index, weights)
        plain, normed = (batch.outputs for batch in seen)
        torch.testing.assert_close(normed, module.post_expert_norm(plain))
        chosen = normed.gather(1, index[:, :, None].expand(-1, -1, WIDTH))
        torch.testing.assert_close(routed, (chosen * weights[:, :, None]).sum(dim=1))


def test_experts_outside_the_interface_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"^Linear does not implement the experts interface of the installed transformers "
    ):
        experts_kernel.check_supported(torch.nn.Linear(2, 2))


def test_what_the_router_was_asked_and_answered_is_shown_while_observed() -> None:
    module, (hidden, index, weights) = _experts(), _routing()
    router = torch.nn.Linear(WIDTH, EXPERTS)
    seen: list[experts_kernel.ExpertBatch] = []
    with torch.no_grad():
        with experts_kernel.observing(module, router, SimpleNamespace(observe=seen.append)):
            logits = router(hidden[None])
            experts_kernel.observed_experts(module, 2 * hidden, index, weights)
        experts_kernel.observed_experts(module, hidden, index, weights)
    (batch,) = seen
    assert torch.equal(batch.router_input, hidden) and torch.equal(batch.hidden, 2 * hidden)
    assert len(batch.router_outputs) == 1 and torch.equal(batch.router_outputs[0], logits[0])
