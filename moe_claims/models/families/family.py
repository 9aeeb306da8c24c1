"""How the checkpoints of one family are laid out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

Role = Literal["up", "act", "down"]
ROLES: tuple[Role, ...] = ("up", "act", "down")
"""The three matrices of an expert; act is the projection under the activation function."""


@final
@dataclass(frozen=True)
class Family:
    """How the checkpoints of one ``model_type`` are laid out.

    Names are relative to a decoder layer. Three kinds of layouts are read: a tensor per expert
    (``{block}.experts.{e}.{role}.weight``), all experts of a layer in two tensors, as
    transformers saves them (``{block}.experts.gate_up_proj`` (E, 2m, d), rows of act before
    rows of up, and ``{block}.experts.down_proj`` (E, d, m)), and in three, one of each role.
    """

    model_type: str
    routers: tuple[str, ...] = ("mlp.gate.weight",)
    """The router's rows in the layouts there are, with the name of the MoE block; the last is that of transformers."""
    experts: tuple[str, ...] = ()
    """The experts beside each of the routers, where they are not the block's ``experts``."""
    up: str = "up_proj"
    act: str = "gate_proj"
    down: str = "down_proj"
    layers: str = "model.layers"
    """The decoder layers in the transformers module."""
    published_layers: str = ""
    """The decoder layers in published checkpoints, where they are elsewhere."""
    part: str = ""
    """Which part of a model of several writes text: a prefix of all its names, with a config of its own."""
    text: str = ""
    """Where the config of a model for more than text keeps that of its decoder, such as ``text_config``."""
    stacked: tuple[str, str] = ("experts.gate_up_proj", "experts.down_proj")
    """Behind the block: what the original layout calls the two tensors, where it has them."""
    per_role: tuple[str, str, str] | None = None
    """Behind the block: what the original layout calls three tensors (up, act, down), where it has them."""
    flat: bool = False
    """Whether those three are (E · m, d) each, with W_down transposed."""
    published_otherwise: Literal["", "transposed", "interleaved"] = ""
    """How the two tensors of the original layout differ from those of the transformers module."""
    routed: str = ""
    """The config's name for how many experts there are, where the router has further rows behind theirs."""
    router_transposed: bool = False
    """Whether the original layout has the router as (d, E)."""
    score_factor: str = ""
    """The config's name for what the router's scores are multiplied by; empty for nothing."""
    router_bias: bool = False
    """Whether the router adds a bias to its scores (biases that only balance loads are none of these)."""
    transposed: bool = False
    """Whether the two tensors are (E, d, 2m) and (E, m, d)."""
    interleaved: bool = False
    """Whether rows of act and of up take turns in the first of them."""
    activation: str = "silu"
    """σ where the config does not say."""
    neutral: float = 1.0
    """The value of W_up x at which the gated product is σ(W_act x): 1, or 0 where the gate adds 1 to it."""
    top_k: str = "num_experts_per_tok"
    """The config's name for how many experts are chosen per token."""
    alone: bool = False
    """Whether a sequence must be run without others: its attention picks tokens, and takes padding for some."""
    switch: str = ""
    """The config's name for what turns experts on, in a family that also has dense models."""
    idle: tuple[str, ...] = ()
    """Parts of a layer that a text never reaches."""
    note: str = ""
    """What a reader of its measurements should know."""
    weights_only: str = ""
    """Why the model cannot be run layer by layer, so that only claims on weights apply; empty where it can."""
    shares: bool = False
    """Whether later layers use keys and values of earlier ones."""
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
        return self.experts_of(self.routers[-1])

    def experts_of(self, router: str) -> str:
        """The experts in the layout that calls the router so."""
        if self.experts:
            return self.experts[self.routers.index(router)]
        return f"{router.partition('.')[0]}.experts"

    def text_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The decoder's part of a model's configuration."""
        found = config
        for key in self.text.split(".") if self.text else ():
            part = found.get(key)
            if not isinstance(part, Mapping):
                return config
            found = part
        return found
