"""The recipes of the embedded models: every number that their training depends on."""

from dataclasses import asdict, dataclass
from typing import Any, final

from moe_claims.errors import UsageError


@final
@dataclass(frozen=True)
class Recipe:
    """One model of the zoo and how it is trained.

    Sizes follow the paper's notation: hidden d, intermediate m, experts E, top-k.
    """

    name: str
    family: str
    """transformers ``model_type``; decides the architecture and the checkpoint layout."""
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    experts: int
    top_k: int
    vocabulary: int
    """Entries of the byte-level BPE vocabulary, special tokens included."""
    sequence: int
    """Tokens per training sequence, the leading ``<s>`` included."""
    batch: int
    """Sequences per step."""
    steps: int
    warmup: int
    learning_rate: float
    """Peak of the schedule: linear warm-up, then a cosine down to a tenth."""
    weight_decay: float
    balance: float
    """Weight of the load-balancing loss (Mixtral's ``router_aux_loss_coef``)."""
    seed: int

    def config(self) -> dict[str, Any]:
        """Keyword arguments of the family's config class."""
        return {
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "num_local_experts": self.experts,
            "num_experts_per_tok": self.top_k,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 2 * self.sequence,
            "router_aux_loss_coef": self.balance,
            "bos_token_id": 0,
            "eos_token_id": 1,
        }

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


RECIPES = {
    "tiny-scratch": Recipe(
        name="tiny-scratch",
        family="mixtral",
        hidden=128,
        intermediate=128,
        layers=12,
        heads=4,
        kv_heads=2,
        experts=8,
        top_k=2,
        vocabulary=2048,
        sequence=256,
        batch=16,
        steps=2400,
        warmup=120,
        learning_rate=3e-3,
        weight_decay=0.1,
        balance=0.02,
        seed=0,
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        known = ", ".join(sorted(RECIPES))
        raise UsageError(f"unknown recipe '{name}': the zoo has {known}") from None
