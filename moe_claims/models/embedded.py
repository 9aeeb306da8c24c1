"""Finds the trained models inside the package, and their saved training steps ("points"). Light to import."""

import json
import re
from importlib.resources import files
from pathlib import Path

from moe_claims._util.optional import repair
from moe_claims.errors import UsageError

JUDGED = ("tiny-scratch", "tiny-upcycled", "tiny-fine", "tiny-gelu")
"""The embedded MoE models; a run that names no model judges these."""
DENSE = "tiny-dense"
"""Dense reference of ``tiny-scratch`` and ``tiny-upcycled``; the latter was upcycled from it."""
EMBEDDED = (*JUDGED, DENSE)

POINTS = "points"
"""Folder beside a model's weights with a file for each saved training step."""
_NAME = re.compile(r"step(\d+)")


def embedded_directory(name: str) -> Path:
    """The folder of an embedded model.

    Raises:
        UsageError: the model is missing from this installation.
    """
    folder = Path(str(files("moe_claims.zoo"))) / "models" / name
    if not (folder / "config.json").exists():
        raise UsageError(
            f"the embedded model '{name}' is missing from this installation: "
            f"{repair()}, or make it with 'python -m moe_claims.zoo train {name} --text FILE'"
        )
    return folder


def point_file(folder: Path, step: int) -> Path:
    """Path of the weights after ``step`` training steps, in a model's folder."""
    return folder / POINTS / f"step{step}.safetensors"


def points_of(folder: Path) -> list[int]:
    """Saved training steps in a model's folder, in order, without the finished model."""
    found = (_NAME.fullmatch(path.stem) for path in (folder / POINTS).glob("step*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def revisions_of(folder: Path) -> list[str]:
    """Revision names ``stepN`` of all saved steps and of the finished model, in order; empty if no steps are saved."""
    kept = points_of(folder)
    return [f"step{step}" for step in (*kept, _steps(folder))] if kept else []


def step_of(folder: Path, revision: str, name: str) -> int | None:
    """The training step of a revision ``stepN``; None if it is the finished model.

    Args:
        folder: folder of the model.
        revision: the part of the name after ``@``.
        name: the whole name, for messages.

    Raises:
        UsageError: that step is not saved; the message lists the saved ones.
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
