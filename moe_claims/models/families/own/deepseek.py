"""DeepSeekMoE-16B (``model_type: "deepseek"``): Llama's attention, many small routed experts, shared ones beside them.

Dai et al., "DeepSeekMoE: Towards Ultimate Expert Specialization in Mixture-of-Experts Language
Models", 2024. Settings, tensor names and arithmetic are those of deepseek-ai/deepseek-moe-16b-base;
attention, norms, rotary positions, masks and the language-model head are transformers' own.
"""

from typing import Any, final

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Experts, DeepseekV2MLP
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)
from transformers.models.mixtral.modeling_mixtral import (
    MixtralForCausalLM,
    MixtralModel,
    MixtralPreTrainedModel,
    MixtralTopKRouter,
)
from transformers.utils.output_capturing import OutputRecorder


@final
class DeepseekConfig(LlamaConfig):
    """Settings by their published names and defaults; those of attention are Llama's."""

    model_type = "deepseek"
    attribute_map = {"num_local_experts": "n_routed_experts", "num_experts": "n_routed_experts"}  # noqa: RUF012
    sliding_window = None  # asked for by Mixtral's forward

    vocab_size: int = 102400
    num_hidden_layers: int = 30
    moe_intermediate_size: int = 1407
    n_shared_experts: int | None = None
    n_routed_experts: int | None = None
    num_experts_per_tok: int | None = None
    moe_layer_freq: int = 1
    first_k_dense_replace: int = 0
    norm_topk_prob: bool = False
    scoring_func: str = "softmax"
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    bos_token_id: int | None = 100000
    eos_token_id: int | list[int] | None = 100001

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.scoring_func != "softmax":
            raise ValueError(f"scoring_func is '{self.scoring_func}', but the models published have softmax alone")

    def has_experts(self, layer: int) -> bool:
        """Whether a layer has experts; the others have one dense block."""
        return (
            self.n_routed_experts is not None
            and layer >= self.first_k_dense_replace
            and layer % self.moe_layer_freq == 0
        )


@final
class DeepseekRouter(MixtralTopKRouter):
    """Softmax over all experts first, then the largest k; their weights sum to less than 1 unless made to."""

    def __init__(self, config: DeepseekConfig) -> None:
        super().__init__(config)
        self.normalise = config.norm_topk_prob and self.top_k > 1

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(…, d) → logits (n, E), weights (n, k) and chosen experts (n, k), best first."""
        logits = nn.functional.linear(hidden_states.reshape(-1, self.hidden_dim), self.weight)
        weights, chosen = logits.softmax(dim=-1).topk(self.top_k, dim=-1)
        if self.normalise:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        return logits, weights, chosen


@final
class DeepseekMoE(nn.Module):
    """Routed experts, and one block as wide as all shared experts together that every token goes through."""

    def __init__(self, config: DeepseekConfig) -> None:
        super().__init__()
        self.gate = DeepseekRouter(config)
        self.experts = DeepseekV2Experts(config)
        if config.n_shared_experts is not None:
            width = config.moe_intermediate_size * config.n_shared_experts
            self.shared_experts = DeepseekV2MLP(config, intermediate_size=width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(b, t, d) → (b, t, d)."""
        _, weights, chosen = self.gate(hidden_states)
        routed: torch.Tensor = self.experts(hidden_states.reshape(-1, hidden_states.shape[-1]), chosen, weights)
        routed = routed.view_as(hidden_states)
        return routed + self.shared_experts(hidden_states) if hasattr(self, "shared_experts") else routed


@final
class DeepseekRotaryEmbedding(LlamaRotaryEmbedding):
    """Llama's, but what came before leaves no trace: under dynamic scaling the call's own length sets frequencies."""

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (b, t, head size) of the positions (b, t)."""
        if self.max_seq_len_cached != self.original_max_seq_len:
            self.max_seq_len_cached, self.inv_freq = self.original_max_seq_len, self.original_inv_freq.clone()
        found: tuple[torch.Tensor, torch.Tensor] = super().forward(x, position_ids)
        return found


@final
class DeepseekDecoderLayer(LlamaDecoderLayer):
    """Llama's, with experts in place of the dense block where the settings say so."""

    def __init__(self, config: DeepseekConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        if config.has_experts(layer_idx):
            self.mlp = DeepseekMoE(config)


class DeepseekPreTrainedModel(MixtralPreTrainedModel):
    """What decoder and language model share."""

    config: DeepseekConfig
    config_class = DeepseekConfig
    _no_split_modules = ["DeepseekDecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {  # noqa: RUF012
        "router_logits": OutputRecorder(DeepseekRouter, index=0),
        "hidden_states": DeepseekDecoderLayer,
        "attentions": LlamaAttention,
    }
    # transformers would look for its decorator in this file.
    _can_set_experts_implementation_cached_value = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, DeepseekV2Experts):
            initialization.normal_(module.gate_up_proj, mean=0.0, std=self.config.initializer_range)
            initialization.normal_(module.down_proj, mean=0.0, std=self.config.initializer_range)


@final
class DeepseekModel(DeepseekPreTrainedModel, MixtralModel):
    """The decoder; its forward is Mixtral's."""

    def __init__(self, config: DeepseekConfig) -> None:
        PreTrainedModel.__init__(self, config)  # Mixtral's own would make layers of its own
        self.padding_idx, self.vocab_size = config.pad_token_id, config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(DeepseekDecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = DeepseekRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


@final
class DeepseekForCausalLM(DeepseekPreTrainedModel, MixtralForCausalLM):
    """The language model; its forward and its loss are Mixtral's."""

    def __init__(self, config: DeepseekConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self.model = DeepseekModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.router_aux_loss_coef = config.router_aux_loss_coef
        self.num_experts, self.num_experts_per_tok = config.n_routed_experts, config.num_experts_per_tok
        self.post_init()
