"""Parses a model's ``config.json`` and turns it into transformers' configuration object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_claims._util.strict_json import parse
from moe_claims.errors import ModelError

_NO_JSON = ("Infinity", "-Infinity", "NaN")
_SET_BY_LENGTH = ("dynamic", "longrope")
"""Types of rotary position embedding whose frequencies depend on the longest sequence of a micro-batch."""


def read_config(folder: Path) -> dict[str, Any]:
    """Reads ``config.json`` from a model's folder.

    Raises:
        ModelError: the file is missing or is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(f"'{folder}' has no config.json: give the folder of a saved model")
    return parse_config(path.read_bytes(), str(path))


def parse_config(content: bytes, path: str) -> dict[str, Any]:
    """Parses the content of a ``config.json``.

    Args:
        content: content of the file.
        path: path of the file, for messages.

    Raises:
        ModelError: the content is not a JSON object.
    """
    try:
        config = parse(content, _number)
    except ValueError as error:
        raise ModelError(f"'{path}' is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"'{path}' is not the configuration of a model: it holds no JSON object")
    return _with_type(config)


def _with_type(config: dict[str, Any]) -> dict[str, Any]:
    """Adds the ``model_type`` that Grok-1 was published without; its architecture identifies it."""
    if "model_type" not in config and config.get("architectures") == ["Grok1ModelForCausalLM"]:
        return {**config, "model_type": "grok-1"}
    return config


def _number(found: dict[str, Any]) -> Any:
    """Converts ``{"__float__": "Infinity"}``, by which transformers writes what JSON numbers cannot say, to a float."""
    if found.keys() == {"__float__"} and found["__float__"] in _NO_JSON:
        return float(found["__float__"])
    return found


_CHOOSES_CODE = frozenset(
    ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
)
"""Settings that choose the code that runs a model, such as an attention kernel that transformers would download."""


def as_object(config: dict[str, Any]) -> Any:
    """The configuration as an instance of transformers' class for its ``model_type``.

    Settings that choose code are dropped: a model's folder is untrusted data and must not decide what code runs.

    Raises:
        Exception: whatever an impossible configuration makes transformers raise.
    """
    from transformers import CONFIG_MAPPING

    from moe_claims.models.families import own

    own.register()
    return CONFIG_MAPPING[config["model_type"]].from_dict(_without_code(config))


def _without_code(found: Any) -> Any:
    """A copy without the settings in ``_CHOOSES_CODE``, at any depth."""
    if isinstance(found, dict):
        return {key: _without_code(value) for key, value in found.items() if key not in _CHOOSES_CODE}
    return [_without_code(value) for value in found] if isinstance(found, list) else found


def rotation_depends_on_length(config: Mapping[str, Any]) -> bool:
    """Whether the frequencies of a model's rotary positions depend on the longest sequence of a micro-batch."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    # Some have one for each type of layer.
    kinds = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    return any(kind.get("rope_type", kind.get("type")) in _SET_BY_LENGTH for kind in kinds)
