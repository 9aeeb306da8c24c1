"""The experts kernel: every expert computed once on every token, and handed to an observer.

transformers lets an experts module choose its implementation by name; ours returns the
routed sum that the model's own kernel would return, so that hidden states are those of
ordinary top-k routing, and shows the outputs of ALL experts on the way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, final

from moe_claims.errors import ModelError

if TYPE_CHECKING:
    import torch

KERNEL = "moe_claims_observed"
VERSION = 4
"""Raised whenever the kernel's numbers change; part of every measurement's key."""

_CHUNK_FLOATS = 16_000_000
"""At most this many numbers of expert outputs and activations are alive at once (64 MB in float32)."""


@final
@dataclass(frozen=True, eq=False)
class ExpertBatch:
    """What a chunk of n consecutive tokens did in one MoE layer."""

    hidden: "torch.Tensor"
    """(n, d) input of router and experts."""
    outputs: "torch.Tensor"
    """(n, E, d) output of every expert, before the gate weight, behind a norm of its own where there is one."""
    activations: "torch.Tensor"
    """(n, E, m) σ(W_act x) of every expert."""
    chosen: "torch.Tensor"
    """(n, k) experts that the router chose, best first."""
    asked: "torch.Tensor"
    """(n, d) what the router was asked about; in most families the experts' own input."""
    answers: "tuple[torch.Tensor, ...]"
    """(n, E) each: what the router returned for them, such as its logits."""
    start: int
    """Index of the first token of the chunk among all tokens of the micro-batch, padding included."""


class ExpertObserver(Protocol):
    """Whoever wants to see the experts at work."""

    def observe(self, batch: ExpertBatch) -> None:
        """Called with consecutive chunks of each micro-batch."""


def register() -> None:
    """Makes the kernel known to transformers; harmless when done twice."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS.register(KERNEL, observed_experts)


def check_supported(experts: Any) -> None:
    """Whether an experts module computes what this kernel computes.

    Raises:
        ModelError: it is not behind transformers' interface, or has no gate.
    """
    if not hasattr(experts, "is_transposed"):
        from transformers import __version__

        raise ModelError(
            f"{type(experts).__name__} is not behind the experts interface of the installed transformers "
            f"{__version__}: only its weights can be measured; a newer version may have it"
        )
    if not getattr(experts, "has_gate", False):
        raise ModelError(f"{type(experts).__name__} has experts without a gate: they have no W_act to be measured")


@contextmanager
def observing(experts: Any, router: "torch.nn.Module", observer: ExpertObserver) -> Iterator[None]:
    """For the length of a block, an observer sees a layer's experts, and what its router is asked and answers."""
    count = len(experts.down_proj)

    def note(_: Any, inputs: tuple[Any, ...], returned: Any) -> None:
        import torch

        found = returned if isinstance(returned, tuple) else (returned,)
        answers = [a for a in found if isinstance(a, torch.Tensor) and a.is_floating_point() and a.shape[-1] == count]
        asked = inputs[0].reshape(-1, inputs[0].shape[-1])
        experts.moe_claims_router = asked, tuple(answer.reshape(-1, count) for answer in answers)

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
    """All experts on all tokens; the observer sees them, the model gets the routed sum.

    Args:
        experts: the experts module, whose weights may be transposed or interleaved, and have biases.
        hidden_states: (n, d) tokens of one micro-batch, padding included.
        top_k_index: (n, k) chosen experts.
        top_k_weights: (n, k) their gate weights.

    Returns:
        (n, d), the sum of the chosen experts' outputs times their gate weights.
    """
    import torch

    count, width = hidden_states.shape
    n_experts, intermediate = len(experts.down_proj), experts.down_proj.shape[1 if experts.is_transposed else 2]
    observer: ExpertObserver | None = getattr(experts, "moe_claims_observer", None)
    asked, answers = getattr(experts, "moe_claims_router", None) or (hidden_states, ())
    routed = torch.zeros_like(hidden_states)
    rows = max(1, _CHUNK_FLOATS // (n_experts * (width + intermediate)))
    for start in range(0, count, rows):
        part = slice(start, min(start + rows, count))
        hidden = hidden_states[part]
        outputs = hidden.new_empty((len(hidden), n_experts, width))
        activations = hidden.new_empty((len(hidden), n_experts, intermediate))
        for expert in range(n_experts):
            activations[:, expert], inner = _gated(experts, _linear(experts, "gate_up_proj", expert, hidden))
            output = _linear(experts, "down_proj", expert, inner)
            if getattr(experts, "has_post_expert_norm", False):  # of which older versions know nothing
                output = experts.post_expert_norm(output)
            outputs[:, expert] = output
        index = top_k_index[part, :, None].expand(-1, -1, width)
        routed[part] = (outputs.gather(1, index) * top_k_weights[part, :, None]).sum(dim=1).to(routed.dtype)
        if observer is not None:
            said = tuple(answer[part] for answer in answers)
            observer.observe(ExpertBatch(hidden, outputs, activations, top_k_index[part], asked[part], said, start))
    return routed


def _linear(experts: Any, name: str, expert: int, inputs: "torch.Tensor") -> "torch.Tensor":
    import torch

    weight = getattr(experts, name)[expert]
    bias = getattr(experts, f"{name}_bias")[expert] if experts.has_bias else None
    return torch.nn.functional.linear(inputs, weight.T if experts.is_transposed else weight, bias)


def _gated(experts: Any, both: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """(n, 2m) of act and up → (n, m) σ(W_act x), and what goes into W_down.

    Of a gate of the family's own, the activation is what it returns where up is neutral.
    """
    from transformers.integrations.moe import _default_apply_gate

    half = both.shape[-1] // 2
    if type(experts)._apply_gate is _default_apply_gate:
        activations: torch.Tensor = experts.act_fn(both[:, :half])
        return activations, activations * both[:, half:]
    neutral = both.clone()
    neutral[:, slice(half, None) if experts.is_concatenated else slice(1, None, 2)] = experts.moe_claims_neutral
    return experts._apply_gate(neutral), experts._apply_gate(both)
