"""Reads the shared experts of an MoE (one block per layer that every token passes), to compare routed experts with."""

from typing import TYPE_CHECKING, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import Role

if TYPE_CHECKING:
    import torch

MODEL_TYPES = ("deepseek", "deepseek_v2", "deepseek_v3", "dots1", "glm4_moe")
"""Families whose shared experts can be compared: same form and input as a routed expert, one block, no gate."""

_BLOCK = "mlp.shared_experts"
_IDENTITY = "its shared experts"


@final
class SharedExperts:
    """The matrices of a model's shared experts. Several shared experts count as one block of their total width m′.

    Args:
        checkpoint: the MoE whose shared experts are read.

    Raises:
        ModelError: the model has no shared experts, or none that can be compared with the routed experts.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        family = checkpoint.family
        if family.model_type not in MODEL_TYPES:
            raise ModelError(
                f"'{checkpoint.name}' has model_type '{family.model_type}', whose shared experts, if any, cannot be "
                f"compared yet: --shared-experts takes {', '.join(MODEL_TYPES)}"
            )
        self.name = f"shared experts of {checkpoint.name}"
        self.identity = _IDENTITY  # constant, since the identity of the MoE is part of the key already
        self._checkpoint = checkpoint
        if self._stored(checkpoint.moe_layers[0], "act") not in checkpoint.names:
            raise ModelError(f"'{checkpoint.name}' has no shared experts: leave --shared-experts out")

    def _stored(self, layer: int, role: Role) -> str:
        family = self._checkpoint.family
        return f"{family.layers}.{layer}.{_BLOCK}.{family.matrix(role)}.weight"

    def matrix(self, layer: int, role: Role) -> "torch.Tensor":
        """Reads one matrix of a layer's block: up and act (m′, d), down (d, m′), in the stored dtype.

        Raises:
            ModelError: the tensor is missing, damaged or not finite.
        """
        return self._checkpoint.get(self._stored(layer, role))

    def check_fits(self, checkpoint: Checkpoint) -> None:
        """Checks that a checkpoint is the model that these shared experts belong to.

        Raises:
            ModelError: it is another model.
        """
        if checkpoint is not self._checkpoint:
            raise ModelError(f"the {self.name} are not part of '{checkpoint.name}'")
