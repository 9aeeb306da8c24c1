"""Resolves what a user may write after ``--model``. Imports nothing heavy."""

import difflib
import json
import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final
from urllib.parse import parse_qsl

from moe_claims.errors import UsageError
from moe_claims.models.embedded import EMBEDDED, embedded_directory, step_of

ALIASES = {
    # The models of the paper, and the dense reference of Mixtral 8x7B.
    "mixtral": "mistralai/Mixtral-8x7B-v0.1",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-v0.1",
    "mixtral-8x7b-instruct": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "mixtral-8x22b": "mistralai/Mixtral-8x22B-v0.1",
    "mixtral-8x22b-instruct": "mistralai/Mixtral-8x22B-Instruct-v0.1",
    "deepseek-moe-16b": "deepseek-ai/deepseek-moe-16b-base",
    "deepseek-moe-16b-chat": "deepseek-ai/deepseek-moe-16b-chat",
    "grok-1": "hpcai-tech/grok-1",
    "mistral": "mistralai/Mistral-7B-v0.1",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    # Other models.
    "olmoe": "allenai/OLMoE-1B-7B-0924",
    "olmoe-instruct": "allenai/OLMoE-1B-7B-0924-Instruct",
    "qwen1.5-moe-a2.7b": "Qwen/Qwen1.5-MoE-A2.7B",
    "qwen2-57b-a14b": "Qwen/Qwen2-57B-A14B",
    "qwen3-30b-a3b": "Qwen/Qwen3-30B-A3B",
    "qwen3-30b-a3b-base": "Qwen/Qwen3-30B-A3B-Base",
    "qwen3-235b-a22b": "Qwen/Qwen3-235B-A22B",
    "deepseek-v2-lite": "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-v2": "deepseek-ai/DeepSeek-V2",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
    "moonlight-16b-a3b": "moonshotai/Moonlight-16B-A3B",
    "kimi-linear-48b-a3b": "moonshotai/Kimi-Linear-48B-A3B-Base",
    "gpt-oss-20b": "openai/gpt-oss-20b",
    "gpt-oss-120b": "openai/gpt-oss-120b",
    "phi-3.5-moe": "microsoft/Phi-3.5-MoE-instruct",
    "glm-4.5-air": "zai-org/GLM-4.5-Air",
    "granite-3.1-1b-a400m": "ibm-granite/granite-3.1-1b-a400m-base",
    "granite-3.1-3b-a800m": "ibm-granite/granite-3.1-3b-a800m-base",
    "jamba": "ai21labs/Jamba-v0.1",
}
"""Short names of well-known models on the hub."""

SYNTHETIC = ("planted", "null", "random-init", "dense")
"""Kinds of models generated in memory, named ``synthetic:KIND?seed=N&…``.

``dense`` is the dense reference of a planted or null model.
"""

Kind = Literal["embedded", "directory", "hub", "synthetic"]


@final
@dataclass(frozen=True)
class ModelRef:
    """A resolved model name. Whether the model exists has not been checked yet, except for folders."""

    name: str
    """The name as the user wrote it; heading of the model's column in tables."""
    kind: Kind
    target: str
    """Path of the folder, hub id, or kind of synthetic model."""
    revision: str | None = None
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    """Options of a synthetic model, such as seed and sizes."""


def resolve(name: str) -> ModelRef:
    """Resolves a model name: an alias, a directory, an embedded or synthetic model, or a hub id.

    ``hub:org/name`` always means the hub; ``org/name`` means a directory if one of that path exists.

    Raises:
        UsageError: the name matches nothing; the message suggests similar names.
    """
    if not name or name != name.strip():
        raise UsageError(f"'{name}' is not a model name: give an alias, a directory, org/name or synthetic:KIND")
    if name.startswith("synthetic:"):
        return _synthetic(name)
    if name.startswith("hub:"):
        hub_id, _, revision = name.removeprefix("hub:").partition("@")
        if not _is_hub_id(hub_id):
            raise UsageError(
                f"'{name}' does not name a repository on the hub: give hub:org/name or hub:org/name@revision"
            )
        return ModelRef(name, "hub", hub_id, revision or None)
    short, _, revision = name.partition("@")
    if short in EMBEDDED:
        folder = embedded_directory(short)
        if revision:
            step_of(folder, revision, name)
        return ModelRef(name, "embedded", str(folder), revision or None)
    if short.lower() in ALIASES:  # aliases win over folders; for a folder of that name write ./name
        return ModelRef(name, "hub", ALIASES[short.lower()], revision or None)
    path = os.path.expanduser(name)  # noqa: PTH111 - pathlib raises for an unknown ~user
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises for a name too long for the file system
        return ModelRef(name, "directory", path)
    if name.startswith((".", "/", "~")):
        raise UsageError(f"there is no directory '{name}': --model takes a folder with config.json and *.safetensors")
    if _is_hub_id(short):
        return ModelRef(name, "hub", short, revision or None)
    known = [*ALIASES, *EMBEDDED, *(f"synthetic:{kind}" for kind in SYNTHETIC)]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    listed = f"'python -m moe_claims models' lists the {len(known)} known names; or give a directory, or org/name"
    hint = f"did you mean {' or '.join(near)}?" if near else listed
    raise UsageError(f"unknown model '{name}': {hint}")


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and all(name.split("/"))


def _synthetic(name: str) -> ModelRef:
    kind, _, query = name.removeprefix("synthetic:").partition("?")
    if kind not in SYNTHETIC:
        near = difflib.get_close_matches(kind, SYNTHETIC, n=1, cutoff=0.4)
        hint = f"did you mean synthetic:{near[0]}?" if near else "known are " + ", ".join(SYNTHETIC)
        raise UsageError(f"unknown synthetic model '{name}': {hint}")
    options: dict[str, int | float | str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            parsed = value
        if parsed is None or isinstance(parsed, bool):
            parsed = value  # JSON's null, true and false are taken as words; null names a kind of model
        if not isinstance(parsed, int | float | str):
            raise UsageError(f"'{key}={value}' in '{name}' is neither a number nor a word")
        options[key] = parsed
    return ModelRef(name, "synthetic", kind, None, options)
