"""Measures how similar the experts of a model are at steps of its training, for the training-scheme experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_claims.measure.matching import match_layers
from moe_claims.measure.weights import measure_layers
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES
from moe_claims.models.storage.tensor_source import MemorySource


def expert_similarity(checkpoint: Checkpoint) -> dict[str, Any]:
    """Mean over pairs of experts, for each layer: cosine of their matrices, and Kendall's τ of their matched neurons.

    Returns:
        ``similarity`` (cosine) and ``order`` (τ): for each matrix kind, a list over MoE layers (arXiv 2406.18219,
        sections 4.1.1 and 4.1.2).
    """
    from moe_claims.stats.permutation import off_diagonal

    layers = checkpoint.moe_layers
    weights = list(measure_layers(checkpoint, layers, device="cpu"))
    similarity = {
        role: [float(off_diagonal(found[f"similarity.matrix.{role}"]).mean()) for found in weights] for role in ROLES
    }
    order = {
        role: [float(off_diagonal(found["tau"]).mean()) for found in match_layers(checkpoint, role, layers)]
        for role in ROLES
    }
    return {"similarity": similarity, "order": order}


def over_training(config: Mapping[str, Any], folder: Path, steps: Sequence[int]) -> list[dict[str, Any]]:
    """``expert_similarity`` at training steps whose weights were saved in ``folder``.

    Args:
        config: the model's parsed ``config.json``.
        folder: folder of the files ``stepN.safetensors`` that ``train.save_point`` wrote.
        steps: the training steps; each must have its file.
    """
    from safetensors.torch import load_file

    return [
        {
            "step": step,
            **expert_similarity(
                Checkpoint(f"step {step}", dict(config), MemorySource(load_file(folder / f"step{step}.safetensors")))
            ),
        }
        for step in sorted(steps)
    ]
