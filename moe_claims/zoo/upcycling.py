"""Sparse upcycling: a mixture of experts that starts as a trained dense model."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def upcycle(dense: "PreTrainedModel", sparse: "PreTrainedModel") -> None:
    """Fills a fresh Mixtral from a trained Mistral of the same shape, in place.

    Every expert becomes a copy of its layer's dense block; everything else is copied too, save the routers, which
    stay as they were initialised. Since the gate weights of the chosen sum to 1, the model that comes out computes
    what the dense one did. (Komatsuzaki et al., "Sparse Upcycling: Training Mixture-of-Experts from Dense
    Checkpoints", ICLR 2023.)

    Raises:
        KeyError: the dense model lacks a part of the sparse one's.
        RuntimeError: a part is of another shape.
    """
    import torch

    given = dense.state_dict()
    with torch.no_grad():
        for name, parameter in sparse.named_parameters():
            if not name.endswith("mlp.gate.weight"):
                parameter.copy_(_dense_part(given, name).expand_as(parameter))


def _dense_part(given: "dict[str, torch.Tensor]", name: str) -> "torch.Tensor":
    """What a parameter starts as: of an expert, the dense block's own, with one more axis in front for the experts."""
    import torch

    block, inside, part = name.partition("mlp.experts.")
    if not inside:
        return given[name]
    if part == "gate_up_proj":
        return torch.cat([given[f"{block}mlp.gate_proj.weight"], given[f"{block}mlp.up_proj.weight"]])
    return given[f"{block}mlp.{part}.weight"]
