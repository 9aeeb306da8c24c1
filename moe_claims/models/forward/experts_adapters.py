"""Experts outside transformers' experts interface that compute what the kernel computes, as the kernel wants them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, final

from moe_claims.models.forward.experts_kernel import observed_experts

if TYPE_CHECKING:
    import torch


@final
class AdoptedExperts:
    """An experts module whose forward is the kernel's; has the attributes of modules behind the interface.

    Args:
        module: which from now on runs the kernel.
        view: the module → its (E, 2m, d) and (E, d, m) matrices, taken anew for each run, since weights come and go.
        gate: (n, 2m) of act and up → (n, m), what goes into W_down.
        forward: what the module does, given these experts and the arguments of its own forward.
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
        """(E, 2m, d), rows of act before rows of up; by expert."""
        return self._view(self._module)[0]

    @property
    def down_proj(self) -> "torch.Tensor":
        """(E, d, m)."""
        return self._view(self._module)[1]

    def _apply_gate(self, both: "torch.Tensor") -> "torch.Tensor":
        return self._gate(both)


@final
class _Joined:
    """Rows of act and of up, joined expert by expert: all of them at once would be a copy of the layer."""

    def __init__(self, act: "torch.Tensor", up: "torch.Tensor") -> None:
        self._act, self._up = act, up

    def __getitem__(self, expert: int) -> "torch.Tensor":
        import torch

        return torch.cat([self._act[expert], self._up[expert]])


def _product(activation: "Callable[[torch.Tensor], torch.Tensor]", both: "torch.Tensor") -> "torch.Tensor":
    act, up = both.chunk(2, dim=-1)
    return activation(act) * up


def _step(module: Any) -> AdoptedExperts:
    return AdoptedExperts(module, lambda own: (own.gate_up_proj, own.down_proj), module._apply_gate)


def _dbrx(module: Any) -> AdoptedExperts:
    """W_down is stored transposed, and all experts' rows in one matrix."""

    def view(own: Any) -> "tuple[_Joined, torch.Tensor]":
        act, up, down = (
            weight.view(own.num_experts, -1, own.hidden_size) for weight in (own.mlp.w1, own.mlp.v1, own.mlp.w2)
        )
        return _Joined(act, up), down.transpose(1, 2)

    def forward(experts: Any, hidden: "torch.Tensor", index: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
        return observed_experts(experts, hidden.flatten(0, -2), index, weights).view_as(hidden)

    return AdoptedExperts(module, view, partial(_product, module.mlp.activation_fn), forward)


def _jetmoe(block: Any) -> AdoptedExperts:
    """The block sorts tokens by expert and has no module for the experts: it is run in its place."""

    def forward(experts: Any, hidden: "torch.Tensor") -> "torch.Tensor":
        flat = hidden.flatten(0, -2)
        best, index = block.router.layer(flat).float().topk(block.router.top_k, dim=-1)
        weights = best.softmax(dim=-1).type_as(flat)
        routed: torch.Tensor = observed_experts(experts, flat, index, weights).view_as(hidden) + block.bias
        return routed

    def view(own: Any) -> "tuple[torch.Tensor, torch.Tensor]":
        return own.input_linear.weight, own.output_linear.weight

    return AdoptedExperts(block, view, partial(_product, block.activation), forward)


ADOPTED: Mapping[str, Callable[[Any], AdoptedExperts]] = {
    "DbrxExperts": _dbrx,
    "JetMoeMoE": _jetmoe,
    "Step3p7Experts": _step,
}
"""By the name of the module's class."""


def adopt(module: Any) -> Any:
    """The experts of a layer as the kernel wants them: the module itself if transformers' interface has it."""
    known = ADOPTED.get(type(module).__name__)
    return module if known is None or hasattr(module, "is_transposed") else known(module)
