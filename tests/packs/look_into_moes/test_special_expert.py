"""Experts that stand apart, on made-up cosines and choices whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest

from moe_claims.errors import ModelError, NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import DenseWeights, RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.packs.look_into_moes.special_expert import chosen_less, flags, pca_clusters, stands_apart
from moe_claims.types import Finding, Verdict

MakeWeights = Callable[..., WeightMeasurement]
MakeRouted = Callable[..., RoutedMeasurement]
LAYERS, SPECIAL = 12, 3
ROLES = ("up", "act", "down")
RNG = np.random.default_rng
THE_SAME = np.full(LAYERS, SPECIAL)
NONE = np.full(LAYERS, -1)


def cosines(seed: int, special: np.ndarray, experts: int = 8, takes: float = 0.2, dense: bool = False) -> np.ndarray:
    """(L, E, E) of rows that share half, but for one expert per layer that takes less part in it.

    With ``dense`` the shared part itself is one more point, the last.
    """
    rng = RNG(seed)
    layers = len(special)
    common, own = rng.standard_normal((layers, 1, 600)), rng.standard_normal((layers, experts, 600))
    part = 0.5 * np.where(np.arange(experts) == special[:, None], takes, 1.0)[..., None]
    rows = np.sqrt(part) * common + np.sqrt(1 - part) * own
    if dense:
        rows = np.concatenate([rows, common], axis=1)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows @ rows.transpose(0, 2, 1)


def verdict(claim: str, found: Finding) -> Verdict:
    """As judged alone, without any correction."""
    return decide(LIVE[claim], found, found.p_value, found.p_opposite, 0.05).verdict


# --- which experts stand apart -------------------------------------------------------------------


def test_the_expert_that_shares_less_is_flagged_in_every_layer() -> None:
    marked = flags(cosines(1, THE_SAME))
    assert marked.shape == (LAYERS, 8) and marked[:, SPECIAL].all()
    assert marked.sum() <= LAYERS + 3


def test_an_expert_more_like_the_others_is_not() -> None:
    assert not flags(cosines(2, THE_SAME, takes=1.6))[:, SPECIAL].any()


def test_flags_go_with_their_experts_and_scale_is_nothing() -> None:
    similarity = cosines(3, THE_SAME)
    order = RNG(0).permutation(8)
    assert (flags(similarity[:, order][:, :, order]) == flags(similarity)[:, order]).all()
    assert (flags(0.01 * similarity) == flags(similarity)).all()


# --- one and the same ----------------------------------------------------------------------------


def test_one_special_expert_in_all_layers_replicates(made_up_weights: MakeWeights) -> None:
    weights = made_up_weights(layers=LAYERS, matrix={"up": cosines(4, THE_SAME)})
    found = stands_apart("up", Measured(weights), RNG(4))
    assert found.effect == 1.0 and found.details["expert"] == SPECIAL
    assert found.details["layers_of_that_expert"] == found.n_units == LAYERS
    assert found.interval.method == "Clopper–Pearson over layers"
    assert (found.interval.low, found.interval.high) == (pytest.approx(0.025 ** (1 / LAYERS)), 1.0)
    assert found.p_value == found.smallest_p == 1 / 10_000
    assert verdict("special-expert", found) == Verdict.REPLICATED


def test_another_special_expert_in_every_layer_does_not(made_up_weights: MakeWeights) -> None:
    special = RNG(5).permutation(np.arange(LAYERS) % 8)
    weights = made_up_weights(layers=LAYERS, matrix={"up": cosines(5, special)})
    found = stands_apart("up", Measured(weights), RNG(5))
    assert found.details["layers_with_any"] == LAYERS
    assert found.details["p_by_chance"] < found.details["p_given_numbers"] == found.p_value
    assert verdict("special-expert", found) == Verdict.INCONCLUSIVE


def test_no_special_expert_is_absent_where_layers_are_many(made_up_weights: MakeWeights) -> None:
    weights = made_up_weights(layers=40, matrix={"up": cosines(6, np.full(40, -1))})
    found = stands_apart("up", Measured(weights), RNG(6))
    assert found.effect < 0.15 and verdict("special-expert", found) == Verdict.ABSENT


def test_experts_that_are_all_alike_have_no_special_one(made_up_weights: MakeWeights) -> None:
    same = np.tile(0.3 + 0.7 * np.eye(8), (LAYERS, 1, 1))
    found = stands_apart("up", Measured(made_up_weights(layers=LAYERS, matrix={"up": same})), RNG(7))
    assert found.effect == 0.0 and found.p_value == 1.0 and found.details["expert"] is None
    assert verdict("special-expert", found) == Verdict.ABSENT


def test_one_layer_cannot_show_that_it_is_the_same_one(made_up_weights: MakeWeights) -> None:
    found = stands_apart("up", Measured(made_up_weights(layers=1, matrix={"up": cosines(8, THE_SAME[:1])})), RNG(8))
    assert found.effect == 1.0 and found.smallest_p == found.p_value == 1.0


# --- outside the cluster -------------------------------------------------------------------------


def test_the_special_expert_is_outside_the_cluster(made_up_weights: MakeWeights) -> None:
    weights = made_up_weights(layers=LAYERS, matrix={"act": cosines(9, THE_SAME)})
    found = pca_clusters("act", Measured(weights), RNG(9))
    assert found.details["outside_of_those_apart"] > 0.9  # a second expert may stand apart by chance
    shares = [found.details[f"outside_of_{which}"] for which in ("those_apart", "the_others")]
    assert found.effect == pytest.approx(shares[0] - shares[1])
    assert 0.4 < found.details["share_in_cluster"] < 0.9
    assert found.interval.method == "Student t over layers (jackknife)"
    assert verdict("pca-clusters", found) == Verdict.REPLICATED


def test_a_dense_model_changes_no_verdict_and_its_cluster_is_told(made_up_weights: MakeWeights) -> None:
    whole = cosines(10, THE_SAME, dense=True)
    weights = made_up_weights(layers=LAYERS, matrix={"down": whole[:, :-1, :-1]})
    near, far = dict.fromkeys(ROLES, whole[:, -1, :-1]), dict.fromkeys(ROLES, np.full((LAYERS, 8), -0.5))
    parts = (None, ModelError("no such model"), DenseWeights(near, near), DenseWeights(far, far))
    found = [pca_clusters("down", Measured(weights, dense=dense), RNG(10)) for dense in parts]
    shares = [f.details["share_in_cluster_of_dense"] for f in found]
    assert shares[:2] == [None, None] and shares[3] == 0.0
    assert 0.4 < shares[2] < 0.9  # the dense model is what the experts share: all but the special one are near
    assert len({(f.effect, f.p_value, f.details["share_in_cluster"]) for f in found}) == 1


def test_of_two_clusters_as_large_the_more_central_one_counts(made_up_weights: MakeWeights) -> None:
    # Two trios, one of them nearer to the two lone experts, whatever numbers they have.
    places = np.array([[0, 0], [0, 0.1], [0.1, 0], [4, 0], [4, 0.1], [4.1, 0], [-2.5, 2], [-2.5, -2.2]])
    centred = places - places.mean(axis=0)
    for order in (np.arange(8), np.arange(8)[::-1]):
        inner = np.tile((centred @ centred.T)[np.ix_(order, order)], (LAYERS, 1, 1))
        lone = np.flatnonzero(order >= 6)
        similarity = inner.copy()
        similarity[:, lone] -= 8  # far from all the others, but for what centring takes out again
        similarity[:, :, lone] -= 8
        found = pca_clusters("up", Measured(made_up_weights(layers=LAYERS, matrix={"up": similarity})), RNG(0))
        assert found.details["outside_of_those_apart"] == 1.0
        assert found.details["share_in_cluster"] == pytest.approx(3 / 8)
        assert found.details["outside_of_the_others"] == pytest.approx(3 / 6)


# --- chosen less ---------------------------------------------------------------------------------


def logits(seed: int, less: float, experts: int = 8) -> np.ndarray:
    """(L, T, E) noise, a static preference of every expert, and ``less`` for the special one."""
    rng = RNG(seed)
    made = rng.standard_normal((LAYERS, 240, experts)) + 0.4 * rng.standard_normal((LAYERS, 1, experts))
    made[:, :, SPECIAL] -= less
    return made


def special_weights(make: MakeWeights, seed: int) -> WeightMeasurement:
    return make(layers=LAYERS, matrix={role: cosines(seed + i, THE_SAME) for i, role in enumerate(ROLES)})


def test_a_special_expert_that_scores_low_is_chosen_less(
    made_up_weights: MakeWeights, made_up_routed: MakeRouted
) -> None:
    weights = special_weights(made_up_weights, 11)
    routed = made_up_routed(layers=LAYERS, router_logits=logits(11, less=1.0))
    found = chosen_less(None, Measured(weights, routed), RNG(11))
    assert verdict("special-expert-chosen-less", found) == Verdict.REPLICATED
    marked = flags(np.mean([weights.matrix[role] for role in ROLES], axis=0))
    load = np.array([np.bincount(layer.ravel(), minlength=8) for layer in routed.chosen]) / routed.chosen[0].size
    assert found.effect == pytest.approx(load[marked].mean() * 8 - 1)
    ranks = routed.router_logits.argsort(axis=-1).argsort(axis=-1)
    mean_ranks = [ranks[layer, :, expert].mean() / 7 for layer, expert in np.argwhere(marked)]
    assert found.details["score_rank"] == pytest.approx(np.mean(mean_ranks))
    assert found.interval.method == "BCa bootstrap over sequences" and found.n_units == 12
    assert found.interval.low < found.effect < found.interval.high < 0
    # One expert of eight is special in every layer: relabeling all layers alike cannot tell it better than that.
    assert 1 / 40_320 < found.details["p_labels_same_in_all_layers"] <= 1 / 8 + 0.01


def test_a_special_expert_chosen_more_contradicts(made_up_weights: MakeWeights, made_up_routed: MakeRouted) -> None:
    given = Measured(
        special_weights(made_up_weights, 12), made_up_routed(layers=LAYERS, router_logits=logits(12, less=-1.0))
    )
    assert verdict("special-expert-chosen-less", chosen_less(None, given, RNG(12))) == Verdict.CONTRADICTED


def test_static_loads_that_have_nothing_to_do_with_it_do_not_replicate(
    made_up_weights: MakeWeights, made_up_routed: MakeRouted
) -> None:
    weights = special_weights(made_up_weights, 13)
    found = [
        chosen_less(None, Measured(weights, made_up_routed(layers=LAYERS, router_logits=logits(s, less=0.0))), RNG(s))
        for s in range(40)
    ]
    # The text alone would take a static preference for a finding: every sequence repeats it.
    assert sum(f.details["p_sign_flips"] <= 0.05 or f.details["p_sign_flips"] >= 0.95 for f in found) > 20
    assert sum(f.p_value <= 0.05 for f in found) <= 6


def test_what_has_no_choice_is_not_comparable(made_up_weights: MakeWeights, made_up_routed: MakeRouted) -> None:
    routed = made_up_routed(layers=LAYERS, top_k=8)
    with pytest.raises(NotComparableError, match="every token chooses all 8 experts, so none is chosen less"):
        chosen_less(None, Measured(special_weights(made_up_weights, 14), routed), RNG(0))


# --- to which models the claims apply ------------------------------------------------------------


@pytest.mark.parametrize("analysis", [stands_apart, pca_clusters, chosen_less])
def test_few_experts_are_not_comparable(
    made_up_weights: MakeWeights, made_up_routed: MakeRouted, analysis: Callable[..., Finding]
) -> None:
    for experts in (2, 6):
        given = Measured(made_up_weights(experts=experts), made_up_routed(experts=experts))
        with pytest.raises(NotComparableError, match=f"at least 7 experts; this model has {experts}"):
            analysis("up", given, RNG(0))


@pytest.mark.parametrize("analysis", [pca_clusters, chosen_less])
def test_a_quarter_of_the_layers_must_have_an_expert_that_stands_apart(
    made_up_weights: MakeWeights, made_up_routed: MakeRouted, analysis: Callable[..., Finding]
) -> None:
    special = NONE.copy()
    special[:2] = SPECIAL
    similarity = np.tile(0.3 + 0.7 * np.eye(8), (LAYERS, 1, 1))
    similarity[:2] = cosines(15, special)[:2]
    given = Measured(
        made_up_weights(layers=LAYERS, matrix=dict.fromkeys(ROLES, similarity)), made_up_routed(layers=LAYERS)
    )
    with pytest.raises(
        NotComparableError, match="stands apart in 2 of 12 layers, and this claim needs one in a quarter"
    ):
        analysis("up", given, RNG(0))


def test_one_layer_with_a_special_expert_is_not_enough_for_clusters(made_up_weights: MakeWeights) -> None:
    weights = made_up_weights(layers=1, matrix={"up": cosines(16, THE_SAME[:1])})
    with pytest.raises(NotComparableError, match="stands apart in 1 layer alone"):
        pca_clusters("up", Measured(weights), RNG(0))
