"""How alike the experts of a model in training are: what the training-scheme experiment follows over steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_claims.measure.matching import match_layers
from moe_claims.measure.weights import measure_layers
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES
from moe_claims.models.storage.tensor_source import MemorySource


def expert_similarity(checkpoint: Checkpoint) -> dict[str, Any]:
    """Mean over pairs of experts, per layer: cosine of their matrices, and Kendall's τ of their matched neurons.

    Returns:
        ``similarity`` and ``order``, each by matrix kind a list over MoE layers (paper, sections 4.1.1 and 4.1.2).
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
    """``expert_similarity`` at the points that a training left in ``folder``.

    Args:
        config: of the model, as its ``config.json`` has it.
        folder: with ``stepN.safetensors``, as ``train.save_point`` writes them.
        steps: of the recipe; each has its file.
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
