"""Synthetic models: their options, and that what is planted is there and what is not is not."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from moe_claims.errors import UsageError
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.weights import measure_weights
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.source import MemorySource
from moe_claims.models.synthetic import Shape, config_of, encode, make, shape_of


def _checkpoint(kind: str, shape: Shape) -> Checkpoint:
    return Checkpoint(f"synthetic:{kind}", config_of(shape), MemorySource(make(kind, shape)))


def _off_diagonal(matrices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(L, E, E) → (L, pairs)."""
    return matrices[:, *np.triu_indices(matrices.shape[-1], k=1)]


def test_defaults_and_every_option() -> None:
    assert shape_of("planted", {}) == Shape()
    options = {
        "seed": 7,
        "layers": 3,
        "experts": 5,
        "top_k": 1,
        "hidden": 32,
        "intermediate": 20,
        "vocabulary": 99,
        "context": 40,
        "pattern": "equal",
    }
    assert shape_of("null", options) == Shape(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "null",
            {"sede": 3},
            "synthetic:null has no option 'sede': it takes seed, layers, experts, top_k, hidden, intermediate, "
            "vocabulary, context, pattern",
        ),
        ("planted", {"seed": "abc"}, "synthetic:planted?seed=abc: seed is a whole number"),
        ("planted", {"seed": 1.5}, "synthetic:planted?seed=1.5: seed is a whole number"),
        ("planted", {"seed": True}, "synthetic:planted?seed=True: seed is a whole number"),
        ("planted", {"seed": ""}, "synthetic:planted?seed=: seed is a whole number"),
        ("planted", {"seed": -1}, "synthetic:planted?seed=-1: seed is at least 0"),
        ("planted", {"layers": 0}, "synthetic:planted?layers=0: layers is at least 1"),
        ("planted", {"experts": 1}, "synthetic:planted?experts=1: experts is at least 2"),
        ("planted", {"hidden": 8}, "synthetic:planted?hidden=8: hidden is at least 16"),
        ("planted", {"hidden": 24}, "synthetic:planted?hidden=24: hidden is a multiple of 16"),
        ("planted", {"intermediate": 3}, "synthetic:planted?intermediate=3: intermediate is at least 4"),
        ("planted", {"vocabulary": 15}, "synthetic:planted?vocabulary=15: vocabulary is at least 16"),
        ("planted", {"context": 3}, "synthetic:planted?context=3: context is at least 4"),
        ("planted", {"top_k": 0}, "synthetic:planted?top_k=0: top_k is between 1 and the 8 experts"),
        ("planted", {"top_k": 9}, "synthetic:planted?top_k=9: top_k is between 1 and the 8 experts"),
        ("null", {"pattern": "odd"}, "synthetic:null?pattern=odd: patterns are none and equal"),
        ("null", {"pattern": 5}, "synthetic:null?pattern=5: pattern is none or equal"),
        ("planted", {"pattern": "equal"}, "synthetic:planted?pattern=equal: only synthetic:null takes a pattern"),
        ("random-init", {"pattern": "none"}, "synthetic:random-init?pattern=none: only synthetic:null takes a pattern"),
    ],
)
def test_options_that_make_no_model(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        shape_of(kind, options)
    assert str(caught.value) == message
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["planted", "null"])
@pytest.mark.parametrize("hidden", [16, 32, 48])
def test_weights_fit_the_config(kind: str, hidden: int) -> None:
    shape = Shape(layers=2, experts=3, hidden=hidden, intermediate=10, vocabulary=40)
    checkpoint = _checkpoint(kind, shape)
    run = measure_routed(LayerwiseModel(checkpoint), [[0, 5, 9], [0, 3, 4, 39]])  # any misfit is a ModelError
    assert run.router_logits.shape == (2, 7, 3)
    assert (checkpoint.experts, checkpoint.top_k, checkpoint.moe_layers) == (3, 2, (0, 1))


