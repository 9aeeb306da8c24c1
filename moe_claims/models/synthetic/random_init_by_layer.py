"""A fresh model of any size: its weights are made layer by layer, when they are asked for."""

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import family_of
from moe_claims.models.forward.architecture import Parts, build
from moe_claims.models.forward.stored_names import StoredNames
from moe_claims.models.storage.tensors import is_finite
from moe_claims.models.synthetic.random_init import weights_of

if TYPE_CHECKING:
    import torch

_SMALL = 1 << 20
"""Numbers up to which a tensor stays, once made; larger ones are given away once, and made again if need be."""


@final
class FreshSource:
    """The weights that transformers would initialise, under the names of its module.

    Args:
        config: the parsed ``config.json``.
        seed: decides the weights, with the index of their layer.
        of: the model whose control it is; tables of whole numbers, which are not learnt, are taken from it.
    """

    def __init__(self, config: dict[str, Any], *, seed: int, of: Checkpoint) -> None:
        import torch

        family = family_of(config, of.name)
        settings = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
        with torch.device("meta"):
            self._model: Any = build(settings, family, torch.float32)
        parts = Parts(self._model, family)
        self._layers, self._prefix, self._decoder = list(parts.layers), f"{family.layers}.", parts.decoder
        whole = dict(weights_of(self._model))
        self._config, self._seed, self._of = config, seed, of
        self._shapes = {name: tuple(tensor.shape) for name, tensor in whole.items()}
        tables = [name for name, tensor in whole.items() if not tensor.is_floating_point()]
        stored = StoredNames(self._model, of) if tables else None
        self._tables = {name: stored.tensor(name) for name in tables if stored is not None and stored.has(name)}
        parts.layers = torch.nn.ModuleList()
        self._made: dict[str, torch.Tensor] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> "tuple[Callable[..., FreshSource], tuple[dict[str, Any]]]":
        """Another process draws the same weights anew."""
        return partial(FreshSource, seed=self._seed, of=self._of), (self._config,)

    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, without making it."""
        return self._shapes[name]

    def get(self, name: str) -> "torch.Tensor":
        """A tensor, float32; its whole layer is made with it.

        Raises:
            KeyError: there is none of that name.
            ModelError: transformers leaves a tensor of the layer as memory happened to be.
        """
        if name in self._tables:
            return self._tables[name]
        small = prod(self._shapes[name]) <= _SMALL
        with self._lock:
            if name not in self._made:
                self._make(name)
            return self._made[name] if small else self._made.pop(name)

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        """Tensors in the order of their names."""
        return [self.get(name) for name in names]

    def _make(self, wanted: str) -> None:
        """All tensors of the layer that a tensor is in, or of what lies outside of the layers."""
        import torch

        self._made = {name: tensor for name, tensor in self._made.items() if tensor.numel() <= _SMALL}
        prefix, module, owner, number = "", self._model, self._model, len(self._layers)
        if wanted.startswith(self._prefix):
            number = int(wanted.removeprefix(self._prefix).partition(".")[0])
            prefix, module, owner = f"{self._prefix}{number}.", self._layers[number], self._decoder
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self._seed + number)
            fresh = deepcopy(module).to_empty(device="cpu")
            for _, tensor in weights_of(fresh):
                tensor.fill_(float("nan") if tensor.is_floating_point() else 0)
            _initialise(fresh, owner)
        made = {f"{prefix}{name}": tensor for name, tensor in weights_of(fresh)}
        for name, tensor in made.items():
            if tensor.is_floating_point() and not is_finite(tensor):
                from transformers import __version__

                raise ModelError(
                    f"the installed transformers {__version__} does not say how '{name}' of a fresh model is "
                    "initialised: a large one cannot be made layer by layer; a newer version may say it"
                )
        self._made |= {name: tensor for name, tensor in made.items() if name in self._shapes}  # a tied head came apart


def _initialise(module: "torch.nn.Module", owner: Any) -> None:
    """As transformers does it: from the inside out, each part by the model that it belongs to."""
    from transformers import PreTrainedModel

    for child in module.children():
        _initialise(child, child if isinstance(child, PreTrainedModel) else owner)
    owner._init_weights(module)
