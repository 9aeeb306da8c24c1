"""Sparse upcycling: initialises a mixture of experts from a trained dense model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def upcycle(dense: "PreTrainedModel", sparse: "PreTrainedModel") -> None:
    """Copies the weights of a trained Mistral into a Mixtral of the same shape, in place.

    Every expert becomes a copy of its layer's dense block. All other weights are copied too, except the routers, which
    keep their random weights. Since the gate weights of the chosen experts sum to 1, the result computes the same
    function as the dense model (Komatsuzaki et al., "Sparse Upcycling: Training Mixture-of-Experts from Dense
    Checkpoints", ICLR 2023).

    Raises:
        KeyError: the dense model lacks a tensor that the sparse one needs.
        RuntimeError: a tensor has another shape.
    """
    import torch

    given = dense.state_dict()
    with torch.no_grad():
        for name, parameter in sparse.named_parameters():
            if not name.endswith("mlp.gate.weight"):
                parameter.copy_(_dense_part(given, name).expand_as(parameter))


def _dense_part(given: "dict[str, torch.Tensor]", name: str) -> "torch.Tensor":
    """Initial value of a parameter; that of an expert matrix lacks the expert axis, over which it is broadcast."""
    import torch

    block, inside, part = name.partition("mlp.experts.")
    if not inside:
        return given[name]
    if part == "gate_up_proj":
        return torch.cat([given[f"{block}mlp.gate_proj.weight"], given[f"{block}mlp.up_proj.weight"]])
    return given[f"{block}mlp.{part}.weight"]
