"""A model's ``config.json``, parsed and as transformers' own object."""

from pathlib import Path
from typing import Any

from moe_claims._util.strict_json import parse
from moe_claims.errors import ModelError

_NO_JSON = ("Infinity", "-Infinity", "NaN")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder.

    Raises:
        ModelError: there is none, or it is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(f"'{folder}' has no config.json: give the folder of a saved model")
    return parse_config(path.read_bytes(), str(path))


def parse_config(content: bytes, path: str) -> dict[str, Any]:
    """The configuration in the content of a ``config.json``.

    Args:
        content: of the file.
        path: for messages.

    Raises:
        ModelError: it is not a JSON object.
    """
    try:
        config = parse(content, _number)
    except ValueError as error:
        raise ModelError(f"'{path}' is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"'{path}' is not the configuration of a model: it holds no JSON object")
    return _with_type(config)


def _with_type(config: dict[str, Any]) -> dict[str, Any]:
    """Published without ``model_type``, Grok-1 is known by its architecture."""
    if "model_type" not in config and config.get("architectures") == ["Grok1ModelForCausalLM"]:
        return {**config, "model_type": "grok-1"}
    return config


def _number(found: dict[str, Any]) -> Any:
    """JSON has no infinity: transformers writes it as an object of its own."""
    if found.keys() == {"__float__"} and found["__float__"] in _NO_JSON:
        return float(found["__float__"])
    return found


_CHOOSES_CODE = frozenset(
    ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
)
"""Settings that say which code is to run the model, such as an attention kernel that transformers would download."""


def as_object(config: dict[str, Any]) -> Any:
    """The configuration as an instance of transformers' class for its ``model_type``.

    What it says about code is left out: a model's folder is data, and what runs it is for the user to choose.

    Raises:
        Exception: whatever an impossible configuration makes transformers raise.
    """
    from transformers import CONFIG_MAPPING

    from moe_claims.models.families import own

    own.register()
    return CONFIG_MAPPING[config["model_type"]].from_dict(_without_code(config))


def _without_code(found: Any) -> Any:
    """A copy without those settings, at any depth."""
    if isinstance(found, dict):
        return {key: _without_code(value) for key, value in found.items() if key not in _CHOOSES_CODE}
    return [_without_code(value) for value in found] if isinstance(found, list) else found
