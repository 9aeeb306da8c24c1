"""The headline analyses on made-up measurements whose truth is known, without any model."""

import numpy as np
import pytest

from moe_claims.analysis import depth, neuron_experts, router_norm
from moe_claims.analysis.evaluate import adjusted, evaluate, judge, try_all
from moe_claims.analysis.measured import Measured
from moe_claims.errors import ModelError, NotComparableError
from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
from moe_claims.stats.corrections import holm
from moe_claims.types import Finding, Verdict

LAYERS, EXPERTS, SEQUENCES, TOKENS = 12, 8, 16, 20


def similarity(rng: np.random.Generator, layers: int = LAYERS, experts: int = EXPERTS) -> np.ndarray:
    """(L, E, E) cosines of random rows."""
    rows = rng.standard_normal((layers, experts, 12))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows @ rows.transpose(0, 2, 1)


def blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return share * a + (1 - share) * b


def level(values: np.ndarray) -> np.ndarray:
    """(L,) → (L, E, E) similarities of that mean level."""
    matrices = np.broadcast_to(values[:, None, None], (len(values), EXPERTS, EXPERTS)).copy()
    matrices[:, np.arange(EXPERTS), np.arange(EXPERTS)] = 1.0
    return matrices


def weights(rng: np.random.Generator, act: float = 0.0, all_alike: float = 0.0) -> WeightMeasurement:
    """Mean similarities that follow the router's: all three matrices by ``all_alike``, W_act by ``act`` besides."""
    router = similarity(rng)
    mean = {role: blend(router, similarity(rng), all_alike) for role in ("up", "act", "down")}
    mean["act"] = blend(router, mean["act"], act)
    matrix = {role: similarity(rng) for role in ("up", "act", "down")}
    return WeightMeasurement(np.arange(LAYERS), router, matrix, mean)


def routed(
    rng: np.random.Generator, *, static: float = 0.0, moving: float = 0.0, angular: np.ndarray | None = None
) -> RoutedMeasurement:
    """Norms and logits that share a static pattern (per layer and expert) and a moving one (per token)."""
    shape = (LAYERS, SEQUENCES * TOKENS, EXPERTS)
    pattern = rng.standard_normal((LAYERS, 1, EXPERTS))
    own = rng.standard_normal((LAYERS, 1, EXPERTS))
    signal = rng.standard_normal(shape)
    norms = pattern + signal + 0.3 * rng.standard_normal(shape)
    logits = blend(pattern, own, static) + moving * signal + rng.standard_normal(shape)
    chosen = np.argsort(-logits, axis=-1)[..., :2]
    lengths = np.full(SEQUENCES, TOKENS)
    curve = np.full(LAYERS, 0.6) if angular is None else angular
    noise = 0.002 * rng.standard_normal((LAYERS, SEQUENCES, 1, 1))
    sums = (level(curve)[:, None] + noise) * TOKENS
    share, nats = np.full((LAYERS, EXPERTS), 0.9), np.full(SEQUENCES, 3.0)
    return RoutedMeasurement(np.arange(LAYERS), lengths, logits, norms - norms.min() + 1, chosen, sums, share, nats)


def measured(w: WeightMeasurement | None = None, r: RoutedMeasurement | None = None) -> Measured:
    rng = np.random.default_rng(99)
    return Measured(w or weights(rng), r or routed(rng))


def verdict_of(claim: str, given: Measured, variant: str | None = None) -> Verdict:
    judged = evaluate("made up", None, {"text": given}, None, seed=0, alpha=0.05)
    return next(r.verdict for r in judged.results if r.claim == claim and r.variant == variant)


# --- neuron-experts -------------------------------------------------------------------------------


def test_act_only_association_replicates() -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7))
    assert verdict_of("neuron-experts", given) == Verdict.REPLICATED
    assert verdict_of("neuron-experts-sign", given) == Verdict.REPLICATED


@pytest.mark.parametrize("seed", range(5))
def test_equal_association_of_all_three_does_not(seed: int) -> None:
    given = measured(weights(np.random.default_rng(seed), all_alike=0.7))
    assert verdict_of("neuron-experts", given) != Verdict.REPLICATED
    assert verdict_of("neuron-experts-sign", given) == Verdict.REPLICATED


def test_a_rival_matrix_that_explains_more_contradicts() -> None:
    rng = np.random.default_rng(3)
    w = weights(rng)
    mean = dict(w.mean) | {"up": blend(w.router, similarity(rng), 0.8)}
    given = measured(WeightMeasurement(w.layers, w.router, w.matrix, mean))
    assert verdict_of("neuron-experts", given) == Verdict.CONTRADICTED


