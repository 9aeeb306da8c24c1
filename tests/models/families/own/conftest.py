"""Published layouts of the two models, and the arithmetic that their references in float64 share."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moe_claims.measure.routed import measure_routed
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward.batches import micro_batches, pad
from moe_claims.models.forward.layerwise import LayerwiseModel

LENGTHS = (9, 23, 14, 2)


@dataclass
class Reference:
    """What one sequence does in a model, float64."""

    states: list[torch.Tensor] = field(default_factory=list)
    """(t, d) after each layer."""
    scores: dict[int, torch.Tensor] = field(default_factory=dict)
    """MoE layer → (t, E) router logits."""
    chosen: dict[int, torch.Tensor] = field(default_factory=dict)
    """MoE layer → (t, k)."""
    outputs: dict[int, torch.Tensor] = field(default_factory=dict)
    """MoE layer → (t, E, d) of all experts."""
    shared: dict[int, torch.Tensor] = field(default_factory=dict)
    """MoE layer → (t, d) of the shared experts."""
    logits: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """(t, V)."""


class Plain:
    """One vector, one head and one expert at a time; nothing of transformers."""

    @staticmethod
    def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        return torch.stack([row / ((row @ row) / len(row) + eps).sqrt() * weight for row in x])

    @staticmethod
    def rotated(x: torch.Tensor, *, base: float = 10_000.0, slower: float = 1.0) -> torch.Tensor:
        """(t, h): number i of the first half and number i of the second are turned by position · base^(−2i/h)."""
        half, out = x.shape[1] // 2, x.clone()
        for position in range(len(x)):
            for i in range(half):
                angle = torch.tensor(position / slower * base ** (-2 * i / x.shape[1]), dtype=torch.float64)
                a, b = x[position, i], x[position, half + i]
                out[position, i] = a * angle.cos() - b * angle.sin()
                out[position, half + i] = a * angle.sin() + b * angle.cos()
        return out

    @staticmethod
    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounded: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """One head, (t, h) each: every position mixes what came before it and itself."""
        rows = []
        for position in range(len(query)):
            weights = bounded(key[: position + 1] @ query[position]).softmax(dim=0)
            rows.append(weights @ value[: position + 1])
        return torch.stack(rows)


@pytest.fixture(scope="session")
def plain() -> type[Plain]:
    return Plain


@pytest.fixture(scope="session")
def reference() -> type[Reference]:
    return Reference


@pytest.fixture(scope="session")
def texts() -> list[tuple[int, ...]]:
    """Token ids of sequences that differ in length."""
    rng = np.random.default_rng(5)
    return [tuple(int(i) for i in rng.integers(3, 64, size)) for size in LENGTHS]


@pytest.fixture(scope="session")
def drawn() -> Callable[[Mapping[str, tuple[int, ...]]], dict[str, torch.Tensor]]:
    """Name → shape in, random weights out, float32, all of which matter to what comes out."""

    def draw(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        found = {}
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            gain = 0.1 * noise if name.endswith(".bias") else 1 + 0.3 * noise
            found[name] = gain if len(shape) == 1 else noise / shape[-1] ** 0.5
        return found

    return draw


@pytest.fixture
def published(tmp_path: Path) -> Callable[[dict[str, Any], dict[str, torch.Tensor], str], Path]:
    """(config, weights, name of the code) → a folder as on the hub, with code beside the weights that must not run."""

    def write(config: dict[str, Any], weights: dict[str, torch.Tensor], code: str) -> Path:
        folder = tmp_path / "published"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        save_file(weights, folder / "model.safetensors")
        for file in (f"modeling_{code}.py", f"configuration_{code}.py"):
            marker = tmp_path / "code-was-run"
            (folder / file).write_text(f"open({str(marker)!r}, 'w').close()\nraise RuntimeError('run')\n")
        return folder

    return write


@pytest.fixture(scope="session")
def replayed() -> Callable[[Checkpoint, Any], tuple[list[list[torch.Tensor]], list[torch.Tensor]]]:
    """(checkpoint, sequences) → (t, d) after each layer, and logits, of each sequence, as the package runs them."""

    def run(checkpoint: Checkpoint, texts: Any) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
        model = LayerwiseModel(checkpoint)
        batches = [pad(texts, *bounds, "cpu") for bounds in micro_batches(texts, tokens=50, alone=checkpoint.alone)]
        seen: dict[int, list[torch.Tensor]] = {index: [] for index in range(len(model._layers))}
        for index, layer in enumerate(model._layers):
            layer.register_forward_hook(lambda _, __, out, index=index: seen[index].extend(out.clone()))
        hidden = model.run(batches)
        states = [[seen[index][n][: len(text)] for index in seen] for n, text in enumerate(texts)]
        return states, [model.logits(last) for last in hidden]

    return run


@pytest.fixture(scope="session")
def assert_agrees(replayed: Any) -> Callable[[Checkpoint, Any, list[Reference]], None]:
    """Hidden states, logits and chosen experts are those of the references, sequence by sequence."""

    def compare(checkpoint: Checkpoint, texts: Any, theirs: list[Reference]) -> None:
        states, logits = replayed(checkpoint, texts)
        for mine, said, theirs_of in zip(states, logits, theirs, strict=True):
            for layer, (a, b) in enumerate(zip(mine, theirs_of.states, strict=True)):
                assert float((a - b).abs().max() / b.abs().max()) <= 1e-5, layer
            assert float((said - theirs_of.logits).abs().max() / theirs_of.logits.abs().max()) <= 1e-5
        measured = measure_routed(LayerwiseModel(checkpoint), texts)
        for number, layer in enumerate(checkpoint.moe_layers):
            chosen = torch.cat([one.chosen[layer] for one in theirs]).numpy()
            np.testing.assert_array_equal(measured.chosen[number], chosen)

    return compare
