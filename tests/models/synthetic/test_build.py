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
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource
from moe_claims.models.synthetic.build import Shape, config_of, encode, encode_by_topic, make, make_dense, shape_of


def _checkpoint(kind: str, shape: Shape) -> Checkpoint:
    return Checkpoint(f"synthetic:{kind}", config_of(shape), MemorySource(make(kind, shape)))


def _off_diagonal(matrices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(L, E, E) → (L, pairs)."""
    return matrices[:, *np.triu_indices(matrices.shape[-1], k=1)]


def test_defaults_and_every_option() -> None:
    assert shape_of("planted", {}) == Shape(pattern="all")
    assert shape_of("null", {}) == Shape(pattern="none")
    assert shape_of("dense", {}) == shape_of("random-init", {}) == Shape()
    sizes = {
        "seed": 7,
        "layers": 3,
        "experts": 5,
        "top_k": 1,
        "hidden": 32,
        "intermediate": 20,
        "vocabulary": 99,
        "context": 40,
    }
    null = {**sizes, "pattern": "equal", "noise": 0.5}
    assert shape_of("null", null) == Shape(**null)  # type: ignore[arg-type]
    planted = {**sizes, "pattern": "extremes", "strength": 0.25, "noise": 1}
    assert shape_of("planted", planted) == Shape(**{**planted, "noise": 1.0})  # type: ignore[arg-type]
    dense = {**sizes, "of": "null", "pattern": "apart", "strength": 0.5}
    assert shape_of("dense", dense) == Shape(**dense)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "null",
            {"sede": 3},
            "synthetic:null has no option 'sede': it takes seed, layers, experts, top_k, hidden, intermediate, "
            "vocabulary, context, pattern, noise",
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
        ("planted", {"strength": 2}, "synthetic:planted?strength=2.0: strength is between 0 and 1"),
        ("planted", {"strength": "much"}, "synthetic:planted?strength=much: strength is a number"),
        ("null", {"noise": -1.0}, "synthetic:null?noise=-1.0: noise is between 0 and 10"),
        (
            "null",
            {"strength": 1.0},
            "synthetic:null has no option 'strength': it takes seed, layers, experts, top_k, hidden, intermediate, "
            "vocabulary, context, pattern, noise",
        ),
        ("null", {"pattern": "odd"}, "synthetic:null?pattern=odd: patterns are none, equal, special, apart"),
        ("null", {"pattern": 5}, "synthetic:null?pattern=5: pattern is a word"),
        ("planted", {"pattern": "equal"}, "synthetic:planted?pattern=equal: patterns are all, extremes, upcycled"),
        ("dense", {"of": "mixtral"}, "synthetic:dense?of=mixtral: of is planted or null"),
        ("dense", {"pattern": "equal"}, "synthetic:dense?pattern=equal: patterns are all, extremes, upcycled"),
        (
            "random-init",
            {"pattern": "none"},
            "synthetic:random-init has no option 'pattern': it takes seed, layers, experts, top_k, hidden, "
            "intermediate, vocabulary, context",
        ),
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
    models = [("planted", Shape(**sizes, pattern=pattern)) for pattern in ("all", "extremes", "upcycled")]
    models += [("null", Shape(**sizes, pattern=pattern)) for pattern in ("none", "equal", "special", "apart")]
    models += [("planted", Shape(**sizes, strength=0.5)), ("planted", Shape(**sizes, noise=0.1))]
    assert len({_checkpoint(kind, shape).sha256 for kind, shape in models}) == len(models)


def test_noise_makes_another_model_of_the_same_origin() -> None:
    sizes: dict[str, Any] = {"layers": 1, "hidden": 16, "intermediate": 8, "vocabulary": 32}
    plain, noisy = (make("planted", Shape(**sizes, noise=noise)) for noise in (0.0, 0.2))
    for name, tensor in plain.items():
        changed = (noisy[name] - tensor).std() if tensor.numel() > 1 else 0.0
        assert changed == pytest.approx(0.2 * float(tensor.std(correction=0)), rel=0.4), name


def test_dense_model_of_a_planted_moe_is_what_its_experts_share() -> None:
    shape = Shape(layers=4, hidden=32, intermediate=32, vocabulary=64, pattern="upcycled")
    moe, dense = make("planted", shape), make_dense(shape)
    for layer in range(3):  # the last but one shares least; each shares its level
        base = dense[f"model.layers.{layer}.mlp.up_proj.weight"].flatten()
        experts = [moe[f"model.layers.{layer}.block_sparse_moe.experts.{e}.w3.weight"].flatten() for e in range(8)]
        to_base = np.mean([torch.cosine_similarity(base, expert, dim=0) for expert in experts])
        pairs = [torch.cosine_similarity(experts[a], experts[b], dim=0) for a in range(8) for b in range(a)]
        assert to_base > np.mean(pairs) + 0.05


def test_dense_model_of_a_null_moe_is_one_more_expert() -> None:
    gaps = []
    for seed in range(6):
        shape = Shape(seed=seed, layers=4, hidden=32, intermediate=32, vocabulary=64, pattern="none", of="null")
        moe, dense = make("null", shape), make_dense(shape)
        for layer in range(4):
            base = dense[f"model.layers.{layer}.mlp.up_proj.weight"].flatten()
            experts = [moe[f"model.layers.{layer}.block_sparse_moe.experts.{e}.w3.weight"].flatten() for e in range(8)]
            to_base = [torch.cosine_similarity(base, expert, dim=0) for expert in experts]
            pairs = [torch.cosine_similarity(experts[a], experts[b], dim=0) for a in range(8) for b in range(a)]
            gaps.append(float(np.mean(to_base) - np.mean(pairs)))
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / len(gaps) ** 0.5


def test_one_expert_stands_apart_where_planted_alone() -> None:
    def lowest(kind: str, pattern: str) -> np.ndarray[Any, Any]:
        """(L,) expert of the lowest mean similarity of W_up."""
        weights = measure_weights(_checkpoint(kind, Shape(layers=10, pattern=pattern)))
        return weights.matrix["up"].sum(axis=-1).argmin(axis=-1)

    # The last layer but one shares least: there the special one is hardest to tell.
    assert np.bincount(lowest("planted", "all")).max() >= 8
    assert np.bincount(lowest("null", "special")).max() >= 8
    assert np.bincount(lowest("null", "none")).max() <= 5


def test_some_neurons_of_null_models_never_fire() -> None:
    sequences = [[0, 5, 9, 77, 300], [0, 3, 4, 39, 100]]
    shares = {
        kind: measure_routed(LayerwiseModel(_checkpoint(kind, Shape(layers=4))), sequences).activation_share.mean()
        for kind in ("planted", "null")
    }
    assert shares["planted"] > 0.98
    assert shares["null"] == pytest.approx(0.9, abs=0.02)


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
        assert level[-1] > level[-2] + 0.1, role


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

    act, up = association("planted", "all", "act"), association("planted", "all", "up")
    assert act > 0.8
    assert up < act - 0.2  # some: the experts of a group are alike in their router rows and in their neurons
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

    assert agreement("planted") > 0.4
    assert agreement("null") < 0.25  # chance is 1/8


def test_words_become_tokens() -> None:
    ids = encode("The cat, the CAT and  the\ndog", 512)
    assert ids[0] == 0 and len(ids) == 8
    assert ids[1] == ids[3] == ids[6]  # case does not matter
    assert all(1 <= token < 512 for token in ids[1:])
    assert encode("", 512) == [0]
    assert max(encode(" ".join(map(str, range(500))), 16)) == 15


def test_eight_words_of_a_planted_text_have_one_topic() -> None:
    words = [f"word{number}" for number in range(400)]
    ids = encode_by_topic(" ".join(words), 513)
    topics = [(token - 1) // 64 for token in ids[1:]]
    assert ids[0] == 0
    assert all(len(set(topics[start : start + 8])) == 1 for start in range(0, 400, 8))
    assert set(topics) == set(range(8))
    assert len(set(ids[1:])) > 150  # the word still matters
    assert encode_by_topic("", 513) == [0]
    assert max(encode_by_topic(" ".join(words), 16)) <= 15