@pytest.mark.parametrize("kind", ["planted", "null"])
def test_seed_decides_everything(kind: str) -> None:
    shape = Shape(layers=2, hidden=16, intermediate=8, vocabulary=32)
    hashes = {_checkpoint(kind, shape).sha256, _checkpoint(kind, shape).sha256}
    assert len(hashes) == 1
    assert _checkpoint(kind, Shape(1, 2, hidden=16, intermediate=8, vocabulary=32)).sha256 not in hashes


def test_kinds_and_patterns_differ() -> None:
    sizes: dict[str, Any] = {"layers": 2, "hidden": 16, "intermediate": 8, "vocabulary": 32}
    models = [("planted", Shape(**sizes)), ("null", Shape(**sizes)), ("null", Shape(**sizes, pattern="equal"))]
    assert len({_checkpoint(kind, shape).sha256 for kind, shape in models}) == 3


def test_weights_are_float32_and_global_randomness_is_not_used() -> None:
    np_state, torch_state = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    weights = make("planted", Shape(layers=1, hidden=16, intermediate=8, vocabulary=32))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert (np.random.get_state()[1] == np_state).all()  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_state)


def test_planted_similarity_falls_with_depth_but_for_the_last_layer() -> None:
    weights = measure_weights(_checkpoint("planted", Shape(layers=10, hidden=32, intermediate=32)))
    for role, matrix in weights.matrix.items():
        level = _off_diagonal(matrix).mean(axis=1)
        slope = np.polyfit(np.arange(9), level[:-1], 1)[0]
        assert slope < -0.015, role
        assert level[-1] > level[:-1].max(), role


def test_null_similarity_has_no_trend_on_average() -> None:
    slopes = []
    for seed in range(8):
        shape = Shape(seed=seed, layers=10, hidden=16, intermediate=16, vocabulary=16)
        level = _off_diagonal(measure_weights(_checkpoint("null", shape)).matrix["up"]).mean(axis=1)
        slopes.append(np.polyfit(np.arange(10), level, 1)[0])
    assert abs(np.mean(slopes)) < 0.015
    assert min(slopes) < 0 < max(slopes)


def test_router_pattern_is_where_it_was_planted_and_nowhere_else() -> None:
    def association(kind: str, pattern: str, role: Any) -> float:
        weights = measure_weights(_checkpoint(kind, Shape(layers=8, hidden=32, intermediate=32, pattern=pattern)))
        pairs = zip(_off_diagonal(weights.router), _off_diagonal(weights.mean[role]), strict=True)
        return float(np.mean([pearsonr(a, b).statistic for a, b in pairs]))

    assert association("planted", "none", "act") > 0.5
    assert abs(association("planted", "none", "up")) < 0.25
    assert all(abs(association("null", "none", role)) < 0.25 for role in ("up", "act", "down"))
    assert all(association("null", "equal", role) > 0.5 for role in ("up", "act", "down"))


def test_norms_follow_scores_where_planted_alone() -> None:
    rng = np.random.default_rng(0)
    sequences = [[0, *rng.integers(1, 512, 20).tolist()] for _ in range(12)]

    def agreement(kind: str) -> float:
        """Share of tokens whose highest score and largest norm are the same expert's."""
        model = LayerwiseModel(_checkpoint(kind, Shape(layers=3)))
        counts = measure_routed(model, sequences).rank_counts()
        return float(counts[:, -1, -1].sum() / counts[:, -1].sum())

    assert agreement("planted") > 0.5
    assert agreement("null") < 0.25  # chance is 1/8


def test_words_become_tokens() -> None:
    ids = encode("The cat, the CAT and  the\ndog", 512)
    assert ids[0] == 0 and len(ids) == 8
    assert ids[1] == ids[3] == ids[6]  # case does not matter
    assert all(1 <= token < 512 for token in ids[1:])
    assert encode("", 512) == [0]
    assert max(encode(" ".join(map(str, range(500))), 16)) == 15
