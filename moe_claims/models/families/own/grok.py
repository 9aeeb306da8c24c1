"""Grok-1 (``model_type: "grok-1"``), as hpcai-tech/grok-1 publishes it for PyTorch.

Settings, tensor names and arithmetic are those of that repository's model; rotary positions,
masks, experts and the language model's loss are transformers' own. What differs from Mixtral:
attention logits are bounded by a tanh, every block is normed on both sides, the softmax over all
experts comes before the choice of k, GELU is the activation function, and embeddings and
logits are scaled.
"""

from typing import Any, final

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, initialization
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb, repeat_kv
from transformers.models.mixtral.modeling_mixtral import (
    MixtralExperts,
    MixtralForCausalLM,
    MixtralModel,
    MixtralPreTrainedModel,
    MixtralTopKRouter,
)
from transformers.utils.output_capturing import OutputRecorder

ROPE_THETA = 10_000.0
"""Base of the rotary positions, which no setting changes."""


@final
class Grok1Config(PreTrainedConfig):
    """Settings by their published names and defaults."""

    model_type = "grok-1"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]  # noqa: RUF012
    attribute_map = {"num_local_experts": "num_experts"}  # noqa: RUF012
    sliding_window = None  # asked for by Mixtral's forward
    hidden_act = "gelu"

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 32768
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    attn_output_multiplier: float = 1.0
    max_attn_value: float = 1.0
    max_position_embeddings: int = 4096
    embedding_multiplier_scale: float = 1.0
    output_multiplier_scale: float = 1.0
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True
    num_experts_per_tok: int = 2
    num_experts: int = 8
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    attention_dropout: float = 0.0
    rope_parameters: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        super().__post_init__(**kwargs)
        plain = {"rope_theta": ROPE_THETA, "rope_type": "default"}
        if self.rope_parameters not in (None, {}, plain):
            asked = dict(sorted(self.rope_parameters.items()))
            raise ValueError(f"the model published rotates by {plain} alone, not by {asked}: leave these settings out")
        self.rope_parameters = plain
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads")


@final
class Grok1RMSNorm(nn.Module):
    """Scaled in float32, before the cast back."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(…, d) → (…, d)."""
        wide = hidden_states.to(torch.float32)
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (self.scale * normed).to(hidden_states.dtype)


