"""Generates the weights of a random-initialisation control of any size, layer by layer, on demand."""

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import family_of
from moe_claims.models.forward.architecture import DecoderParts, build
from moe_claims.models.forward.stored_names import StoredNames
from moe_claims.models.storage.tensors import is_finite
from moe_claims.models.synthetic.random_init import weights_of

if TYPE_CHECKING:
    import torch

_SMALL = 1 << 20
"""Tensors of up to this many numbers are kept once generated; larger ones are dropped after one read and generated
again when needed."""


@final
class RandomInitSource:
    """A ``TensorSource`` of random weights as transformers initialises them, named as in its module.

    Args:
        config: the parsed ``config.json``.
        seed: seed; together with the index of a layer it determines the weights of that layer.
        of: the model whose control this is; integer tables, which are not learnt, are copied from it.
    """

    def __init__(self, config: dict[str, Any], *, seed: int, of: Checkpoint) -> None:
        import torch

        family = family_of(config, of.name)
        settings = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
        with torch.device("meta"):
            self._model: Any = build(settings, family, torch.float32)
        parts = DecoderParts(self._model, family)
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

    def __reduce__(self) -> "tuple[Callable[..., RandomInitSource], tuple[dict[str, Any]]]":
        """Another process draws the same weights anew."""
        return partial(RandomInitSource, seed=self._seed, of=self._of), (self._config,)

    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without generating it."""
        return self._shapes[name]

    def get(self, name: str) -> "torch.Tensor":
        """A tensor, float32; the other tensors of its layer are generated with it.

        Raises:
            KeyError: there is no tensor of that name.
            ModelError: transformers does not initialise a tensor of the layer.
        """
        if name in self._tables:
            return self._tables[name]
        small = prod(self._shapes[name]) <= _SMALL
        with self._lock:
            if name not in self._made:
                self._make(name)
            return self._made[name] if small else self._made.pop(name)

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        """Tensors, in the order of ``names``."""
        return [self.get(name) for name in names]

    def _make(self, wanted: str) -> None:
        """Generates all tensors of the layer that contains ``wanted``, or all tensors outside the layers."""
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
                    f"the installed transformers {__version__} does not initialise '{name}' of a "
                    "new model: a large control cannot be made layer by layer; try a newer version"
                )
        self._made |= {
            name: tensor for name, tensor in made.items() if name in self._shapes
        }  # drops the head where it is tied to the embedding


def _initialise(module: "torch.nn.Module", owner: Any) -> None:
    """Initialises a module as transformers does: submodules first, each by the pretrained model that owns it."""
    from transformers import PreTrainedModel

    for child in module.children():
        _initialise(child, child if isinstance(child, PreTrainedModel) else owner)
    owner._init_weights(module)