def test_negative_association_contradicts_the_sign() -> None:
    rng = np.random.default_rng(4)
    w = weights(rng)
    mean = dict(w.mean) | {"act": -blend(w.router, similarity(rng), 0.8)}
    given = measured(WeightMeasurement(w.layers, w.router, w.matrix, mean))
    assert verdict_of("neuron-experts-sign", given) == Verdict.CONTRADICTED


def test_details_are_the_papers_numbers() -> None:
    w = weights(np.random.default_rng(1), act=0.7)
    found = neuron_experts.unique_association(None, measured(w), np.random.default_rng(0))
    upper = np.triu_indices(EXPERTS, 1)
    r2 = [np.corrcoef(a[upper], b[upper])[0, 1] ** 2 for a, b in zip(w.router, w.mean["act"], strict=True)]
    assert found.details["r2_avg_act"] == pytest.approx(np.mean(r2))
    chance = found.details["r2_avg_act"] - found.details["r2_avg_act_less_expected"]
    assert chance == pytest.approx(1 / 27, abs=0.02)  # 28 pairs: E[r²] of unrelated patterns is 1/(28 − 1)


def test_too_few_experts_are_not_comparable() -> None:
    rng = np.random.default_rng(5)
    small = {role: similarity(rng, experts=4) for role in ("up", "act", "down")}
    given = Measured(WeightMeasurement(np.arange(LAYERS), similarity(rng, experts=4), small, small))
    with pytest.raises(NotComparableError, match="need at least 5 experts; this model has 4"):
        neuron_experts.sign(None, given, rng)


# --- router-norm ----------------------------------------------------------------------------------


def test_static_association_is_total_but_not_token_specific() -> None:
    given = measured(r=routed(np.random.default_rng(1), static=1.0))
    assert verdict_of("router-norm", given, "total") == Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") == Verdict.ABSENT


def test_token_specific_association_is_both() -> None:
    given = measured(r=routed(np.random.default_rng(2), moving=1.5))
    assert verdict_of("router-norm", given, "total") == Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") == Verdict.REPLICATED


@pytest.mark.parametrize("seed", range(5))
def test_static_patterns_without_association_do_not_replicate(seed: int) -> None:
    given = measured(r=routed(np.random.default_rng(seed)))
    assert verdict_of("router-norm", given, "total") != Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") != Verdict.REPLICATED
    assert verdict_of("router-norm-diagonal", given) != Verdict.REPLICATED


def test_norm_alone_foretells_the_choice_when_scores_are_norms() -> None:
    r = routed(np.random.default_rng(3))
    chosen = np.argsort(-r.output_norms, axis=-1)[..., :2]
    same = RoutedMeasurement(
        r.layers, r.lengths, r.output_norms, r.output_norms, chosen, r.angular_sums, r.activation_share, r.nats
    )
    assert router_norm.chosen_by_norm(same) == pytest.approx(
        {"top_k_overlap": 1.0, "top_k_overlap_by_chance": 0.25, "auc_of_norm_for_chosen": 1.0}
    )
    found = router_norm.diagonal(None, measured(r=same), np.random.default_rng(0))
    assert found.effect == pytest.approx(1 - 1 / EXPERTS)
    assert found.falls_short is None


def test_a_heavy_diagonal_that_is_not_every_mode_falls_short() -> None:
    r = routed(np.random.default_rng(4))
    swapped = r.output_norms.copy()
    order = np.argsort(swapped, axis=-1)
    # The two smallest norms trade places: six of eight ranks keep their mode.
    first, second = order[..., :1], order[..., 1:2]
    low, high = np.take_along_axis(swapped, first, -1), np.take_along_axis(swapped, second, -1)
    np.put_along_axis(swapped, first, high, -1)
    np.put_along_axis(swapped, second, low, -1)
    given = RoutedMeasurement(
        r.layers, r.lengths, swapped, r.output_norms, r.chosen, r.angular_sums, r.activation_share, r.nats
    )
    assert verdict_of("router-norm-diagonal", measured(r=given)) == Verdict.DIRECTION_ONLY


# --- depth ----------------------------------------------------------------------------------------


def falling(rng: np.random.Generator, jump: float) -> np.ndarray:
    curve = np.linspace(0.9, 0.5, LAYERS) + 0.01 * rng.standard_normal(LAYERS)
    curve[-1] += jump
    return curve


def test_falling_similarity_with_an_outlier_replicates_both() -> None:
    given = measured(r=routed(np.random.default_rng(1), angular=falling(np.random.default_rng(1), 0.4)))
    assert verdict_of("diversity-depth", given) == Verdict.REPLICATED
    assert verdict_of("last-layer-outlier", given) == Verdict.REPLICATED


def test_rising_similarity_contradicts_and_a_drop_at_the_end_too() -> None:
    given = measured(r=routed(np.random.default_rng(1), angular=1.4 - falling(np.random.default_rng(1), 0.4)))
    assert verdict_of("diversity-depth", given) == Verdict.CONTRADICTED
    assert verdict_of("last-layer-outlier", given) == Verdict.CONTRADICTED


