"""Families as rows of data: which tensor of a checkpoint plays which role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from moe_claims.errors import ModelError

Role = Literal["up", "act", "down"]
ROLES: tuple[Role, ...] = ("up", "act", "down")
"""The three matrices of an expert; act is the projection under the activation function."""


@final
@dataclass(frozen=True)
class Family:
    """How the checkpoints of one ``model_type`` are laid out.

    Names are relative to a decoder layer. Two kinds of layouts are read: a tensor per expert
    (``{block}.experts.{e}.{role}.weight``), and all experts of a layer in two tensors, as
    transformers saves them (``{block}.experts.gate_up_proj`` (E, 2m, d), rows of act before
    rows of up, and ``{block}.experts.down_proj`` (E, d, m)).
    """

    model_type: str
    routers: tuple[str, ...] = ("mlp.gate.weight",)
    """The router's rows in the layouts there are, with the name of the MoE block; the last is that of transformers."""
    up: str = "up_proj"
    act: str = "gate_proj"
    down: str = "down_proj"
    layers: str = "model.layers"
    stacked: tuple[str, str] = ("experts.gate_up_proj", "experts.down_proj")
    """Behind the block: what the original layout calls the two tensors, where it has them."""
    router_bias: bool = False
    """Whether the router adds a bias to its scores (biases that only balance loads are none of these)."""
    transposed: bool = False
    """Whether the two tensors are (E, d, 2m) and (E, m, d)."""
    interleaved: bool = False
    """Whether rows of act and of up take turns in the first of them."""
    neutral: float = 1.0
    """The value of W_up x at which the gated product is σ(W_act x): 1, or 0 where the gate adds 1 to it."""
    top_k: str = "num_experts_per_tok"
    """The config's name for how many experts are chosen per token."""
    alone: bool = False
    """Whether a sequence must be run without others: its attention picks tokens, and takes padding for some."""
    passes: str = ""
    """What a layer takes from the one before it besides hidden states, and returns behind them; empty for nothing."""

    def matrix(self, role: Role) -> str:
        """Name of a role's matrix in the layout with a tensor per expert."""
        names: dict[Role, str] = {"up": self.up, "act": self.act, "down": self.down}
        return names[role]

    @property
    def router_module(self) -> str:
        """The router in the transformers module."""
        return self.routers[-1].removesuffix(".weight")

    @property
    def experts_module(self) -> str:
        """The experts in the transformers module."""
        return f"{self.routers[-1].partition('.')[0]}.experts"


def _w123(model_type: str, *, router: str = "mlp.gate.weight", top_k: str = "num_experts_per_tok") -> Family:
    """Experts named as in Mixtral's own checkpoints."""
    routers = ("block_sparse_moe.gate.weight", router)
    return Family(model_type, routers, up="w3", act="w1", down="w2", top_k=top_k)


def _granite(model_type: str) -> Family:
    routers = ("block_sparse_moe.router.layer.weight", "block_sparse_moe.router.weight")
    return Family(model_type, routers, stacked=("input_linear.weight", "output_linear.weight"))


_PICKED = "prev_topk_indices"
"""The tokens that attention picked, which some layers take over from the one before."""

FAMILIES: Mapping[str, Family] = {
    row.model_type: row
    for row in (
        Family("afmoe", ("mlp.router.gate.weight",)),
        Family(
            "aria_text",
            ("mlp.router.weight",),
            top_k="moe_topk",
            stacked=("experts.fc1.weight", "experts.fc2.weight"),
            transposed=True,
        ),
        Family("axk1"),
        Family("axk2", alone=True),
        Family("bailing_hybrid", top_k="num_experts_per_token"),
        Family("beam"),
        Family("cohere2_moe"),
        Family("deepseek"),
        Family("deepseek_v2"),
        Family("deepseek_v3"),
        Family("deepseek_v32", alone=True),
        Family("dots1"),
        Family("ernie4_5_moe", top_k="moe_k"),
        Family("exaone_moe"),
        Family("flex_olmo"),
        Family("flint"),
        Family("glm4_moe"),
        Family("glm4_moe_lite"),
        Family("glm_moe_dsa", alone=True, passes=_PICKED),
        Family("gpt_oss", ("mlp.router.weight",), transposed=True, interleaved=True, neutral=0.0, router_bias=True),
        *map(_granite, ("granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared")),
        Family("grok-1", ("moe_block.gate.weight",), up="linear_v", act="linear", down="linear_1"),
        Family("hunyuan_v1_moe", ("mlp.gate.wg.weight",), top_k="moe_topk"),
        Family("hy_v3", ("mlp.router.gate.weight", "mlp.gate.weight")),
        Family("hy_v4", alone=True, passes=_PICKED),
        Family("jamba", ("feed_forward.router.weight",)),
        _w123("kimi_linear", top_k="num_experts_per_token"),
        Family("kolibri1"),
        Family("laguna"),
        Family("lfm2_moe", ("feed_forward.gate.weight",), up="w3", act="w1", down="w2"),
        Family("mellum"),
        Family("mimo_v2_flash"),
        _w123("minimax"),
        _w123("minimax_m2"),
        Family("minimax_m3_vl_text", neutral=0.0),
        _w123("mixtral"),
        Family("olmoe"),
        _w123("phimoe", router="mlp.router.weight"),
        Family("qwen2_moe"),
        Family("qwen3_5_moe_text"),
        Family("qwen3_moe"),
        Family("qwen3_next"),
        Family("solar_open"),
    )
}


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The family row for a model's configuration.

    Args:
        config: the parsed ``config.json``.
        where: name of the model, for the error.

    Raises:
        ModelError: the model is dense, or of a family that is not in the table.
    """
    model_type = str(config.get("model_type", "(none)"))
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    if not any("expert" in key for key in config):
        raise ModelError(
            f"'{where}' is a dense model (model_type '{model_type}', no experts in its config): give an MoE"
        )
    raise ModelError(
        f"'{where}' has model_type '{model_type}', which cannot be read yet: 'python -m moe_claims models' names the "
        f"{len(FAMILIES)} families that can"
    )