@final
class Grok1Attention(nn.Module):
    """Causal attention with grouped heads, whose logits a tanh keeps within ± ``max_attn_value``."""

    def __init__(self, config: Grok1Config, layer_idx: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.multiplier, self.bound = config.attn_output_multiplier, config.max_attn_value
        heads, key_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
        self.head_dim, self.groups = config.hidden_size // heads, heads // key_heads
        self.q_proj = nn.Linear(config.hidden_size, heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(heads * self.head_dim, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor,
        cache: Cache | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, t, d) → (b, t, d), and the weights (b, heads, t, t)."""
        query, key, value = (
            project(hidden_states).view(*hidden_states.shape[:-1], -1, self.head_dim).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        key, value = repeat_kv(key, self.groups), repeat_kv(value, self.groups)
        logits = (query @ key.transpose(2, 3)).to(torch.float32) * self.multiplier
        logits = self.bound * torch.tanh(logits / self.bound)
        weights = (logits + attention_mask).softmax(dim=-1).to(query.dtype)
        mixed = (weights @ value).transpose(1, 2).reshape(*hidden_states.shape[:-1], -1)
        return self.o_proj(mixed), weights


@final
class Grok1Router(MixtralTopKRouter):
    """Softmax over all experts, then the largest k; their weights sum to less than 1."""

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(n, d) → logits (n, E), weights (n, k) and chosen experts (n, k), best first."""
        logits = nn.functional.linear(hidden_states, self.weight)
        weights, chosen = logits.softmax(dim=-1, dtype=torch.float32).topk(self.top_k, dim=-1)
        return logits, weights.to(hidden_states.dtype), chosen


@final
class Grok1MoeBlock(nn.Module):
    """Router and experts."""

    def __init__(self, config: Grok1Config) -> None:
        super().__init__()
        self.gate = Grok1Router(config)
        self.experts = MixtralExperts(config)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(b, t, d) → (b, t, d)."""
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])
        _, weights, chosen = self.gate(tokens)
        routed: torch.Tensor = self.experts(tokens, chosen, weights)
        return routed.view_as(hidden_states)


@final
class Grok1DecoderLayer(GradientCheckpointingLayer):
    """Attention and experts, each between two norms and added to what came in."""

    def __init__(self, config: Grok1Config, layer_idx: int) -> None:
        super().__init__()
        self.attn = Grok1Attention(config, layer_idx)
        self.moe_block = Grok1MoeBlock(config)
        self.pre_attn_norm, self.post_attn_norm, self.pre_moe_norm, self.post_moe_norm = (
            Grok1RMSNorm(config.hidden_size, config.rms_norm_eps) for _ in range(4)
        )

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor,
        **named: Any,
    ) -> torch.Tensor:
        """(b, t, d) → (b, t, d)."""
        # Mixtral's forward hands on the cache, whose name depends on the release of transformers.
        cache = next((value for value in named.values() if isinstance(value, Cache)), None)
        mixed, _weights = self.attn(self.pre_attn_norm(hidden_states), position_embeddings, attention_mask, cache)
        hidden_states = hidden_states + self.post_attn_norm(mixed)
        after: torch.Tensor = hidden_states + self.post_moe_norm(self.moe_block(self.pre_moe_norm(hidden_states)))
        return after


@final
class ScaledEmbedding(nn.Embedding):
    """An embedding times a number."""

    def __init__(self, count: int, width: int, padding_idx: int | None, scale: float) -> None:
        super().__init__(count, width, padding_idx)
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…) ids → (…, d)."""
        return super().forward(input) * self.scale


@final
class ScaledHead(nn.Linear):
    """Logits times a number."""

    def __init__(self, width: int, count: int, scale: float) -> None:
        super().__init__(width, count, bias=False)
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…, d) → (…, V)."""
        return super().forward(input) * self.scale


class Grok1PreTrainedModel(MixtralPreTrainedModel):
    """What decoder and language model share."""

    config: Grok1Config
    config_class = Grok1Config
    _no_split_modules = ["Grok1DecoderLayer"]  # noqa: RUF012
    _can_record_outputs = {  # noqa: RUF012
        "router_logits": OutputRecorder(Grok1Router, index=0),
        "hidden_states": Grok1DecoderLayer,
        "attentions": Grok1Attention,
    }
    # Only the plain computation knows the tanh.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = False
    # transformers would look for its decorator in this file.
    _can_set_experts_implementation_cached_value = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The published code leaves everything at zero; the random control needs what transformers does elsewhere.
        super()._init_weights(module)
        if isinstance(module, Grok1RMSNorm):
            initialization.ones_(module.scale)


@final
class Grok1Model(Grok1PreTrainedModel, MixtralModel):
    """The decoder; its forward is Mixtral's."""

    def __init__(self, config: Grok1Config) -> None:
        PreTrainedModel.__init__(self, config)  # Mixtral's own would make layers of its own
        self.padding_idx, self.vocab_size = config.pad_token_id, config.vocab_size
        self.embed_tokens = ScaledEmbedding(
            config.vocab_size, config.hidden_size, config.pad_token_id, config.embedding_multiplier_scale
        )
        self.layers = nn.ModuleList(Grok1DecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = Grok1RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()


@final
class Grok1ModelForCausalLM(Grok1PreTrainedModel, MixtralForCausalLM):
    """The language model, whose forward and loss are Mixtral's; its name is the one in published configurations."""

    def __init__(self, config: Grok1Config) -> None:
        PreTrainedModel.__init__(self, config)
        self.model = Grok1Model(config)
        self.vocab_size = config.vocab_size
        self.lm_head = ScaledHead(config.hidden_size, config.vocab_size, config.output_multiplier_scale)
        self.router_aux_loss_coef = config.router_aux_loss_coef
        self.num_experts, self.num_experts_per_tok = config.num_experts, config.num_experts_per_tok
        self.post_init()
