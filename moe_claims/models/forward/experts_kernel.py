"""An experts kernel for transformers that computes every expert on every token and shows the results to an observer.

transformers lets an experts module choose its implementation by name. This one returns the routed sum that the model's
own kernel would return, so that hidden states are those of ordinary top-k routing, and passes the outputs of ALL
experts to an observer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, final

from moe_claims.errors import ModelError
from moe_claims.models.device import sums_on

if TYPE_CHECKING:
    import torch

KERNEL = "moe_claims_observed"
VERSION = 4
"""To be increased whenever the kernel's numbers change; part of the key of every stored measurement."""

_CHUNK_FLOATS = 16_000_000
"""Limit for the expert outputs and activations in memory at a time, in numbers (64 MB in float32)."""


@final
@dataclass(frozen=True, eq=False)
class ExpertBatch:
    """Inputs and outputs of one MoE layer for a chunk of n consecutive tokens, on a device that has float64."""

    hidden: "torch.Tensor"
    """(n, d) input of the experts."""
    outputs: "torch.Tensor"
    """(n, E, d) output of every expert, before multiplication by the gate weight, after the experts' norm if any."""
    activations: "torch.Tensor"
    """(n, E, m) σ(W_act x) of every expert."""
    chosen: "torch.Tensor"
    """(n, k) indices of the experts that the router chose, best first."""
    router_input: "torch.Tensor"
    """(n, d) input of the router; in most families the same as ``hidden``."""
    router_outputs: "tuple[torch.Tensor, ...]"
    """(n, E) each: floating-point tensors that the router returned, such as its logits."""
    start: int
    """Index of the chunk's first token among all tokens of the micro-batch, padding included."""


class ExpertObserver(Protocol):
    """Receives what every expert computed."""

    def observe(self, batch: ExpertBatch) -> None:
        """Called with consecutive chunks of tokens of each micro-batch."""


def tokens_together(experts: int, width: int, neurons: int) -> int:
    """Tokens whose outputs and activations of all experts are in memory at a time."""
    return max(1, _CHUNK_FLOATS // (experts * (width + neurons)))


def register() -> None:
    """Registers the kernel with transformers; may be called repeatedly."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS.register(KERNEL, observed_experts)


def check_supported(experts: Any) -> None:
    """Checks that this kernel can run an experts module.

    Raises:
        ModelError: the module does not implement transformers' experts interface, or its experts have no gate.
    """
    if not hasattr(experts, "is_transposed"):
        from transformers import __version__

        raise ModelError(
            f"{type(experts).__name__} does not implement the experts interface of the installed transformers "
            f"{__version__}: only its weights can be measured; a newer version may implement it"
        )
    if not getattr(experts, "has_gate", False):
        raise ModelError(f"{type(experts).__name__} has experts without a gate: they have no W_act to be measured")


@contextmanager
def observing(experts: Any, router: "torch.nn.Module", observer: ExpertObserver) -> Iterator[None]:
    """Within the block, an observer sees what a layer's experts compute, and the router's input and outputs."""
    count = len(experts.down_proj)

    def note(_: Any, inputs: tuple[Any, ...], returned: Any) -> None:
        import torch

        found = returned if isinstance(returned, tuple) else (returned,)
        router_outputs = [
            a for a in found if isinstance(a, torch.Tensor) and a.is_floating_point() and a.shape[-1] == count
        ]
        router_input = inputs[0].reshape(-1, inputs[0].shape[-1])
        experts.moe_claims_router = router_input, tuple(answer.reshape(-1, count) for answer in router_outputs)

    handle = router.register_forward_hook(note)
    experts.moe_claims_observer = observer
    try:
        yield
    finally:
        handle.remove()
        experts.moe_claims_observer, experts.moe_claims_router = None, None


def observed_experts(
    experts: Any, hidden_states: "torch.Tensor", top_k_index: "torch.Tensor", top_k_weights: "torch.Tensor"
) -> "torch.Tensor":
    """Computes all experts on all tokens, shows them to the observer, and returns the routed sum to the model.

    Args:
        experts: the experts module; its weights may be transposed or interleaved, and may have biases.
        hidden_states: (n, d) tokens of one micro-batch, padding included.
        top_k_index: (n, k) indices of the chosen experts.
        top_k_weights: (n, k) gate weights of the chosen experts.

    Returns:
        (n, d), the sum of the chosen experts' outputs times their gate weights.
    """
    import torch

    count, width = hidden_states.shape
    n_experts, intermediate = len(experts.down_proj), experts.down_proj.shape[1 if experts.is_transposed else 2]
    observer: ExpertObserver | None = getattr(experts, "moe_claims_observer", None)
    router_input, router_outputs = getattr(experts, "moe_claims_router", None) or (hidden_states, ())
    routed = torch.zeros_like(hidden_states)
    rows = tokens_together(n_experts, width, intermediate)
    for start in range(0, count, rows):
        part = slice(start, min(start + rows, count))
        hidden = hidden_states[part]
        outputs = hidden.new_empty((len(hidden), n_experts, width))
        activations = hidden.new_empty((len(hidden), n_experts, intermediate))
        for expert in range(n_experts):
            activations[:, expert], inner = _gated(experts, _linear(experts, "gate_up_proj", expert, hidden))
            output = _linear(experts, "down_proj", expert, inner)
            if getattr(experts, "has_post_expert_norm", False):  # older versions of transformers lack the attribute
                output = experts.post_expert_norm(output)
            outputs[:, expert] = output
        index = top_k_index[part, :, None].expand(-1, -1, width)
        routed[part] = (outputs.gather(1, index) * top_k_weights[part, :, None]).sum(dim=1).to(routed.dtype)
        if observer is not None:
            on = sums_on(str(hidden.device))  # no copy where the device takes the sums itself
            observer.observe(
                ExpertBatch(
                    hidden.to(on),
                    outputs.to(on),
                    activations.to(on),
                    top_k_index[part].to(on),
                    router_input[part].to(on),
                    tuple(answer[part].to(on) for answer in router_outputs),
                    start,
                )
            )
    return routed


def _linear(experts: Any, name: str, expert: int, inputs: "torch.Tensor") -> "torch.Tensor":
    import torch

    weight = getattr(experts, name)[expert]
    bias = getattr(experts, f"{name}_bias")[expert] if experts.has_bias else None
    return torch.nn.functional.linear(inputs, weight.T if experts.is_transposed else weight, bias)


def _gated(experts: Any, both: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """From the outputs of act and up (n, 2m): σ(W_act x) (n, m), and the input of W_down (n, m).

    If the family has its own gate function, σ is what that function returns when up is set to its neutral value.
    """
    from transformers.integrations.moe import _default_apply_gate

    half = both.shape[-1] // 2
    if type(experts)._apply_gate is _default_apply_gate:
        activations: torch.Tensor = experts.act_fn(both[:, :half])
        return activations, activations * both[:, half:]
    neutral = both.clone()
    neutral[:, slice(half, None) if experts.is_concatenated else slice(1, None, 2)] = experts.moe_claims_neutral
    return experts._apply_gate(neutral), experts._apply_gate(both)
