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

    Names are relative to a decoder layer. Two layouts are read: the original one with a
    tensor per expert (``{block}.experts.{e}.{role}.weight``) and the fused one that
    transformers saves (``mlp.experts.gate_up_proj`` (E, 2m, d), rows of act before rows
    of up, and ``mlp.experts.down_proj`` (E, d, m)).
    """

    model_type: str
    blocks: tuple[str, ...]
    """Names of the MoE block in the layouts there are; the last is the one of transformers."""
    up: str
    act: str
    down: str
    layers: str = "model.layers"
    router: str = "gate.weight"

    def matrix(self, role: Role) -> str:
        """Name of a role's matrix in the layout with a tensor per expert."""
        names: dict[Role, str] = {"up": self.up, "act": self.act, "down": self.down}
        return names[role]


FAMILIES: Mapping[str, Family] = {
    row.model_type: row
    for row in (
        Family("mixtral", ("block_sparse_moe", "mlp"), up="w3", act="w1", down="w2"),
        Family("olmoe", ("mlp",), up="up_proj", act="gate_proj", down="down_proj"),
        Family("qwen3_moe", ("mlp",), up="up_proj", act="gate_proj", down="down_proj"),
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
    known = ", ".join(FAMILIES)
    raise ModelError(f"'{where}' has model_type '{model_type}', which cannot be read yet: families are {known}")
