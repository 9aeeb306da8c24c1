"""The experiment on training schemes: what the two MoEs of a seed share, what is followed, and the command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.storage.tensor_source import MemorySource
from moe_claims.zoo.recipes import recipe
from moe_claims.zoo.similarity import expert_similarity, over_training
from moe_claims.zoo.train import new_model

SCRIPT = Path(__file__).parents[2] / "experiments" / "training_scheme.py"


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """The command, run on one seed for three steps."""
    place = tmp_path_factory.mktemp("scheme")
    command = [sys.executable, str(SCRIPT), "--text", str(text), "--work", "w", "--seeds", "1", "--steps", "3"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "1 seed(s); the zoo's own models were not trained in 'w' and are left out; written to training-scheme.json\n"
    )
    return place


@pytest.mark.campaign("long")
def test_copies_begin_as_one_and_fresh_experts_apart(tried: Path) -> None:
    document = json.loads((tried / "training-scheme.json").read_text())
    (seed,) = document["seeds"]
    assert document["zoo"] is None
    assert [point["step"] for point in seed["upcycled"]["points"]] == [0, 3]
    start, end = seed["upcycled"]["points"]
    fresh = seed["scratch"]["points"][0]
    for role in ("up", "act", "down"):
        assert start["similarity"][role] == pytest.approx([1.0] * 8)
        assert start["order"][role] == pytest.approx([1.0] * 8)
        assert np.abs(fresh["similarity"][role]).max() < 0.1
        assert np.abs(fresh["order"][role]).max() < 0.3
        assert max(end["similarity"][role]) < 1
    assert "points" not in seed["dense"]


@pytest.mark.campaign("long")
def test_the_two_differ_in_their_beginning_alone(tried: Path) -> None:
    runs = tried / "w" / "training-scheme"
    recipes = {
        name: json.loads((runs / f"seed0-{name}" / "result.json").read_text())["made_of"]["recipe"] | {"name": ""}
        for name in ("scratch", "upcycled", "dense")
    }
    assert recipes["scratch"] == recipes["upcycled"]
    assert recipes["dense"]["seed"] != recipes["scratch"]["seed"]


def test_likeness_is_that_of_its_definition(tmp_path: Path) -> None:
    given = recipe("tiny-scratch")
    small = type(given)(**{**given.__dict__, "settings": {**given.settings, "num_hidden_layers": 2}})
    model = new_model(small)
    with torch.no_grad():  # the second layer's experts 1 and 2 are one
        for part in (model.model.layers[1].mlp.experts.gate_up_proj, model.model.layers[1].mlp.experts.down_proj):
            part[2] = part[1]
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    found = expert_similarity(Checkpoint("m", model.config.to_dict(), MemorySource(weights)))
    pairs = [(e, f) for e in range(8) for f in range(e)]
    for role, at in (("act", slice(0, 96)), ("up", slice(96, 192))):
        for layer in (0, 1):
            flat = weights[f"model.layers.{layer}.mlp.experts.gate_up_proj"][:, at].reshape(8, -1).double()
            unit = flat / flat.norm(dim=1, keepdim=True)
            expected = np.mean([float(unit[e] @ unit[f]) for e, f in pairs])
            assert found["similarity"][role][layer] == pytest.approx(expected, abs=1e-6)
    assert found["order"]["act"][1] > 1 / len(pairs) - 0.05  # one pair of 28 keeps its order, the others have none
    save_file(weights, tmp_path / "step40.safetensors")
    save_file(weights, tmp_path / "step5.safetensors")
    points: list[dict[str, Any]] = over_training(model.config.to_dict(), tmp_path, (40, 5))
    assert [point["step"] for point in points] == [5, 40]
    assert points[0]["similarity"] == found["similarity"]
