"""Builds the transformers module for a configuration, and finds the parts of it that process text."""

from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.config import as_object
from moe_claims.models.families.table import Family

if TYPE_CHECKING:
    import torch


def build(config: dict[str, Any], family: Family, dtype: "torch.dtype") -> Any:
    """Builds a model with a language-modelling head, on torch's current default device.

    A multimodal model is built as published, towers for images and sound included. Of a composite of several language
    models, only the one that writes text is built.

    Args:
        config: the parsed ``config.json``.
        family: the model's row of the family table.
        dtype: dtype of the parameters.

    Raises:
        Exception: whatever transformers raises for an invalid configuration.
    """
    made = as_object(config)
    if family.part:
        made = getattr(made, f"{family.part}_config")
    return model_class(made).from_config(made, dtype=dtype, trust_remote_code=False)


def model_class(config: Any) -> Any:
    """The transformers auto class that builds a model from a config of this class."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

    # Some text-only classes also accept a multimodal config, but name its tensors otherwise than its checkpoint does.
    order: list[Any] = [AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM]
    for auto in order if config.sub_configs else order[::-1]:
        if type(config) in auto._model_mapping:
            return auto
    return AutoModelForCausalLM  # it will fail, with a message that lists the supported configs


@final
class DecoderParts:
    """The parts of a model that process text: the decoder, its layers, and the head.

    Args:
        model: the module of the whole model.
        family: the model's row of the family table; it names the path of the decoder layers.

    Raises:
        ModelError: the module has no decoder layers at that path.
    """

    def __init__(self, model: Any, family: Family) -> None:
        self._prefix, _, self._name = family.layers.rpartition(".")
        try:
            model.get_submodule(family.layers)
        except AttributeError:
            from transformers import __version__

            raise ModelError(
                f"{type(model).__name__} of the installed transformers {__version__} has no '{family.layers}': only "
                "its weights can be measured; a newer version may have it"
            ) from None
        self.decoder: Any = model.get_submodule(self._prefix)
        head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
        paths = {module: path for path, module in model.named_modules()}
        self._head = paths[head]
        self.embedding = f"{paths[embedding]}.weight"
        self._has_towers = bool(family.text)

    @property
    def layers(self) -> "torch.nn.ModuleList":
        """The decoder layers; they can be replaced."""
        layers: torch.nn.ModuleList = getattr(self.decoder, self._name)
        return layers

    @layers.setter
    def layers(self, layers: "torch.nn.ModuleList") -> None:
        setattr(self.decoder, self._name, layers)

    def belongs_to_text(self, name: str) -> bool:
        """Whether a tensor of the model is used when text is processed."""
        return not self._has_towers or name.startswith((f"{self._prefix}.", f"{self._head}."))

    def compute_constants(self, module: "torch.nn.Module", device: str) -> None:
        """Computes the non-persistent buffers of a module, such as rotary frequencies, if they are on the meta device.

        They are computed as transformers does when it loads a model. This may overwrite parameters of the same
        submodules, which must therefore be loaded afterwards.

        Args:
            module: the decoder, or a part of it.
            device: device for the buffers.
        """
        import torch

        for part in module.modules():
            names = [
                name
                for name, buffer in part.named_buffers(recurse=False)
                if name in part._non_persistent_buffers_set and buffer.is_meta
            ]
            for name in names:
                setattr(part, name, torch.empty_like(getattr(part, name), device=device))
            if names:
                self.decoder._init_weights(part)
