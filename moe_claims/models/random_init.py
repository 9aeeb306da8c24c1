"""The random-initialisation control: the same architecture, as transformers initialises it."""

from typing import TYPE_CHECKING, Any

from moe_claims.models.config import as_object

if TYPE_CHECKING:
    import torch


def initialise(config: dict[str, Any], *, seed: int) -> "dict[str, torch.Tensor]":
    """The weights of a fresh model of this configuration, named as its transformers module names them.

    Args:
        config: the parsed ``config.json``.
        seed: of torch's generator, whose state is put back afterwards.
    """
    import torch
    from transformers import AutoModelForCausalLM

    settings = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(as_object(settings), dtype=torch.float32, trust_remote_code=False)
    # A tied head is no parameter of its own; buffers that checkpoints keep, such as biases of routers, belong to it.
    buffers = {name for name, _ in model.named_buffers()} & set(model.state_dict())
    kept = [*model.named_parameters(), *((name, model.get_buffer(name)) for name in sorted(buffers))]
    return {name: tensor.detach() for name, tensor in kept}
