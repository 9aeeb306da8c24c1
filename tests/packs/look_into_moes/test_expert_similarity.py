"""How alike experts' weights are, on made-up cosines whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.packs.look_into_moes.expert_similarity import matrices_agree, mean_mirrors_matrix, similarity_level
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Verdict

MakeWeights = Callable[..., WeightMeasurement]
ROLES = ("up", "act", "down")
RNG = np.random.default_rng


def cosines(rng: np.random.Generator, layers: int, experts: int, shared: float = 0.0, size: int = 400) -> np.ndarray:
    """(L, E, E) of rows that share a part: about ``shared`` off the diagonal."""
    common, own = rng.standard_normal((layers, 1, size)), rng.standard_normal((layers, experts, size))
    rows = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows @ rows.transpose(0, 2, 1)


def level(value: float, layers: int = 8, experts: int = 8) -> np.ndarray:
    """(L, E, E) similarities that are all the same."""
    return np.full((layers, experts, experts), value) + (1 - value) * np.eye(experts)


def verdict(claim: str, found: Finding) -> Verdict:
    """As judged alone, without any correction."""
    return decide(LIVE[claim], found, found.p_value, found.p_opposite, 0.05).verdict


# --- one pattern in three matrices ---------------------------------------------------------------


def test_one_pattern_in_all_three_replicates(made_up_weights: MakeWeights) -> None:
    rng = RNG(1)
    pattern = cosines(rng, 8, 8, size=24)
    matrix = {role: (pattern + cosines(rng, 8, 8, size=24)) / 2 for role in ROLES}
    found = matrices_agree(None, Measured(made_up_weights(matrix=matrix)), rng)
    assert verdict("matrices-agree", found) == Verdict.REPLICATED
    upper = np.triu_indices(8, 1)
    r = [np.corrcoef(a[upper], b[upper])[0, 1] for a, b in zip(matrix["up"], matrix["act"], strict=True)]
    assert found.details["mean_r_up_act"] == pytest.approx(np.mean(r))
    parts = [found.details[f"mean_r_{pair}"] for pair in ("up_act", "up_down", "act_down")]
    assert found.effect == pytest.approx(np.mean(parts))
    assert found.interval.low < found.effect < found.interval.high and found.n_units == 64
    assert found.smallest_p == 1 / 10_000


def test_two_that_agree_and_a_third_that_does_not_are_told_apart(made_up_weights: MakeWeights) -> None:
    pattern = cosines(RNG(2), 8, 8, size=24)
    found = matrices_agree(None, Measured(made_up_weights(matrix={"up": pattern, "act": pattern})), RNG(2))
    assert found.details["mean_r_up_act"] == pytest.approx(1.0)
    assert abs(found.details["mean_r_up_down"]) < 0.2
    assert found.effect == pytest.approx(1 / 3, abs=0.1)
    assert found.falls_short is not None
    assert found.falls_short.startswith("two of the three agree less than that (r = ")
    assert verdict("matrices-agree", found) == Verdict.DIRECTION_ONLY


def test_unrelated_matrices_are_absent(made_up_weights: MakeWeights) -> None:
    found = matrices_agree(None, Measured(made_up_weights(layers=16)), RNG(3))
    assert verdict("matrices-agree", found) == Verdict.ABSENT


# --- level ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shared", "expected"), [(0.3, Verdict.REPLICATED), (0.1, Verdict.DIRECTION_ONLY), (0.0, Verdict.ABSENT)]
)
def test_level_is_the_mean_cosine(made_up_weights: MakeWeights, shared: float, expected: Verdict) -> None:
    weights = made_up_weights(matrix={"down": cosines(RNG(4), 8, 8, shared)})
    found = similarity_level("down", Measured(weights), RNG(4))
    upper = np.triu_indices(8, 1)
    by_layer = np.array([layer[upper].mean() for layer in weights.matrix["down"]])
    assert found.effect == pytest.approx(by_layer.mean())
    assert found.details["highest_layer"] == by_layer.argmax()
    assert found.details["lowest_layer_cosine"] == pytest.approx(by_layer.min())
    assert verdict("expert-similarity-level", found) == expected


@pytest.mark.parametrize("experts", [5, 8])
def test_matrices_drawn_apart_are_seldom_taken_for_alike(made_up_weights: MakeWeights, experts: int) -> None:
    p = []
    for seed in range(200):
        drawn = made_up_weights(layers=4, experts=experts, matrix={"up": cosines(RNG(seed), 4, experts, size=100)})
        p.append(similarity_level("up", Measured(drawn), RNG(0)).p_value)
    assert binomtest(int((np.array(p) <= 0.05).sum()), 200, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize(
    ("value", "p", "expected"),
    [(0.3, 0.0, Verdict.REPLICATED), (0.0, 0.5, Verdict.ABSENT), (-0.1, 1.0, Verdict.CONTRADICTED)],
)
def test_cosines_that_are_all_the_same_break_nothing(
    made_up_weights: MakeWeights, value: float, p: float, expected: Verdict
) -> None:
    found = similarity_level("act", Measured(made_up_weights(matrix={"act": level(value)})), RNG(5))
    assert found.p_value == p and found.smallest_p == 0.0
    assert verdict("expert-similarity-level", found) == expected


# --- means against matrices ----------------------------------------------------------------------


def both(rng: np.random.Generator, layers: int, act: float, up: float = 0.3) -> dict[str, dict[str, np.ndarray]]:
    """Matrices that share 0.3; means of 48 numbers that share ``act``, ``up`` and 0.3."""
    matrix = {role: cosines(rng, layers, 8, 0.3, 2_304) for role in ROLES}
    mean = {role: cosines(rng, layers, 8, s, 48) for role, s in (("up", up), ("act", act), ("down", 0.3))}
    return {"matrix": matrix, "mean": mean}


def test_mean_neurons_of_act_alone_that_are_more_alike_replicate(made_up_weights: MakeWeights) -> None:
    weights = made_up_weights(layers=16, **both(RNG(6), 16, act=0.6))
    found = mean_mirrors_matrix(None, Measured(weights), RNG(6))
    assert found.effect == pytest.approx(0.3, abs=0.05) and found.falls_short is None
    assert verdict("mean-mirrors-matrix", found) == Verdict.REPLICATED
    apart = [weights.mean["act"][layer] - weights.matrix["act"][layer] for layer in range(16)]
    pairs = np.array([layer[np.triu_indices(8, 1)] for layer in apart])
    assert found.details["difference_act"] == pytest.approx(pairs.mean())
    assert found.details["rms_act"] == pytest.approx(np.sqrt((pairs**2).mean()))
    # 48 numbers alone give W_up a root mean square that its mean difference does not have.
    assert found.details["rms_up"] > 0.08 > abs(found.details["difference_up"])


def test_up_that_rises_as_well_falls_short(made_up_weights: MakeWeights) -> None:
    found = mean_mirrors_matrix(None, Measured(made_up_weights(layers=16, **both(RNG(7), 16, act=0.8, up=0.6))), RNG(7))
    assert found.falls_short is not None
    assert found.falls_short.startswith("mean neurons differ from the matrices by +0.")
    assert found.falls_short.endswith("(W_up)")
    assert verdict("mean-mirrors-matrix", found) == Verdict.DIRECTION_ONLY


def test_means_as_alike_as_matrices_hold_the_level(made_up_weights: MakeWeights) -> None:
    # What the experts of a layer share moves all its pairs at once: leaving out experts would not show that.
    p = []
    for seed in range(150):
        drawn = made_up_weights(layers=8, **both(RNG(seed), 8, act=0.3))
        p.append(mean_mirrors_matrix(None, Measured(drawn), RNG(0)).p_value)
    for tail in (np.array(p), 1 - np.array(p)):
        assert binomtest(int((tail <= 0.05).sum()), 150, 0.05, alternative="greater").pvalue > 0.001


# --- everything ----------------------------------------------------------------------------------


@pytest.mark.parametrize("analysis", [matrices_agree, similarity_level, mean_mirrors_matrix])
def test_numbers_of_experts_are_nothing(made_up_weights: MakeWeights, analysis: Callable[..., Finding]) -> None:
    weights = made_up_weights()
    orders = RNG(8).permuted(np.tile(np.arange(8), (8, 1)), axis=1)

    def moved(m: np.ndarray) -> np.ndarray:
        return np.stack([layer[np.ix_(order, order)] for layer, order in zip(m, orders, strict=True)])

    matrix, mean = ({r: moved(m) for r, m in kind.items()} for kind in (weights.matrix, weights.mean))
    other = WeightMeasurement(weights.layers, moved(weights.router), matrix, mean)
    one, two = (analysis("act", Measured(w), RNG(0)) for w in (weights, other))
    assert two.effect == pytest.approx(one.effect)
    assert two.interval.low == pytest.approx(one.interval.low)
    assert two.p_value == pytest.approx(one.p_value, abs=0.02)


@pytest.mark.parametrize("analysis", [matrices_agree, similarity_level, mean_mirrors_matrix])
def test_few_experts_are_not_comparable(made_up_weights: MakeWeights, analysis: Callable[..., Finding]) -> None:
    with pytest.raises(NotComparableError, match="at least 5 experts; this model has 4"):
        analysis("up", Measured(made_up_weights(experts=4)), RNG(0))


def test_one_layer_has_no_differences_to_compare(made_up_weights: MakeWeights) -> None:
    with pytest.raises(NotComparableError, match="this model has 1 MoE layer"):
        mean_mirrors_matrix(None, Measured(made_up_weights(layers=1)), RNG(0))
