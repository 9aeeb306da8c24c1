"""Figures as ``data:`` URIs, so that the HTML page stays one file."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_claims.errors import UsageError

LIST = "figures.json"
"""File in a folder of figures that lists them by model, with captions."""
_KINDS = {".png": "image/png", ".svg": "image/svg+xml"}


def read(folder: Path) -> list[dict[str, str]]:
    """The figures of a folder that holds ``figures.json``, sorted by kind and then by model.

    Returns:
        ``title``, ``caption`` and ``uri`` of each, as ``report.html.render`` takes them.

    Raises:
        UsageError: the list is missing or malformed, or names a missing file.
    """
    path = folder / LIST
    try:
        models = json.loads(path.read_text(encoding="utf-8"))["models"]
        return shown(models, folder)
    except FileNotFoundError as error:
        raise UsageError(
            f"'{error.filename}' is not there: 'python -m moe_claims figures NAME --output DIR' makes it"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"'{path}' is no list of figures ({type(error).__name__}: {error})") from None


def shown(models: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Reads figures from a folder, given the list of models in its ``figures.json``.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is no picture, or lies outside the folder.
    """
    drawn = [
        (str(model["model"]["name"]), figure) for model in models for figure in model["figures"] if figure["files"]
    ]
    order = list(dict.fromkeys(figure["id"] for _, figure in drawn))
    return [
        {
            "title": f"{figure['title']}: {name}",
            "caption": f"{figure['caption']} {_counterpart(figure)}",
            "uri": _uri(folder, str(figure["files"][0])),
        }
        for name, figure in sorted(drawn, key=lambda one: order.index(one[1]["id"]))
    ]


def _counterpart(figure: Mapping[str, Any]) -> str:
    return f"Counterpart in {figure.get('paper', 'the paper')}: {figure['counterpart']}."


def _uri(folder: Path, name: str) -> str:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or path.suffix not in _KINDS:
        raise ValueError(f"'{name}' is no picture in that folder")
    return f"data:{_KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
