"""Generates the weights of the random-initialisation control, as transformers initialises the architecture."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import family_of
from moe_claims.models.forward.architecture import build
from moe_claims.models.forward.stored_names import StoredNames

if TYPE_CHECKING:
    import torch


def initialise(config: dict[str, Any], *, seed: int, of: Checkpoint | None = None) -> "dict[str, torch.Tensor]":
    """Random weights for a configuration, float32, named as in the transformers module.

    Args:
        config: the parsed ``config.json``.
        seed: seed for torch's generator, whose state is restored afterwards.
        of: the model whose control this is. Integer tables, such as a map from tokens to experts, are not learnt and
            therefore copied from it.
    """
    import torch

    settings = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(settings, family_of(settings, ""), torch.float32)
    weights = dict(weights_of(model))
    tables = [name for name, tensor in weights.items() if not tensor.is_floating_point()]
    if of is not None and tables:
        stored = StoredNames(model, of)
        weights |= {name: stored.tensor(name) for name in tables if stored.has(name)}
    return weights


def weights_of(module: "torch.nn.Module") -> "Iterator[tuple[str, torch.Tensor]]":
    """Yields (name, tensor) for parameters, tied ones once, and for persistent buffers, such as router biases."""
    kept = set(module.state_dict())
    yield from ((name, parameter.detach()) for name, parameter in module.named_parameters())
    yield from ((name, buffer) for name, buffer in module.named_buffers() if name in kept)
