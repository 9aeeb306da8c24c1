"""Compresses the weights saved along a training ("points") into small files that ship beside the finished model."""

import shutil
from pathlib import Path

import numpy as np

from moe_claims.errors import UsageError
from moe_claims.models.embedded import POINTS, point_file
from moe_claims.models.storage import training_checkpoints
from moe_claims.models.storage.training_checkpoints import Floats
from moe_claims.zoo.recipes import Recipe
from moe_claims.zoo.train import new_model


def pack(recipe: Recipe, work: Path, target: Path) -> dict[str, float]:
    """Writes the points of a finished training beside its exported model, from the last to the first.

    Args:
        recipe: the recipe that the model was trained with.
        work: folder of the run, with the saved weights in ``points/``.
        target: folder of the exported model.

    Returns:
        Over all points: bits per weight, root-mean-square error relative to that of the weights, and size in bytes.

    Raises:
        UsageError: the saved weights of a point are missing.
        ValueError: the saved weights belong to another model.
    """
    if (target / POINTS).exists():  # an earlier call may have written other steps
        shutil.rmtree(target / POINTS)
    (target / POINTS).mkdir()
    following = training_checkpoints.finished(target)
    taken, error, size, count = 0, 0.0, 0.0, 0
    for step in sorted((s for s in recipe.points if s < recipe.steps), reverse=True):
        weights = _by_hub_names(recipe, work / POINTS / f"step{step}.safetensors", following)
        parts = training_checkpoints.encode(weights, following)
        path = point_file(target, step)
        training_checkpoints.save(path, parts, following)
        following = training_checkpoints.decode(parts, following)
        taken += path.stat().st_size
        for name, weight in weights.items():
            error += float(np.square(following[name] - weight, dtype=np.float64).sum())
            size += float(np.square(weight, dtype=np.float64).sum())
            count += weight.size
    return {"bits_per_weight": 8 * taken / count, "relative_error": (error / size) ** 0.5, "bytes": taken}


def _by_hub_names(recipe: Recipe, path: Path, like: dict[str, Floats]) -> dict[str, Floats]:
    """The saved weights of a point in hub layout; checks that names and shapes are those of ``like``."""
    from tempfile import TemporaryDirectory

    from safetensors.torch import load_file

    if not path.exists():
        raise UsageError(f"there is no '{path}': the recipe '{recipe.name}' must be trained to its end there first")
    model = new_model(recipe)
    saved = load_file(path)
    if saved.keys() != {name for name, _ in model.named_parameters()}:
        raise ValueError(f"'{path}' belongs to another model than the finished one")
    model.load_state_dict(saved, strict=False)  # tied weights are saved once
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, save_original_format=True)
        weights = training_checkpoints.finished(Path(folder))
    shapes = [{name: weight.shape for name, weight in some.items()} for some in (weights, like)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"'{path}' belongs to another model than the finished one")
    return weights
