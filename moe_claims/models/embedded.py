"""The trained models inside the package, and the points along their training that ship with them. Light to import."""

import json
import re
from importlib.resources import files
from pathlib import Path

from moe_claims.errors import UsageError

JUDGED = ("tiny-scratch", "tiny-upcycled", "tiny-fine", "tiny-gelu")
"""Mixtures of experts: what a run judges that names no model."""
DENSE = "tiny-dense"
"""Of the shape of the experts of the first two, and what the second began as: their dense reference."""
EMBEDDED = (*JUDGED, DENSE)

POINTS = "points"
"""Folder beside a model's weights."""
_NAME = re.compile(r"step(\d+)")


def embedded_directory(name: str) -> Path:
    """The folder of an embedded model.

    Raises:
        UsageError: this installation lacks its weights.
    """
    folder = Path(str(files("moe_claims.zoo"))) / "models" / name
    if not (folder / "config.json").exists():
        raise UsageError(
            f"the embedded model '{name}' is missing from this installation: "
            f"install moe-claims again, or make it with 'python -m moe_claims.zoo train {name} --text FILE'"
        )
    return folder


def point_file(folder: Path, step: int) -> Path:
    """Where a model's folder has the point after so many steps."""
    return folder / POINTS / f"step{step}.safetensors"


def points_of(folder: Path) -> list[int]:
    """The steps of the points that lie beside a model, in order; the finished model is not among them."""
    found = (_NAME.fullmatch(path.stem) for path in (folder / POINTS).glob("step*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def revisions_of(folder: Path) -> list[str]:
    """``stepN`` for every point and for the finished model, in order; none where no points are kept."""
    kept = points_of(folder)
    return [f"step{step}" for step in (*kept, _steps(folder))] if kept else []


def point_named(folder: Path, revision: str, name: str) -> int | None:
    """The step that ``stepN`` stands for; None for the finished model's own.

    Args:
        folder: of the model.
        revision: what stands behind the ``@``.
        name: the whole name, for messages.

    Raises:
        UsageError: there is no such point; the message lists those there are.
    """
    there = revisions_of(folder)
    if not there:
        raise UsageError(f"'{name}': no points along its training are kept; leave out '@{revision}'")
    if revision not in there:
        raise UsageError(f"'{name}': there is no point '{revision}' along its training; there are {', '.join(there)}")
    step = int(revision.removeprefix("step"))
    return None if step == _steps(folder) else step


def _steps(folder: Path) -> int:
    record = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    return int(record["recipe"]["steps"])
