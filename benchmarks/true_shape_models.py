"""Checkpoints of true shape with random weights, written file by file, and what is planted in them."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from moe_claims.models.families.table import ROLES
from moe_claims.packs.look_into_moes.paper import architecture
from moe_claims.stats.permutation import off_diagonal

SHARED = 0.3
"""Cosine of two experts' matrices: each is a common part and a part of its own."""
STEERS = 0.5
"""Every neuron of W_act gets this much of the expert's own router row, so that it fires when the score is high."""
LARGEST_FILE = 512 * 2**20
"""Bytes; a single tensor may be larger."""
_STRIP = 1 << 24


@dataclass(frozen=True)
class Shape:
    """One model, as far as its tensors depend on it."""

    name: str
    model_type: str
    hidden: int
    inner: int
    experts: int
    top_k: int
    heads: int
    key_heads: int
    vocabulary: int
    layers: int
    """That are written."""
    all_layers: int
    shared: int = 0
    """Shared experts, in one block as wide as all of them."""
    dense: int = 0
    """Width of the feed-forward block of layer 0, where that has no experts."""
    tied: bool = False

    @property
    def moe_layers(self) -> range:
        """Those with experts, of the layers that are written."""
        return range(1 if self.dense else 0, self.layers)

    @property
    def whole(self) -> "Shape":
        """The same with all its layers."""
        return replace(self, layers=self.all_layers)

    @property
    def times(self) -> float:
        """How many times as many layers with experts the whole model has."""
        return len(self.whole.moe_layers) / len(self.moe_layers)


def _true(name: str, model_type: str, layers: int) -> Shape:
    """The shape of a model of the paper."""
    known = architecture(name)
    attention = known.attention
    return Shape(
        name, model_type, known.hidden, known.intermediate, known.routed_experts, known.top_k, attention.query_heads,
        attention.kv_heads, attention.vocabulary, layers, known.total_layers, known.shared_experts,
        known.dense_intermediate, attention.tied_embeddings,
    )  # fmt: skip


MODELS = {
    shape.name: shape
    for shape in (
        _true("mixtral-8x7b", "mixtral", 2),
        _true("deepseek-moe-16b", "deepseek", 3),
        _true("grok-1", "grok-1", 1),
    )
}
_NAMES = {
    "mixtral": ("block_sparse_moe", {"up": "w3", "act": "w1", "down": "w2"}),
    "deepseek": ("mlp", {"up": "up_proj", "act": "gate_proj", "down": "down_proj"}),
    "grok-1": ("moe_block", {"up": "linear_v", "act": "linear", "down": "linear_1"}),
}
"""What a model type calls its MoE block, and the matrices in it."""


def small(shape: Shape) -> Shape:
    """The same model for tests: 64 experts become 16."""
    return replace(
        shape, hidden=256, inner=256 if shape.experts > 8 else 512, experts=min(16, shape.experts), heads=4,
        key_heads=4 if shape.heads == shape.key_heads else 2, vocabulary=512, dense=384 if shape.dense else 0,
    )  # fmt: skip


def config_of(shape: Shape) -> dict[str, Any]:
    """The ``config.json``."""
    config: dict[str, Any] = {
        "model_type": shape.model_type, "vocab_size": shape.vocabulary, "hidden_size": shape.hidden,
        "intermediate_size": shape.inner, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads, "num_experts_per_tok": shape.top_k, "torch_dtype": "bfloat16",
        "max_position_embeddings": 4096, "tie_word_embeddings": shape.tied,
    }  # fmt: skip
    if shape.model_type == "mixtral":
        return config | {"num_local_experts": shape.experts}
    if shape.model_type == "deepseek":
        return config | {
            "intermediate_size": shape.dense, "moe_intermediate_size": shape.inner, "n_routed_experts": shape.experts,
            "n_shared_experts": shape.shared, "first_k_dense_replace": 1,
        }  # fmt: skip
    return config | {
        "architectures": ["Grok1ModelForCausalLM"], "num_experts": shape.experts, "max_attn_value": 30.0,
        "attn_output_multiplier": 128**-0.5, "embedding_multiplier_scale": shape.hidden**0.5,
        "output_multiplier_scale": 3**-0.5,
    }  # fmt: skip


# --- writing ---------------------------------------------------------------------------------------

Make = Callable[[], torch.Tensor]


def sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Every tensor and its shape, in the order in which they are written."""
    return {name: size for group in _groups(shape) for name, (size, _) in group}


def bytes_of(shape: Shape) -> int:
    """Of all tensors."""
    return 2 * sum(int(np.prod(size)) for size in sizes(shape).values())


def measured_bytes(shape: Shape) -> int:
    """Of routers and experts: what the claims on weights have to read."""
    per_layer = shape.experts * (shape.hidden + 3 * shape.hidden * shape.inner)
    return 2 * per_layer * len(shape.moe_layers)


def _draw(size: tuple[int, ...], scale: float, rng: torch.Generator) -> torch.Tensor:
    """Gaussian bfloat16, widened a strip at a time."""
    out = torch.empty(size, dtype=torch.bfloat16)
    flat = out.view(-1)
    for part in flat.split(_STRIP):
        part.copy_(torch.empty(len(part)).normal_(0.0, scale, generator=rng))
    return out


def router_rows(shape: Shape, layer: int) -> torch.Tensor:
    """(E, d) directions of length 1 in two loose groups, so that some pairs are more alike than others."""
    rng = torch.Generator().manual_seed(1000 + layer)
    centres = torch.empty(2, shape.hidden).normal_(generator=rng)
    rows = centres[torch.arange(shape.experts) % 2] + torch.empty(shape.experts, shape.hidden).normal_(generator=rng)
    return rows / rows.norm(dim=1, keepdim=True)


Group = list[tuple[str, tuple[tuple[int, ...], Make]]]


def _groups(shape: Shape) -> Iterator[Group]:
    """Tensors that go into one file, with what makes each."""
    rng = torch.Generator().manual_seed(0)
    d, head = shape.hidden, shape.hidden // shape.heads

    def drawn(name: str, *size: int, scale: float) -> tuple[str, tuple[tuple[int, ...], Make]]:
        return name, (size, lambda: _draw(size, scale, rng))

    def ones(name: str) -> tuple[str, tuple[tuple[int, ...], Make]]:
        return name, ((d,), lambda: torch.ones(d, dtype=torch.bfloat16))

    grok = shape.model_type == "grok-1"
    yield [drawn("model.embed_tokens.weight", shape.vocabulary, d, scale=d**-0.5 if grok else 1.0)]
    if not shape.tied:
        yield [drawn("lm_head.weight", shape.vocabulary, d, scale=d**-0.5)]
    yield [ones("model.norm.scale" if grok else "model.norm.weight")]
    block, names = _NAMES[shape.model_type]
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        attention = f"{prefix}.attn" if grok else f"{prefix}.self_attn"
        norms = ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm")
        rest: Group = [
            drawn(f"{attention}.q_proj.weight", shape.heads * head, d, scale=d**-0.5),
            drawn(f"{attention}.k_proj.weight", shape.key_heads * head, d, scale=d**-0.5),
            drawn(f"{attention}.v_proj.weight", shape.key_heads * head, d, scale=d**-0.5),
            drawn(f"{attention}.o_proj.weight", d, shape.heads * head, scale=0.15 * d**-0.5),
            *(ones(f"{prefix}.{name}.scale") for name in norms if grok),
            *(ones(f"{prefix}.{n}.weight") for n in ("input_layernorm", "post_attention_layernorm") if not grok),
        ]
        for width, path in (
            (shape.dense, "mlp") if layer == 0 else (shape.shared * shape.inner, "mlp.shared_experts"),
        ):
            if width:
                rest += [drawn(f"{prefix}.{path}.{n}_proj.weight", width, d, scale=d**-0.5) for n in ("up", "gate")]
                rest += [drawn(f"{prefix}.{path}.down_proj.weight", d, width, scale=0.1 * width**-0.5)]
        yield rest
        if layer in shape.moe_layers:
            rows = router_rows(shape, layer)
            yield [(f"{prefix}.{block}.gate.weight", ((shape.experts, d), lambda rows=rows: (2 * rows).bfloat16()))]
            for role in ROLES:
                yield from _experts(shape, f"{prefix}.{block}.experts", role, names[role], rows, rng)


def _experts(
    shape: Shape, prefix: str, role: str, name: str, rows: torch.Tensor, rng: torch.Generator
) -> Iterator[Group]:
    """One matrix of all experts of a layer, in as many files as it takes."""
    size = (shape.hidden, shape.inner) if role == "down" else (shape.inner, shape.hidden)
    width = shape.inner if role == "down" else shape.hidden
    common: list[torch.Tensor] = []

    def make(expert: int) -> torch.Tensor:
        if not common:
            common.append(_draw(size, (SHARED / width) ** 0.5, rng))
        own = _draw(size, ((1 - SHARED) / width) ** 0.5, rng)
        for part, shared in zip(own.split(1024), common[0].split(1024), strict=True):
            wide = part.float().add_(shared)
            part.copy_(wide.add_(rows[expert], alpha=STEERS) if role == "act" else wide)
        return own.mul_(0.1) if role == "down" else own

    together = max(1, LARGEST_FILE // (2 * size[0] * size[1]))
    for first in range(0, shape.experts, together):
        yield [
            (f"{prefix}.{expert}.{name}.weight", (size, lambda expert=expert: make(expert)))
            for expert in range(first, min(first + together, shape.experts))
        ]


def write(shape: Shape, folder: Path) -> None:
    """Writes the checkpoint file by file.

    Raises:
        SystemExit: the disk has no room for it.
    """
    folder.mkdir(parents=True)
    needed, free = bytes_of(shape), shutil.disk_usage(folder).free
    if needed * 1.02 + 2**20 > free:
        raise SystemExit(
            f"{shape.name} with {shape.layers} layer(s) takes {needed / 1e9:.1f} GB in '{folder.parent}', where "
            f"{free / 1e9:.1f} GB are free: give another folder with --scratch, or fewer --layers"
        )
    weight_map = {}
    for number, group in enumerate(_groups(shape)):
        file = f"model-{number:05d}.safetensors"
        save_file({name: make() for name, (_, make) in group}, folder / file)
        weight_map |= {name: file for name, _ in group}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config_of(shape)))


def operations(shape: Shape, tokens: int) -> float:
    """Floating-point operations of all products with weights: attention, all experts on every token, and head."""
    d = shape.hidden
    attention = 2 * d * d + 2 * d * d * shape.key_heads // shape.heads
    moe = shape.experts * d + 3 * d * (shape.experts + shape.shared) * shape.inner
    dense = 3 * d * shape.dense
    count = len(shape.moe_layers)
    layers = shape.layers * attention + count * moe + (shape.layers - count) * dense
    return 2.0 * tokens * (layers + d * shape.vocabulary)


def planted(shape: Shape) -> dict[str, float]:
    """What ``found_in_weights`` must find, but for sampling error."""
    router = []
    for layer in shape.moe_layers:
        rows = router_rows(shape, layer)
        router.append(float(off_diagonal((rows @ rows.T).double().numpy()).mean()))
    steered = (SHARED + STEERS**2 * float(np.mean(router))) / (1 + STEERS**2)
    return {"cosine_up": SHARED, "cosine_act": steered, "cosine_down": SHARED, "association_act": 1.0}
