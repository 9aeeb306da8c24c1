"""A model's ``config.json``, parsed and as transformers' own object."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from moe_claims.errors import ModelError
from moe_claims.models.strict_json import parse

_NO_JSON = ("Infinity", "-Infinity", "NaN")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder.

    Raises:
        ModelError: there is none, or it is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(f"'{folder}' has no config.json: give the folder of a saved model")
    try:
        config = parse(path.read_bytes(), _number)
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


def as_object(config: dict[str, Any]) -> Any:
    """The configuration as an instance of transformers' class for its ``model_type``.

    Raises:
        Exception: whatever an impossible configuration makes transformers raise.
    """
    from transformers import CONFIG_MAPPING

    from moe_claims.models import own

    own.register()
    # auto_map names code beside the weights, which is never run.
    settings = {name: value for name, value in config.items() if name != "auto_map"}
    return CONFIG_MAPPING[config["model_type"]].from_dict(deepcopy(settings))
