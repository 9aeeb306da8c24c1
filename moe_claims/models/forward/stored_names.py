"""Finds what a checkpoint stores for a tensor of the transformers module.

When transformers loads a published checkpoint, it renames and merges tensors by rules for each family. Here the same
rules are applied to the names alone, so that tensors can then be read one layer at a time.
"""

from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch


@final
class StoredNames:
    """Reads tensors of a checkpoint by their names in the transformers module.

    Args:
        model: the module; it may be on the meta device.
        checkpoint: the checkpoint that stores the tensors.
    """

    def __init__(self, model: Any, checkpoint: Checkpoint) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

        rules: list[Any] = get_model_conversion_mapping(model)
        renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
        converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
        expected = model.state_dict()
        self._model = _AsItWas(model, expected)
        self._checkpoint = checkpoint
        self._rule_of = {pattern: rule for rule in converters for pattern in rule.source_patterns}
        self._stored: dict[str, str] = {}
        self._parts: dict[str, dict[str, list[str]]] = {}
        self._first: dict[str, tuple[str, str]] = {}
        part = f"{checkpoint.family.part}."
        for name in _in_order(checkpoint.names):
            own = name.removeprefix(part)
            target, pattern = rename_source_key(own, renamings, converters, model.base_model_prefix, expected)
            if target not in expected and own in expected:  # stored under the name that transformers itself uses
                target, pattern = own, None
            if pattern is None:
                self._stored.setdefault(target, name)
            elif not checkpoint.is_experts(target):
                self._parts.setdefault(target, {}).setdefault(pattern, []).append(name)
                # rename_source_key returns the first target of a rule with several; the others are kept in self._first.
                first, *others = self._rule_of[pattern].target_patterns
                for other in others:
                    self._first[target.replace(first, other, 1)] = (target, other)

    def has(self, name: str) -> bool:
        """Whether the checkpoint stores this tensor or its parts; tied weights may be missing."""
        return name in self._stored or name in self._parts or name in self._first

    def tensor(self, name: str) -> "torch.Tensor":
        """Reads a tensor of the module (other than experts), in its stored dtype.

        Raises:
            ModelError: the tensor is missing, damaged or not finite, or no rule produces it.
        """
        if name in self._first:
            return self._put_together(*self._first[name])
        if name in self._parts:
            return self._put_together(name)
        return self._checkpoint.get(self._stored.get(name, name))

    def _put_together(self, name: str, which: str = "") -> "torch.Tensor":
        """Reads stored parts and merges them by the family's rule, such as one that joins three convolutions.

        Args:
            name: name of the tensor, or of the first one that the rule produces.
            which: pattern of the wanted tensor, if the rule produces several; the first if empty.

        Raises:
            ModelError: the rule does not produce the tensor.
        """
        parts = self._parts[name]
        rule = deepcopy(self._rule_of[next(iter(parts))])
        values: dict[str, Any] = {
            pattern: [self._checkpoint.get(stored) for stored in names] for pattern, names in parts.items()
        }
        for operation in rule.operations:
            values = operation.convert(
                values,
                source_patterns=rule.source_patterns,
                target_patterns=rule.target_patterns,
                full_layer_name=name,
                model=self._model,
                config=self._model.config,
            )
        which = which or rule.target_patterns[0]
        if which not in values:
            raise ModelError(
                f"the rule by which transformers reads '{name}' of '{self._checkpoint.name}' yields no '{which}': the "
                "installed version cannot be used with this checkpoint"
            )
        found = values[which]
        tensor: torch.Tensor = found[0] if isinstance(found, list) else found
        return tensor


@final
class _AsItWas:
    """The module, with the shapes of its tensors from when it was whole: rules that split a tensor ask for them."""

    def __init__(self, model: Any, tensors: "dict[str, torch.Tensor]") -> None:
        self._model, self._tensors = model, tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def get_parameter(self, target: str) -> "torch.Tensor":
        return self._tensors[target]


def _in_order(names: Iterable[str]) -> list[str]:
    """Names sorted with their numbers in numerical order: expert 10 comes after expert 2."""
    from transformers.core_model_loading import dot_natural_key

    return sorted(names, key=dot_natural_key)