def test_weights_follow_the_same_rule_by_matrix() -> None:
    rng = np.random.default_rng(2)
    w = weights(rng)
    matrix = dict(w.matrix) | {"down": level(falling(rng, 0.4))}
    given = measured(WeightMeasurement(w.layers, w.router, matrix, w.mean))
    for claim in ("weight-diversity-depth", "weight-last-layer-outlier"):
        assert verdict_of(claim, given, "down") == Verdict.REPLICATED
        assert verdict_of(claim, given, "up") != Verdict.REPLICATED


def test_few_layers_are_not_comparable() -> None:
    rng = np.random.default_rng(3)
    few = {role: similarity(rng, layers=5) for role in ("up", "act", "down")}
    given = Measured(WeightMeasurement(np.arange(5), similarity(rng, layers=5), few, few))
    with pytest.raises(NotComparableError, match="at least 6 MoE layers; this model has 5"):
        depth.weight_diversity("up", given, rng)


def test_experts_that_are_all_alike_have_no_trend_and_no_unit_for_an_outlier() -> None:
    w = weights(np.random.default_rng(4))
    same = WeightMeasurement(w.layers, w.router, {role: level(np.ones(LAYERS)) for role in w.matrix}, w.mean)
    assert verdict_of("weight-diversity-depth", measured(same), "up") == Verdict.ABSENT
    assert verdict_of("weight-last-layer-outlier", measured(same), "up") == Verdict.NOT_APPLICABLE


# --- the family -----------------------------------------------------------------------------------


def test_headline_claims_of_all_texts_are_one_holm_family() -> None:
    given = measured()
    trials = try_all({"one": given, "two": given}, seed=0)
    assert len(trials) == 8 + 2 * 5  # eight rows on weights, five on each text
    towards, _ = adjusted(trials)
    expected = holm([t.outcome.p_value for t in trials if isinstance(t.outcome, Finding)])
    assert towards == pytest.approx(list(expected))


def test_a_broken_text_breaks_only_its_own_claims() -> None:
    given = Measured(measured().weights, ModelError("the text is in another language"))
    trials = try_all({"text": given}, seed=0)
    decisions = judge(trials, 0.05)
    assert [t.claim.needs for t, d in zip(trials, decisions, strict=True) if d is None] == ["text"] * 5
    judged = evaluate("made up", None, {"text": given}, None, seed=0, alpha=0.05)
    assert judged.find("router-norm", "total", "text") == "the text is in another language"
    assert len(judged.results) == 8


def test_random_initialisation_is_shown_and_an_artefact_is_named() -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7))
    plain = measured()
    judged = evaluate("made up", None, {"text": given}, {"text": plain}, seed=0, alpha=0.05)
    row = judged.find("neuron-experts", None, None)
    assert not isinstance(row, str)
    assert row.controls["random_init"]["verdict"] != "replicated"
    assert "artefact" not in row.reason
    same = evaluate("made up", None, {"text": given}, {"text": given}, seed=0, alpha=0.05)
    row = same.find("neuron-experts", None, None)
    assert not isinstance(row, str)
    assert row.reason.endswith("replicated at random initialisation too: an artefact of the architecture")


def test_a_control_that_cannot_be_made_is_said() -> None:
    judged = evaluate("made up", None, {"text": measured()}, ModelError("too large"), seed=0, alpha=0.05)
    assert {row.controls["random_init"]["reason"] for row in judged.results} == {"too large"}


def test_published_values_and_criteria_appear_for_the_papers_models() -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7), routed(np.random.default_rng(2), moving=1.5))
    judged = evaluate("mixtral", "mistralai/Mixtral-8x7B-v0.1", {"text": given}, None, seed=0, alpha=0.05)
    rows = {(r.claim, r.variant): r for r in judged.results}
    sign = rows["neuron-experts-sign", None]
    assert sign.published is not None
    assert sign.published["value"] == pytest.approx(0.516, abs=0.001)  # mean of Table 5's column
    assert sign.criteria is not None
    assert {"published_in_our_interval", "ours_in_prediction_interval", "small_telescope_passed", "pooled"} <= set(
        sign.criteria
    )
    norm = rows["router-norm", "total"]
    assert norm.published is not None
    assert norm.published["value"] == pytest.approx(0.63, abs=0.01)
    assert norm.criteria is not None
    assert "scaled to the paper's 10 sequences" in norm.criteria["standard_error_origin"]
    assert rows["router-norm", "token-specific"].published is None
    assert all(r.published is None for r in evaluate("x", None, {"t": given}, None, seed=0, alpha=0.05).results)
