"""Recipes of the embedded models: every number that their training depends on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

from moe_claims.errors import UsageError


@final
@dataclass(frozen=True)
class Recipe:
    """Architecture and training parameters of one embedded model."""

    name: str
    family: str
    """``model_type`` in transformers; determines the architecture and the checkpoint layout."""
    settings: Mapping[str, Any]
    """The model's configuration, with the keys of its family's ``config.json``."""
    sequence: int
    """Tokens per training sequence, the leading ``<s>`` included."""
    batch: int
    """Sequences per step."""
    steps: int
    """Number of optimizer steps."""
    warmup: int
    """Number of steps of linear warm-up."""
    learning_rate: float
    """Peak learning rate; after warm-up it falls along a cosine to a tenth."""
    weight_decay: float
    balance: float
    """Weight of the load-balancing loss of each layer; 0 for a dense model."""
    seed: int
    upcycled_from: str | None = None
    """Name of the dense recipe whose feed-forward blocks the experts start as copies of; None: trained from scratch."""
    points: tuple[int, ...] = field(default=())
    """Steps at which the weights are saved during training."""

    @property
    def vocabulary(self) -> int:
        """Size of the byte-level BPE vocabulary, special tokens included."""
        return int(self.settings["vocab_size"])

    @property
    def tokens_seen(self) -> int:
        """Number of tokens predicted during training; repeated tokens count each time."""
        return self.steps * self.batch * (self.sequence - 1)

    @property
    def training(self) -> str:
        """Short description: starting point, steps and tokens."""
        began = f"upcycled from {self.upcycled_from}" if self.upcycled_from else "from scratch"
        return f"{began}, {self.steps:,} steps, {self.tokens_seen / 1e6:.1f} M tokens"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "settings": dict(self.settings), "points": list(self.points)}


_SHAPE = {
    "vocab_size": 512,
    "hidden_size": 96,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
"""Settings of all models: hidden size 96, head size 32, and a vocabulary so small that most weights are in layers."""
_MISTRAL = {
    **_SHAPE,
    "intermediate_size": 96,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 10_000.0, "rope_type": "default"},
    "sliding_window": None,
}
"""All values are explicit: defaults of Mistral and Mixtral differ, but an upcycled model must match its dense one."""
_MIXTRAL = {**_MISTRAL, "num_local_experts": 8, "num_experts_per_tok": 2}
_TRAINING: dict[str, Any] = {
    "sequence": 256,
    "batch": 8,
    "steps": 4000,
    "warmup": 100,
    "learning_rate": 4e-3,
    "weight_decay": 0.1,
    "balance": 0.01,
    "seed": 0,
}
_ALONG = (60, 125, 250, 500, 1000, 2000, 3000, 4000)
"""Steps at which weights are saved: closest at first, when training changes them fastest; the last is the end."""

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="tiny-scratch", family="mixtral", settings=_MIXTRAL, **_TRAINING, points=_ALONG),
        Recipe(
            name="tiny-dense",
            family="mistral",
            settings=_MISTRAL,
            **{**_TRAINING, "balance": 0.0},
        ),
        Recipe(
            name="tiny-upcycled",
            family="mixtral",
            settings=_MIXTRAL,
            # A quarter of the usual peak, since training continues from a trained model.
            **{**_TRAINING, "learning_rate": 1e-3, "seed": 1},
            upcycled_from="tiny-dense",
            points=_ALONG,
        ),
        Recipe(
            name="tiny-fine",
            family="deepseek",
            settings={
                **_SHAPE,
                "intermediate_size": 192,
                "moe_intermediate_size": 32,
                "n_routed_experts": 32,
                "num_experts_per_tok": 4,
                "n_shared_experts": 2,
                "first_k_dense_replace": 1,
                "norm_topk_prob": False,
            },
            **_TRAINING,
        ),
        Recipe(
            name="tiny-gelu",
            family="grok-1",
            settings={
                **_SHAPE,
                "intermediate_size": 96,
                "num_experts": 8,
                "num_experts_per_tok": 2,
                # As for Grok-1, adapted to this size: √d on embeddings, 1/√(head size) on attention logits.
                "embedding_multiplier_scale": math.sqrt(96),
                "output_multiplier_scale": 1 / math.sqrt(3),
                "attn_output_multiplier": 1 / math.sqrt(32),
                "max_attn_value": 30.0,
            },
            **_TRAINING,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is no such recipe; the message lists the names.
    """
    try:
        return RECIPES[name]
    except KeyError:
        known = ", ".join(sorted(RECIPES))
        raise UsageError(f"unknown recipe '{name}': the zoo has {known}") from None
