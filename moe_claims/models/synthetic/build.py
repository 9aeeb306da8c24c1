"""Generates synthetic MoEs: Mixtral models whose weights make the claims true or false by construction.

Every layer is drawn according to a ``LayerPlan`` (``synthetic/plan.py``). Planted models follow a few rules: experts
share less of their weights in deeper layers, and one special expert shares less than the others; the rows of W_act
point along the expert's router row, so that gates open further the higher the router's score; words come in runs of
one topic, and each expert has a topic.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import UsageError
from moe_claims.models.synthetic import plan
from moe_claims.models.synthetic.layer import CONSTANT, TOPIC_STRENGTH, TOPICS, LayerWeights, layer_weights

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
_RUN = 8
"""Number of consecutive words that have the same topic, for planted models."""
PATTERNS = {"planted": ("all", "extremes", "upcycled"), "null": ("none", "equal", "special", "apart")}
"""Values of ``pattern`` by kind of model; the first is the default."""


@final
@dataclass(frozen=True)
class Shape:
    """Sizes and other options of a synthetic model; each is set as ``synthetic:KIND?FIELD=VALUE``."""

    seed: int = 0
    layers: int = 16
    experts: int = 8
    top_k: int = 2
    hidden: int = 48
    intermediate: int = 48
    vocabulary: int = 512
    context: int = 96
    """Longest sequence in tokens; longer passages are cut to it."""
    pattern: str = ""
    """Planted: ``all`` (every claim holds), ``extremes`` (only the largest norm goes with a high score), or
    ``upcycled`` (experts stay near the dense model). Null: ``none`` (router unrelated to all matrices), ``equal``
    (equally related to all three), ``special`` (one expert differs from the others but is chosen as often), or
    ``apart`` (experts share nothing)."""
    strength: float = 1.0
    """Planted only: size of the planted effects, 0 (none) to 1."""
    noise: float = 0.0
    """Standard deviation of noise added to all weights, relative to that of each tensor."""
    of: str = "planted"
    """Dense only: the kind of MoE that this is the dense reference of, ``planted`` or ``null``."""


def shape_of(kind: str, options: Mapping[str, int | float | str]) -> Shape:
    """The ``Shape`` for the options in ``synthetic:KIND?name=value&…``.

    Raises:
        UsageError: an option is unknown for this kind, or its value is invalid.
    """
    shape = replace(Shape(), pattern=PATTERNS.get(kind, ("",))[0])
    known = {f.name: type(getattr(shape, f.name)) for f in fields(Shape)}
    for name, value in options.items():
        if name not in known or name in _UNUSED_OPTIONS.get(kind, ()):
            takes = ", ".join(n for n in known if n not in _UNUSED_OPTIONS.get(kind, ()))
            raise UsageError(f"synthetic:{kind} has no option '{name}': it takes {takes}")
        given = float(value) if known[name] is float and type(value) is int else value
        if type(given) is not known[name]:  # isinstance would accept a bool as an int
            raise UsageError(f"synthetic:{kind}?{name}={value}: {name} is {_WANTED[known[name]]}")
        changed: dict[str, Any] = {name: given}
        shape = replace(shape, **changed)
    _check_words(kind, shape)
    smallest = {"seed": 0, "layers": 1, "experts": 2, "hidden": 16, "intermediate": 4, "vocabulary": 16, "context": 4}
    for name, least in smallest.items():
        if getattr(shape, name) < least:
            raise UsageError(f"synthetic:{kind}?{name}={getattr(shape, name)}: {name} is at least {least}")
    if shape.hidden % 16:
        raise UsageError(f"synthetic:{kind}?hidden={shape.hidden}: hidden is a multiple of 16")
    for name, most in (("strength", 1.0), ("noise", 10.0)):
        if not 0.0 <= getattr(shape, name) <= most:
            raise UsageError(f"synthetic:{kind}?{name}={getattr(shape, name)}: {name} is between 0 and {most:g}")
    if not 1 <= shape.top_k <= shape.experts:
        raise UsageError(f"synthetic:{kind}?top_k={shape.top_k}: top_k is between 1 and the {shape.experts} experts")
    return shape


_WANTED = {int: "a whole number", float: "a number", str: "a word"}
_UNUSED_OPTIONS = {
    "planted": ("of",),
    "null": ("strength", "of"),
    "random-init": ("pattern", "strength", "noise", "of"),
    "dense": ("noise",),
}
"""Options that do not apply, by kind of model."""


def _check_words(kind: str, shape: Shape) -> None:
    if kind == "dense" and shape.of not in PATTERNS:
        raise UsageError(f"synthetic:dense?of={shape.of}: of is {' or '.join(PATTERNS)}")
    choices = PATTERNS.get(shape.of if kind == "dense" else kind, ("",))
    if shape.pattern not in choices and not (kind == "dense" and not shape.pattern):
        raise UsageError(f"synthetic:{kind}?pattern={shape.pattern}: patterns are {', '.join(choices)}")


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
    """Tokenizes by hashing: one token id per word, after the id 0, which begins every sequence."""
    return [0, *(1 + _hash(word) % (vocabulary - 1) for word in text.split())]


def encode_by_topic(text: str, vocabulary: int) -> list[int]:
    """Tokenizes for planted models: each run of eight words gets a topic, a hash of the run.

    The topic determines the range of ids, and a hash of the word the id within it. Id 0 begins every sequence.
    """
    words = text.split()
    size = (vocabulary - 1) // TOPICS
    runs = [words[number - number % _RUN :][:_RUN] for number in range(len(words))]
    topics = [_hash(" ".join(run)) % TOPICS for run in runs]
    return [0, *(1 + topic * size + _hash(word) // TOPICS % size for topic, word in zip(topics, words, strict=True))]


def _hash(word: str) -> int:
    return crc32(word.lower().encode())


def config_dense(shape: Shape) -> dict[str, Any]:
    """The ``config.json`` of the dense reference of a synthetic MoE."""
    moe_only = ("model_type", "num_local_experts", "num_experts_per_tok")
    return {"model_type": "mistral", **{name: v for name, v in config_of(shape).items() if name not in moe_only}}


def make(kind: str, shape: Shape) -> "dict[str, torch.Tensor]":
    """The weights of a planted or null model, in the original Mixtral layout, float32.

    Attention and experts add little to the residual stream, so that the inputs of every layer stay close to the
    widely spread token embeddings. Coordinate 0 of the embeddings is constant, so that W_act can have a bias.
    """
    shape, rng = _begin(kind, shape)
    weights = _outside(kind, shape, rng)
    for layer, drawn in enumerate(_layers(kind, shape, rng)):
        block = f"model.layers.{layer}.block_sparse_moe"
        weights[f"{block}.gate.weight"] = drawn.router
        for expert in range(shape.experts):
            for name, matrix in (("w1", drawn.act), ("w2", drawn.down), ("w3", drawn.up)):
                weights[f"{block}.experts.{expert}.{name}.weight"] = matrix[expert]
    if shape.noise:
        noise = np.random.default_rng((shape.seed, 2))
        weights = {
            name: value + shape.noise * value.std() * noise.standard_normal(value.shape)
            for name, value in weights.items()
        }
    return _tensors(weights)


def make_dense(shape: Shape) -> "dict[str, torch.Tensor]":
    """The weights of the dense reference of the synthetic MoE with the same seed, in the Mistral layout, float32.

    For a planted MoE they are the component that its experts share; for a null MoE, those of one more expert.
    """
    kind = shape.of
    shape, rng = _begin(kind, shape)
    weights = _outside(kind, shape, rng)
    for layer, drawn in enumerate(_layers(kind, shape, rng)):
        for name, matrix in (("gate", drawn.act), ("down", drawn.down), ("up", drawn.up)):
            weights[f"model.layers.{layer}.mlp.{name}_proj.weight"] = matrix[-1]
    return _tensors(weights)


def _begin(kind: str, shape: Shape) -> tuple[Shape, np.random.Generator]:
    """The shape with its pattern filled in, and the random generator for a model of that kind."""
    pattern = shape.pattern or PATTERNS[kind][0]
    return replace(shape, pattern=pattern), np.random.default_rng((shape.seed, list(PATTERNS).index(kind)))


def _outside(kind: str, shape: Shape, rng: np.random.Generator) -> dict[str, Floats]:
    """Weights outside the experts and routers: embedding, attention, norms and head."""
    d = shape.hidden
    embedding = rng.standard_normal((shape.vocabulary, d))
    embedding[:, 0] = CONSTANT
    if kind == "planted":
        topic = np.minimum(np.arange(shape.vocabulary - 1) // max(1, (shape.vocabulary - 1) // TOPICS), TOPICS - 1)
        embedding[:, 1 : 1 + TOPICS] *= 1 - 0.8 * shape.strength  # less noise, so that the topic stands out
        embedding[1 + np.arange(shape.vocabulary - 1), 1 + topic % (d - 1)] += TOPIC_STRENGTH * shape.strength
    weights = {"model.embed_tokens.weight": embedding, "model.norm.weight": np.ones(d)}
    weights["lm_head.weight"] = rng.standard_normal((shape.vocabulary, d)) / np.sqrt(d)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        for name, rows in (("q", d), ("k", d // 2), ("v", d // 2), ("o", d)):
            scale = 0.15 if name == "o" else 1.0
            weights[f"{prefix}.self_attn.{name}_proj.weight"] = scale * rng.standard_normal((rows, d)) / np.sqrt(d)
        weights[f"{prefix}.input_layernorm.weight"] = np.ones(d)
        weights[f"{prefix}.post_attention_layernorm.weight"] = np.ones(d)
    return weights


def _layers(kind: str, shape: Shape, rng: np.random.Generator) -> Iterator[LayerWeights]:
    if kind == "planted":
        plans = plan.planted(shape.pattern, shape.strength, shape.layers, shape.experts, rng)
    else:
        plans = plan.null(shape.pattern, shape.layers, shape.experts, rng)
    for layer in plans:
        yield layer_weights(
            layer,
            hidden=shape.hidden,
            intermediate=shape.intermediate,
            dense_is_base=kind == "planted",
            pattern=shape.pattern,
            rng=rng,
        )


def _tensors(weights: Mapping[str, Floats]) -> "dict[str, torch.Tensor]":
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(value)).float() for name, value in weights.items()}
