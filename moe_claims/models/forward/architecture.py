"""The transformers module that a configuration asks for, and which of its parts a text goes through."""

from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.config import as_object
from moe_claims.models.families.table import Family

if TYPE_CHECKING:
    import torch


def build(config: dict[str, Any], family: Family, dtype: "torch.dtype") -> Any:
    """A model with a language-modelling head, on the device of the context.

    A model for more than text is built as it was published, towers and all; of a model of several, the one that
    writes text.

    Args:
        config: the parsed ``config.json``.
        family: the row of the family table.
        dtype: of its parameters.

    Raises:
        Exception: whatever an impossible configuration makes transformers raise.
    """
    made = as_object(config)
    if family.part:
        made = getattr(made, f"{family.part}_config")
    return model_class(made).from_config(made, dtype=dtype, trust_remote_code=False)


def model_class(config: Any) -> Any:
    """The class of transformers that builds a model from a config of this kind."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

    # Some classes for text alone also take the config of a model for more, whose checkpoint has other names for it.
    order: list[Any] = [AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM]
    for auto in order if config.sub_configs else order[::-1]:
        if type(config) in auto._model_mapping:
            return auto
    return AutoModelForCausalLM  # its error names the configs that it takes


@final
class Parts:
    """What a text goes through: the decoder, its layers, and the head.

    Args:
        model: the module of the whole model.
        family: says where the decoder layers are.

    Raises:
        ModelError: they are not there.
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
        """The decoder layers, which may be exchanged."""
        layers: torch.nn.ModuleList = getattr(self.decoder, self._name)
        return layers

    @layers.setter
    def layers(self, layers: "torch.nn.ModuleList") -> None:
        setattr(self.decoder, self._name, layers)

    def belongs_to_text(self, name: str) -> bool:
        """Whether a tensor of the model has a part in running a text."""
        return not self._has_towers or name.startswith((f"{self._prefix}.", f"{self._head}."))

    def compute_constants(self, module: "torch.nn.Module", device: str) -> None:
        """Gives buffers on the meta device that no checkpoint keeps, such as frequencies of positions, their values.

        They are computed as transformers does it when it loads a model, which spoils parameters beside them: those
        get their values afterwards.

        Args:
            module: a part of the decoder, or the decoder.
            device: where the buffers shall be.
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
