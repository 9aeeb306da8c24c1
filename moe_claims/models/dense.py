"""Reads the feed-forward matrices of a dense reference model, by role and layer."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.progress import track
from moe_claims.errors import ModelError, NotComparableError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import FAMILIES, ROLES, Role
from moe_claims.models.names import ModelRef
from moe_claims.models.storage.location import location_of
from moe_claims.models.storage.quantised import dequantised, is_float8
from moe_claims.models.storage.tensor_source import MemorySource, TensorSource
from moe_claims.models.synthetic import build

if TYPE_CHECKING:
    import torch

MODEL_TYPES = ("mistral", "llama", "qwen2", "qwen3")
"""Supported dense families: the feed-forward block is down(σ(act x) · up x), with the tensor names below."""

_NAMES: Mapping[Role, str] = {"up": "up_proj", "act": "gate_proj", "down": "down_proj"}
_ACTIVATION = "silu"
"""Default activation of all these families."""
_SAME = {"swish": "silu"}
_OPTION = "--moe-dense-reference takes a dense SwiGLU model of the shape of the MoE's experts"


@final
class DenseModel:
    """The feed-forward weights of a dense language model.

    Args:
        name: name of the model, for messages and tables.
        config: the parsed ``config.json``.
        source: the model's tensors.
        revision: hub id and commit of a model from the hub, which identify its weights; None for other models.

    Raises:
        ModelError: the model is an MoE or of an unsupported family, or its feed-forward blocks have biases.
    """

    def __init__(self, name: str, config: dict[str, Any], source: TensorSource, revision: str | None = None) -> None:
        check_dense(config, name)
        self.name = name
        self.config = config
        self._source = dequantised(name, config, source)
        self._revision = revision
        self.layers, self.hidden, self.intermediate = (
            _whole(config, key, name) for key in ("num_hidden_layers", "hidden_size", "intermediate_size")
        )
        if any(".mlp." in stored and stored.endswith(".bias") for stored in self._source.names()):
            raise ModelError(f"the feed-forward blocks of '{name}' have biases: {_OPTION}, which have none")

    def matrix(self, layer: int, role: Role) -> "torch.Tensor":
        """Reads one matrix of a layer's feed-forward block: up and act (m, d), down (d, m), stored dtype, on the CPU.

        Raises:
            ModelError: the tensor is missing, of another shape than the config says, or not finite.
        """
        import torch

        stored = f"model.layers.{layer}.mlp.{_NAMES[role]}.weight"
        try:
            tensor = self._source.get(stored)
        except KeyError:
            raise ModelError(f"'{self.name}' lacks the tensor '{stored}': is the checkpoint complete?") from None
        wanted = (self.hidden, self.intermediate) if role == "down" else (self.intermediate, self.hidden)
        if tuple(tensor.shape) != wanted:
            raise ModelError(
                f"'{self.name}' stores '{stored}' as {tuple(tensor.shape)}, but its config asks for {wanted}: "
                "config and weights do not belong together"
            )
        if is_float8(tensor):
            raise ModelError(
                f"'{self.name}' stores '{stored}' in float8, but its config has no quantization_config, which says how "
                "to read it: take both from the same checkpoint"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"'{self.name}' has NaN or infinite weights in the tensor '{stored}'")
        return tensor

    @cached_property
    def identity(self) -> str:
        """Identifies the weights: hub id and commit, or else a hash of all feed-forward weights."""
        import torch

        if self._revision is not None:
            return self._revision
        digest = hashlib.sha256()
        for layer in track(range(self.layers), f"hashing {self.name}", unit="layers"):
            for role in ROLES:
                tensor = self.matrix(layer, role)
                digest.update(f"{layer} {role} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def check_fits(self, checkpoint: Checkpoint) -> None:
        """Checks that the experts of an MoE can be compared with this model's feed-forward blocks.

        Raises:
            NotComparableError: the two differ in layers, hidden or intermediate size, or activation.
        """
        config = checkpoint.text_config
        theirs = _shape(
            config.get("num_hidden_layers"),
            config.get("hidden_size"),
            config.get("moe_intermediate_size", config.get("intermediate_size")),
            activation_of(config, checkpoint.family.activation),
        )
        ours = _shape(self.layers, self.hidden, self.intermediate, activation_of(self.config))
        if ours != theirs:
            raise NotComparableError(
                f"'{self.name}' ({ours}) has not the shape of the experts of '{checkpoint.name}' ({theirs})"
            )

    def fits(self, checkpoint: Checkpoint) -> bool:
        """Whether the experts of an MoE can be compared with this model (see ``check_fits``)."""
        try:
            self.check_fits(checkpoint)
        except NotComparableError:
            return False
        return True


def activation_of(config: Mapping[str, Any], usual: str = _ACTIVATION) -> str:
    """Name of the activation σ in transformers; ``usual``, the family's default, if the config does not name it."""
    said = (config.get(key) for key in ("hidden_act", "hidden_activation", "activation_function"))
    name = str(next(filter(None, said), usual))
    return _SAME.get(name, name)


def _shape(layers: object, hidden: object, intermediate: object, activation: str) -> str:
    return f"{layers} layers, d = {hidden}, m = {intermediate}, {activation}"


def _whole(config: Mapping[str, Any], key: str, name: str) -> int:
    value = config.get(key)
    if type(value) is not int:
        raise ModelError(f"the config of '{name}' does not say {key}")
    return value


def check_dense(config: Mapping[str, Any], name: str) -> None:
    """Checks that a configuration belongs to a dense model of a supported family.

    Raises:
        ModelError: it belongs to an MoE or to another family.
    """
    model_type = config.get("model_type", "(none)")
    if model_type in FAMILIES or any("expert" in key for key in config):
        raise ModelError(f"'{name}' is a mixture of experts (model_type '{model_type}'): {_OPTION}")
    if model_type not in MODEL_TYPES:
        raise ModelError(
            f"'{name}' has model_type '{model_type}', which cannot be read as a dense model yet: "
            f"{', '.join(MODEL_TYPES)} can"
        )


def open_dense(ref: ModelRef, *, download: bool = False) -> DenseModel:
    """Opens a dense model. Weights of a stored model are read later, when they are needed.

    Args:
        ref: the resolved name of the model.
        download: as in ``open_model``.

    Raises:
        UsageError: the options of a synthetic model are invalid.
        ModelError: the model cannot be found or read, or is not a dense model of a supported family.
    """
    if ref.kind == "synthetic":
        return _synthetic(ref)
    location = location_of(ref, download=download)
    config = location.config()
    check_dense(config, ref.name)  # before its weights are opened
    revision = None if location.sha is None else f"{ref.target}@{location.sha}"
    return DenseModel(ref.name, config, location.tensors(), revision)


def _synthetic(ref: ModelRef) -> DenseModel:
    if ref.target != "dense":
        raise ModelError(f"'{ref.name}' is a mixture of experts: {_OPTION}")
    shape = build.shape_of(ref.target, ref.options)
    return DenseModel(ref.name, build.config_dense(shape), MemorySource(build.make_dense(shape)))
