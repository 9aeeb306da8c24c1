"""Synthetic MoEs: real Mixtral models whose weights make each headline claim true or false.

Every layer is built from a similarity level s per matrix kind (how much of its weights
the experts share) and, in planted models, from one rule: the rows of W_act point along
the expert's router row. All else follows. The gate opens further the higher the router's
score, so that output norms follow scores; experts that share less answer less alike; and
mean W_act rows repeat the similarity pattern of the router rows. Null models draw the
router rows apart from the experts and let s wander smoothly over depth without a trend.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import UsageError

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
_CONSTANT = 4.0
"""Coordinate 0 of every token embedding; the others have variance 1."""


@final
@dataclass(frozen=True)
class Shape:
    """Sizes of a synthetic model: every field can be set in the query of its name."""

    seed: int = 0
    layers: int = 16
    experts: int = 8
    top_k: int = 2
    hidden: int = 48
    intermediate: int = 48
    vocabulary: int = 512
    context: int = 96
    """Longest sequence; longer passages are cut to it."""
    pattern: str = "none"
    """Null models only: ``none`` (router unrelated to all matrices) or ``equal`` (to all three alike)."""


def shape_of(kind: str, options: Mapping[str, int | float | str]) -> Shape:
    """The sizes asked for in ``synthetic:KIND?name=value&…``.

    Raises:
        UsageError: an unknown name, or a value that makes no model.
    """
    shape = Shape()
    known = {f.name: type(getattr(shape, f.name)) for f in fields(Shape)}
    for name, value in options.items():
        if name not in known:
            raise UsageError(f"synthetic:{kind} has no option '{name}': it takes {', '.join(known)}")
        if type(value) is not known[name]:  # isinstance would take true for 1
            wanted = "a whole number" if known[name] is int else "none or equal"
            raise UsageError(f"synthetic:{kind}?{name}={value}: {name} is {wanted}")
        changed: dict[str, Any] = {name: value}
        shape = replace(shape, **changed)
    if kind != "null" and "pattern" in options:
        raise UsageError(f"synthetic:{kind}?pattern={shape.pattern}: only synthetic:null takes a pattern")
    if shape.pattern not in ("none", "equal"):
        raise UsageError(f"synthetic:{kind}?pattern={shape.pattern}: patterns are none and equal")
    smallest = {"seed": 0, "layers": 1, "experts": 2, "hidden": 16, "intermediate": 4, "vocabulary": 16, "context": 4}
    for name, least in smallest.items():
        if getattr(shape, name) < least:
            raise UsageError(f"synthetic:{kind}?{name}={getattr(shape, name)}: {name} is at least {least}")
    if shape.hidden % 16:
        raise UsageError(f"synthetic:{kind}?hidden={shape.hidden}: hidden is a multiple of 16")
    if not 1 <= shape.top_k <= shape.experts:
        raise UsageError(f"synthetic:{kind}?top_k={shape.top_k}: top_k is between 1 and the {shape.experts} experts")
    return shape


def config_of(shape: Shape) -> dict[str, Any]:
    """The ``config.json`` of a synthetic model."""
    return {
        "model_type": "mixtral",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.hidden // 8,
        "num_key_value_heads": shape.hidden // 16,
        "num_local_experts": shape.experts,
        "num_experts_per_tok": shape.top_k,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": False,
    }


def encode(text: str, vocabulary: int) -> list[int]:
    """A tokenizer without a fitted vocabulary: one token per word, its id a hash; 0 begins."""
    return [0, *(1 + crc32(word.lower().encode()) % (vocabulary - 1) for word in text.split())]


def make(kind: str, shape: Shape) -> "dict[str, torch.Tensor]":
    """The weights of a planted or null model, in the original Mixtral layout, float32.

    The residual stream stays close to the token embeddings: attention and experts add
    little, so that every layer sees the same well-spread inputs, and coordinate 0 of the
    embeddings is constant, which gives W_act a bias to work around.
    """
    import torch

    rng = np.random.default_rng((shape.seed, ("planted", "null").index(kind)))
    planted = kind == "planted"
    d = shape.hidden
    weights: dict[str, Floats] = {}
    embedding = rng.standard_normal((shape.vocabulary, d))
    embedding[:, 0] = _CONSTANT
    weights["model.embed_tokens.weight"] = embedding
    weights["model.norm.weight"] = np.ones(d)
    weights["lm_head.weight"] = rng.standard_normal((shape.vocabulary, d)) / np.sqrt(d)
    curves = [_levels(planted, shape.layers, rng) for _ in range(3)]
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        for name, rows in (("q", d), ("k", d // 2), ("v", d // 2), ("o", d)):
            scale = 0.3 if name == "o" else 1.0
            weights[f"{prefix}.self_attn.{name}_proj.weight"] = scale * rng.standard_normal((rows, d)) / np.sqrt(d)
        weights[f"{prefix}.input_layernorm.weight"] = np.ones(d)
        weights[f"{prefix}.post_attention_layernorm.weight"] = np.ones(d)
        router, up, act, down = _layer(planted, shape, [curve[layer] for curve in curves], rng)
        block = f"{prefix}.block_sparse_moe"
        weights[f"{block}.gate.weight"] = router
        for expert in range(shape.experts):
            for name, matrix in (("w1", act), ("w2", down), ("w3", up)):
                weights[f"{block}.experts.{expert}.{name}.weight"] = matrix[expert]
    return {name: torch.from_numpy(value).float() for name, value in weights.items()}


def _levels(planted: bool, layers: int, rng: np.random.Generator) -> Floats:
    """Shared fraction of the experts' weights by layer, in (0, 1).

    Planted: a straight fall with a little noise, and a last layer that is alike again.
    Null: an AR(1) curve (φ = 0.7) around one half, last layer included.
    """
    noise = rng.standard_normal(layers)
    if planted:
        levels = np.linspace(0.8, 0.35, layers) + 0.015 * noise
        levels[-1] = 0.92
        return levels
    curve = np.empty(layers)
    curve[0] = noise[0] / np.sqrt(1 - 0.7**2)
    for layer in range(1, layers):
        curve[layer] = 0.7 * curve[layer - 1] + noise[layer]
    return np.clip(0.5 + 0.05 * curve, 0.05, 0.95)


def _router_rows(shape: Shape, rng: np.random.Generator) -> Floats:
    """(E, d) rows with a similarity pattern worth following: two loose groups, unequal spread."""
    d = shape.hidden
    centres = rng.standard_normal((2, d))
    member = rng.permutation(shape.experts) % 2
    rows = 0.6 * centres[member] + rng.uniform(0.7, 1.3, (shape.experts, 1)) * rng.standard_normal((shape.experts, d))
    rows[:, 0] = 0.0
    return np.asarray(rows / np.sqrt(d))


def _mix(level: float, shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """(E, …) Gaussian matrices that share a part: their cosines are ``level`` in expectation."""
    shared, own = rng.standard_normal(shape[1:]), rng.standard_normal(shape)
    return np.asarray(np.sqrt(level) * shared + np.sqrt(1 - level) * own)


def _layer(
    planted: bool, shape: Shape, levels: list[float], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Router (E, d), up and act (E, m, d), down (E, d, m) of one layer."""
    experts, d, m = shape.experts, shape.hidden, shape.intermediate
    router = _router_rows(shape, rng)
    up = _mix(levels[0], (experts, m, d), rng) / np.sqrt(d)
    act = _mix(levels[1], (experts, m, d), rng) / np.sqrt(d)
    down = _mix(levels[2], (experts, d, m), rng) / np.sqrt(m)
    if planted:
        act = 1.5 * act + router[:, None, :]
        act[:, :, 0] += 0.8  # keeps the gate open, where SiLU rises with the score
    else:
        # A static pattern in the norms and another in the scores, drawn apart from each other.
        down = down * np.exp(0.3 * rng.standard_normal((experts, 1, 1)))
        router[:, 0] += 0.15 * rng.standard_normal(experts)
        if shape.pattern == "equal":
            up, act = 0.5 * up + router[:, None, :], 0.5 * act + router[:, None, :]
            down = 0.5 * down + router[:, :, None]
    return 2.0 * router, up, act, 0.1 * down
