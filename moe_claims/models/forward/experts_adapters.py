"""Adapters that let the kernel run experts modules which do not implement transformers' experts interface."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, final

from moe_claims.models.forward.experts_kernel import observed_experts

if TYPE_CHECKING:
    import torch


@final
class AdaptedExperts:
    """Gives an experts module the attributes of transformers' experts interface, and runs the kernel as its forward.

    Args:
        module: the experts module; its ``forward`` is replaced.
        view: function from the module to its matrices (E, 2m, d) and (E, d, m). It is called for each access, since
            weights are loaded and removed between runs.
        gate: function from the outputs of act and up (n, 2m) to the input of W_down (n, m).
        forward: replacement for the module's forward; called with this adapter and the original arguments.
    """

    is_transposed = False
    is_concatenated = True
    has_gate = True
    has_bias = False
    has_post_expert_norm = False

    def __init__(
        self,
        module: Any,
        view: "Callable[[Any], tuple[Any, torch.Tensor]]",
        gate: "Callable[[torch.Tensor], torch.Tensor]",
        forward: "Callable[..., torch.Tensor]" = observed_experts,
    ) -> None:
        self._module, self._view, self._gate = module, view, gate
        module.forward = partial(forward, self)

    @property
    def gate_up_proj(self) -> Any:
        """(E, 2m, d), rows of act before rows of up; indexed by expert."""
        return self._view(self._module)[0]

    @property
    def down_proj(self) -> "torch.Tensor":
        """(E, d, m)."""
        return self._view(self._module)[1]

    def _apply_gate(self, both: "torch.Tensor") -> "torch.Tensor":
        return self._gate(both)


@final
class _Joined:
    """Rows of act and up, concatenated for one expert at a time; doing it for all would copy the whole layer."""

    def __init__(self, act: "torch.Tensor", up: "torch.Tensor") -> None:
        self._act, self._up = act, up

    def __getitem__(self, expert: int) -> "torch.Tensor":
        import torch

        return torch.cat([self._act[expert], self._up[expert]])


def _product(activation: "Callable[[torch.Tensor], torch.Tensor]", both: "torch.Tensor") -> "torch.Tensor":
    act, up = both.chunk(2, dim=-1)
    return activation(act) * up


def _step(module: Any) -> AdaptedExperts:
    return AdaptedExperts(module, lambda own: (own.gate_up_proj, own.down_proj), module._apply_gate)


def _dbrx(module: Any) -> AdaptedExperts:
    """DBRX stores the rows of all experts in one matrix, and W_down transposed."""

    def view(own: Any) -> "tuple[_Joined, torch.Tensor]":
        act, up, down = (
            weight.view(own.num_experts, -1, own.hidden_size) for weight in (own.mlp.w1, own.mlp.v1, own.mlp.w2)
        )
        return _Joined(act, up), down.transpose(1, 2)

    def forward(experts: Any, hidden: "torch.Tensor", index: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
        return observed_experts(experts, hidden.flatten(0, -2), index, weights).view_as(hidden)

    return AdaptedExperts(module, view, partial(_product, module.mlp.activation_fn), forward)


def _jetmoe(block: Any) -> AdaptedExperts:
    """JetMoE has no module for its experts, so the forward of the whole MoE block, router included, is replaced."""

    def forward(experts: Any, hidden: "torch.Tensor") -> "torch.Tensor":
        flat = hidden.flatten(0, -2)
        best, index = block.router.layer(flat).float().topk(block.router.top_k, dim=-1)
        weights = best.softmax(dim=-1).type_as(flat)
        routed: torch.Tensor = observed_experts(experts, flat, index, weights).view_as(hidden) + block.bias
        return routed

    def view(own: Any) -> "tuple[torch.Tensor, torch.Tensor]":
        return own.input_linear.weight, own.output_linear.weight

    return AdaptedExperts(block, view, partial(_product, block.activation), forward)


ADAPTERS: Mapping[str, Callable[[Any], AdaptedExperts]] = {
    "DbrxExperts": _dbrx,
    "JetMoeMoE": _jetmoe,
    "Step3p7Experts": _step,
}
"""Adapters, by the name of the module's class."""


def adapt_experts(module: Any) -> Any:
    """The experts of a layer in the form that the kernel needs.

    That is an adapter if the class of the module has one and lacks transformers' interface, else the module itself.
    """
    known = ADAPTERS.get(type(module).__name__)
    return module if known is None or hasattr(module, "is_transposed") else known(module)
