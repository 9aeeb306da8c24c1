"""The experts kernel against transformers' own, and which experts it turns away."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from moe_claims.errors import ModelError
from moe_claims.models import kernel

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
    kernel.register()
    kernel.register()
    assert ALL_EXPERTS_FUNCTIONS[kernel.KERNEL] is kernel.observed_experts


@pytest.mark.parametrize("chunk", [1, 150, 10**9])
@pytest.mark.parametrize("act", ["silu", "gelu"])
def test_routed_sum_is_that_of_transformers(act: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_CHUNK_FLOATS", chunk)
    module = _experts(hidden_act=act)
    with torch.no_grad():
        theirs = module(*_routing())  # outside a model, transformers computes expert by expert
        ours = kernel.observed_experts(module, *_routing())
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_observer_gets_every_expert_before_the_gate_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_CHUNK_FLOATS", 10 * EXPERTS * (WIDTH + INNER))
    module, (hidden, index, weights) = _experts(), _routing()
    seen: list[kernel.ExpertBatch] = []
    module.moe_claims_observer = SimpleNamespace(observe=seen.append)
    with torch.no_grad():
        kernel.observed_experts(module, hidden, index, weights)
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
        ours = kernel.observed_experts(module, hidden.bfloat16(), index, weights)
    assert ours.dtype == torch.bfloat16
    assert ours.isfinite().all()


def test_families_of_the_table_are_supported(layerwise: Any, tiny_configs: Any) -> None:
    for name in tiny_configs:
        model = layerwise(name)
        for layer in model.checkpoint.moe_layers:
            kernel.check_supported(model._layers[layer].mlp.experts)
    kernel.check_supported(_experts())


def test_experts_of_another_making_are_refused() -> None:
    from transformers import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts

    config = GptOssConfig(hidden_size=WIDTH, intermediate_size=INNER, num_local_experts=EXPERTS, num_hidden_layers=1)
    with torch.device("meta"), pytest.raises(ModelError) as caught:
        kernel.check_supported(GptOssExperts(config))
    assert str(caught.value) == (
        "GptOssExperts has experts with biases, a gate of their own or another weight layout: only its weights can be "
        "measured so far"
    )


@pytest.mark.parametrize("trait", ["is_transposed", "has_bias", "has_post_expert_norm"])
def test_each_deviation_is_refused(trait: str) -> None:
    module = _experts()
    setattr(module, trait, True)
    with pytest.raises(ModelError, match="MixtralExperts has experts with biases"):
        kernel.check_supported(module)


@pytest.mark.parametrize("trait", ["is_concatenated", "has_gate"])
def test_each_trait_is_needed(trait: str) -> None:
    module = _experts()
    setattr(module, trait, False)
    with pytest.raises(ModelError, match="MixtralExperts has experts with biases"):
        kernel.check_supported(module)


def test_a_gate_of_its_own_is_refused() -> None:
    class Clamped(type(_experts())):  # type: ignore[misc]
        def _apply_gate(self, gate_up: torch.Tensor) -> torch.Tensor:
            return gate_up.chunk(2, dim=-1)[0].clamp(max=7.0)

    module = _experts()
    module.__class__ = Clamped
    with pytest.raises(ModelError, match="Clamped has experts with biases, a gate of their own"):
        kernel.check_supported(module)
