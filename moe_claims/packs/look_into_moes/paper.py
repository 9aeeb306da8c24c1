"""Numbers from the literature: printed values of arXiv 2406.18219, and routing counts published by others.

Derived numbers (means, parameter counts, verdicts) are computed where they are needed and not stored. The
numbers are in two files beside this module:

- ``published_values.json``: Tables 1 to 7, numbers in the text and the bar heights of Figure 10.
- ``public_routing_counts.json``: expert choices of the real Mixtral 8x7B and OLMoE models.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, final


@final
@dataclass(frozen=True)
class Attention:
    """Architecture of a model as far as parameter counting needs it and the paper does not print it."""

    query_heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied_embeddings: bool
    """Whether the output projection is the input embedding, stored once."""


@final
@dataclass(frozen=True)
class Architecture:
    """A mixture-of-experts model as far as its parameter count depends on it (paper, Tables 1 and 4)."""

    hidden: int
    intermediate: int
    """Width m of one routed expert; a shared expert is as wide."""
    total_layers: int
    moe_layers: int
    routed_experts: int
    shared_experts: int
    top_k: int
    dense_intermediate: int
    """Width of the feed-forward block of layers that are not MoE layers; 0 if there are none."""
    attention: Attention


# From each model's published configuration: ``config.json`` on the hub for the Mixtrals and
# DeepSeekMoE, ``run.py`` and ``model.py`` of github.com/xai-org/grok-1 for Grok-1.
_ATTENTION: dict[str, Attention] = {
    "mixtral-8x7b": Attention(32, 8, 128, 32_000, tied_embeddings=False),
    "mixtral-8x22b": Attention(48, 8, 128, 32_000, tied_embeddings=False),
    "deepseek-moe-16b": Attention(16, 16, 128, 102_400, tied_embeddings=False),
    "grok-1": Attention(48, 8, 128, 131_072, tied_embeddings=True),
}


@cache
def _text(name: str) -> str:
    return files("moe_claims.packs.look_into_moes").joinpath(name).read_text(encoding="utf-8")


def _facts(name: str) -> dict[str, Any]:
    """Parses the file on every call, so that callers cannot change each other's data."""
    facts: dict[str, Any] = json.loads(_text(name))
    return facts


def published() -> Mapping[str, Any]:
    """Numbers that the paper prints, by table; every call returns a fresh copy."""
    return _facts("published_values.json")


@cache
def models() -> Mapping[str, str]:
    """The paper's models: id on the hub → key in the published values."""
    return {str(facts["hub"]): str(key) for key, facts in published()["models"].items()}


def routing_counts() -> Mapping[str, Any]:
    """Expert-choice counts of real models, by model, domain and layer; every call returns a fresh copy.

    ``["models"][hub_id]["domains"][domain]["topk"][layer]`` is a list of E counts, in tokens.
    Source: the OLMoE authors' public repository (Apache-2.0), layers 0, 7 and 15.
    """
    return _facts("public_routing_counts.json")


def architecture(model: str, paper: Mapping[str, Any] | None = None) -> Architecture:
    """Architecture of one of the paper's MoE models, such as ``"grok-1"``.

    Raises:
        ValueError: the architecture of the model is unknown.
    """
    if model not in _ATTENTION:
        raise ValueError(f"no architecture known for {model!r}: use one of {', '.join(_ATTENTION)}")
    facts = (published() if paper is None else paper)["models"][model]
    return Architecture(
        hidden=facts["hidden"],
        intermediate=facts["intermediate"],
        total_layers=facts["total_layers"],
        moe_layers=facts["moe_layers"],
        routed_experts=facts["routed_experts"],
        shared_experts=facts["shared_experts"],
        top_k=facts["top_k"],
        dense_intermediate=facts.get("dense_first_layer_intermediate", 0),
        attention=_ATTENTION[model],
    )
