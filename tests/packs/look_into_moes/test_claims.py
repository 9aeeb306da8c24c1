"""The headline analyses on made-up measurements whose truth is known, without any model."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest

from moe_claims.errors import ModelError, NotComparableError, NotMeasuredError
from moe_claims.judge import evaluate
from moe_claims.judge.evaluate import corrected, judge
from moe_claims.judge.trial import Trial, try_all
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes import depth, neuron_experts, router_norm
from moe_claims.packs.look_into_moes.pack import HEADLINE, LIVE, PACK
from moe_claims.stats.corrections import benjamini_hochberg, holm
from moe_claims.types import Finding, Interval, Verdict

LAYERS, EXPERTS, SEQUENCES, TOKENS = 12, 8, 16, 20
Routed = Callable[..., RoutedMeasurement]
Made = Callable[..., Measured]


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


@pytest.fixture(scope="module")
def routed(made_up_routed: Routed) -> Routed:
    """(rng, static=0, moving=0, angular=level) → norms and logits that share a static pattern (per layer and expert)
    and a moving one (per token), and output similarities of the level of a curve over depth."""

    def make(
        rng: np.random.Generator, *, static: float = 0.0, moving: float = 0.0, angular: np.ndarray | None = None
    ) -> RoutedMeasurement:
        shape = (LAYERS, SEQUENCES * TOKENS, EXPERTS)
        pattern = rng.standard_normal((LAYERS, 1, EXPERTS))
        own = rng.standard_normal((LAYERS, 1, EXPERTS))
        signal = rng.standard_normal(shape)
        norms = pattern + signal + 0.3 * rng.standard_normal(shape)
        logits = blend(pattern, own, static) + moving * signal + rng.standard_normal(shape)
        curve = np.full(LAYERS, 0.6) if angular is None else angular
        noise = 0.002 * rng.standard_normal((LAYERS, SEQUENCES, 1, 1))
        return made_up_routed(
            LAYERS, SEQUENCES, TOKENS, EXPERTS,
            router_logits=logits, output_norms=norms - norms.min() + 1,
            angular_sums=(level(curve)[:, None] + noise) * TOKENS,
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def measured(routed: Routed) -> Made:
    """(weights, routed), either of them noise if not given."""

    def make(w: WeightMeasurement | None = None, r: RoutedMeasurement | None = None) -> Measured:
        rng = np.random.default_rng(99)
        return Measured(w or weights(rng), r or routed(rng))

    return make


@pytest.fixture
def headline_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are judged on the headline claims alone, which is quicker."""
    monkeypatch.setattr(evaluate, "try_all", partial(try_all, claims=HEADLINE))


@lru_cache(maxsize=2)
def verdicts(given: Measured, needs: str) -> dict[tuple[str, str | None], Verdict]:
    """By claim and variant, after correction over the headline claims that need the same."""
    trials = try_all(PACK, {"text": given}, 0, [claim for claim in HEADLINE if claim.needs == needs])
    decisions = judge(trials, corrected(trials, 0.05), PACK)
    return {(t.claim.id, t.variant): d.verdict for t, d in zip(trials, decisions, strict=True) if d is not None}


def verdict_of(claim: str, given: Measured, variant: str | None = None) -> Verdict:
    return verdicts(given, LIVE[claim].needs)[claim, variant]


# --- neuron-experts -------------------------------------------------------------------------------


def test_act_only_association_replicates(measured: Made) -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7))
    assert verdict_of("neuron-experts", given) == Verdict.REPLICATED
    assert verdict_of("neuron-experts-sign", given) == Verdict.REPLICATED


@pytest.mark.parametrize("seed", range(5))
def test_equal_association_of_all_three_does_not(measured: Made, seed: int) -> None:
    given = measured(weights(np.random.default_rng(seed), all_alike=0.7))
    assert verdict_of("neuron-experts", given) != Verdict.REPLICATED
    assert verdict_of("neuron-experts-sign", given) == Verdict.REPLICATED


def test_a_rival_matrix_that_explains_more_contradicts(measured: Made) -> None:
    rng = np.random.default_rng(3)
    w = weights(rng)
    mean = dict(w.mean) | {"up": blend(w.router, similarity(rng), 0.8)}
    given = measured(WeightMeasurement(w.layers, w.router, w.matrix, mean))
    assert verdict_of("neuron-experts", given) == Verdict.CONTRADICTED


def test_negative_association_contradicts_the_sign(measured: Made) -> None:
    rng = np.random.default_rng(4)
    w = weights(rng)
    mean = dict(w.mean) | {"act": -blend(w.router, similarity(rng), 0.8)}
    given = measured(WeightMeasurement(w.layers, w.router, w.matrix, mean))
    assert verdict_of("neuron-experts-sign", given) == Verdict.CONTRADICTED


def test_details_are_the_papers_numbers(measured: Made) -> None:
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


def test_static_association_is_total_but_not_token_specific(measured: Made, routed: Routed) -> None:
    given = measured(r=routed(np.random.default_rng(1), static=1.0))
    assert verdict_of("router-norm", given, "total") == Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") == Verdict.ABSENT


def test_token_specific_association_is_both(measured: Made, routed: Routed) -> None:
    given = measured(r=routed(np.random.default_rng(2), moving=1.5))
    assert verdict_of("router-norm", given, "total") == Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") == Verdict.REPLICATED


@pytest.mark.parametrize("seed", range(5))
def test_static_patterns_without_association_do_not_replicate(measured: Made, routed: Routed, seed: int) -> None:
    given = measured(r=routed(np.random.default_rng(seed)))
    assert verdict_of("router-norm", given, "total") != Verdict.REPLICATED
    assert verdict_of("router-norm", given, "token-specific") != Verdict.REPLICATED
    assert verdict_of("router-norm-diagonal", given) != Verdict.REPLICATED


def test_norm_alone_foretells_the_choice_when_scores_are_norms(measured: Made, routed: Routed) -> None:
    r = routed(np.random.default_rng(3))
    chosen = np.argsort(-r.output_norms, axis=-1)[..., :2]
    same = replace(r, router_logits=r.output_norms, chosen=chosen)
    assert router_norm.chosen_by_norm(same) == pytest.approx(
        {"top_k_overlap": 1.0, "top_k_overlap_by_chance": 0.25, "auc_of_norm_for_chosen": 1.0}
    )
    found = router_norm.diagonal(None, measured(r=same), np.random.default_rng(0))
    assert found.effect == pytest.approx(1 - 1 / EXPERTS)
    assert found.falls_short is None


def test_a_heavy_diagonal_that_is_not_every_mode_falls_short(measured: Made, routed: Routed) -> None:
    r = routed(np.random.default_rng(4))
    swapped = r.output_norms.copy()
    order = np.argsort(swapped, axis=-1)
    # The two smallest norms trade places: six of eight ranks keep their mode.
    first, second = order[..., :1], order[..., 1:2]
    low, high = np.take_along_axis(swapped, first, -1), np.take_along_axis(swapped, second, -1)
    np.put_along_axis(swapped, first, high, -1)
    np.put_along_axis(swapped, second, low, -1)
    given = replace(r, router_logits=r.output_norms, output_norms=swapped)
    assert verdict_of("router-norm-diagonal", measured(r=given)) == Verdict.DIRECTION_ONLY


# --- depth ----------------------------------------------------------------------------------------


def falling(rng: np.random.Generator, jump: float) -> np.ndarray:
    curve = np.linspace(0.9, 0.5, LAYERS) + 0.01 * rng.standard_normal(LAYERS)
    curve[-1] += jump
    return curve


def test_falling_similarity_with_an_outlier_replicates_both(measured: Made, routed: Routed) -> None:
    given = measured(r=routed(np.random.default_rng(1), angular=falling(np.random.default_rng(1), 0.4)))
    assert verdict_of("diversity-depth", given) == Verdict.REPLICATED
    assert verdict_of("last-layer-outlier", given) == Verdict.REPLICATED


def test_rising_similarity_contradicts_and_a_drop_at_the_end_too(measured: Made, routed: Routed) -> None:
    given = measured(r=routed(np.random.default_rng(1), angular=1.4 - falling(np.random.default_rng(1), 0.4)))
    assert verdict_of("diversity-depth", given) == Verdict.CONTRADICTED
    assert verdict_of("last-layer-outlier", given) == Verdict.CONTRADICTED


def test_weights_follow_the_same_rule_by_matrix(measured: Made) -> None:
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


def test_experts_that_are_all_alike_have_no_trend_and_no_unit_for_an_outlier(measured: Made) -> None:
    w = weights(np.random.default_rng(4))
    same = WeightMeasurement(w.layers, w.router, {role: level(np.ones(LAYERS)) for role in w.matrix}, w.mean)
    assert verdict_of("weight-diversity-depth", measured(same), "up") == Verdict.ABSENT
    assert verdict_of("weight-last-layer-outlier", measured(same), "up") == Verdict.NOT_APPLICABLE


# --- the families ---------------------------------------------------------------------------------

BY_WEIGHTS, BY_TEXT = 8, 6
"""Rows of the headline claims on weights, and on each text."""


def test_headline_claims_of_all_texts_are_one_holm_family(measured: Made) -> None:
    given = measured()
    trials = try_all(PACK, {"one": given, "two": given}, 0, HEADLINE)
    assert len(trials) == BY_WEIGHTS + 2 * BY_TEXT
    p_values = [p for p in corrected(trials, 0.05) if p is not None]
    findings = [trial.finding for trial in trials if trial.finding is not None]
    assert len(findings) == len(p_values) == len(trials)
    towards, against = [p.towards for p in p_values], [p.opposite for p in p_values]
    assert towards == pytest.approx(list(holm([finding.p_value for finding in findings])))
    assert against == pytest.approx(list(holm([finding.p_opposite for finding in findings])))


def found(p: float) -> Finding:
    return Finding(1.0, Interval(0.5, 1.5, 0.95, "made up"), Interval(0.6, 1.4, 0.90, "made up"), p, 1 - p, 1e-4, 20)


def test_secondary_claims_are_a_benjamini_hochberg_family_of_their_own() -> None:
    p = {"router-norm": 0.02, "neuron-experts": 0.03, "chosen-alike": 0.01, "special-expert": 0.02, "routing-runs": 0.4}
    trials = [Trial(LIVE[claim], LIVE[claim].variants[0], None, found(value)) for claim, value in p.items()]
    trials.insert(2, Trial(LIVE["balanced-routing"], None, None, NotMeasuredError("left out")))
    towards = [None if p is None else p.towards for p in corrected(trials, 0.05)]
    assert towards[:2] == pytest.approx(list(holm([0.02, 0.03])))
    assert towards[2] is None  # it counts in no family
    assert towards[3:] == pytest.approx(list(benjamini_hochberg([0.01, 0.02, 0.4])))


def test_what_could_not_be_tested_says_why() -> None:
    trials = [
        Trial(LIVE["neuron-order"], "up", None, NotMeasuredError("hours: --moe-layers")),
        Trial(LIVE["dense-reference"], "matrix up", None, NotComparableError("no dense model")),
        Trial(LIVE["balanced-routing"], None, "text", ModelError("NaN")),
    ]
    first, second, broken = judge(trials, corrected(trials, 0.05), PACK)
    assert first is not None and (first.verdict, first.reason) == (Verdict.INCONCLUSIVE, "hours: --moe-layers")
    assert second is not None and (second.verdict, second.reason) == (Verdict.NOT_APPLICABLE, "no dense model")
    assert broken is None


@pytest.mark.usefixtures("headline_only")
def test_a_broken_text_breaks_only_its_own_claims(measured: Made) -> None:
    given = Measured(measured().weights, ModelError("the text is in another language"))
    judged = evaluate.evaluate(PACK, "made up", None, {"text": given}, None, seed=0, alpha=0.05)
    assert judged.find("router-norm", "total", None, "text") == "the text is in another language"
    assert len(judged.broken) == BY_TEXT
    assert len(judged.results) == BY_WEIGHTS


@pytest.mark.usefixtures("headline_only")
def test_random_initialisation_is_shown_and_an_artefact_is_named(measured: Made) -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7))
    plain = measured()
    judged = evaluate.evaluate(PACK, "made up", None, {"text": given}, {"text": plain}, seed=0, alpha=0.05)
    row = judged.find("neuron-experts", None, None, None)
    assert not isinstance(row, str)
    assert row.controls["random_init"]["verdict"] != "replicated"
    assert "artefact" not in row.reason
    same = evaluate.evaluate(PACK, "made up", None, {"text": given}, {"text": given}, seed=0, alpha=0.05)
    row = same.find("neuron-experts", None, None, None)
    assert not isinstance(row, str)
    assert row.reason.endswith("replicated at random initialisation too: an artefact of the architecture")


@pytest.mark.usefixtures("headline_only")
def test_a_control_that_cannot_be_made_is_said(measured: Made) -> None:
    judged = evaluate.evaluate(PACK, "made up", None, {"text": measured()}, ModelError("too large"), seed=0, alpha=0.05)
    assert {row.controls["random_init"]["reason"] for row in judged.results} == {"too large"}


@pytest.mark.usefixtures("headline_only")
def test_published_values_and_criteria_appear_for_the_papers_models(measured: Made, routed: Routed) -> None:
    given = measured(weights(np.random.default_rng(1), act=0.7), routed(np.random.default_rng(2), moving=1.5))
    judged = evaluate.evaluate(
        PACK, "mixtral", "mistralai/Mixtral-8x7B-v0.1", {"text": given}, None, seed=0, alpha=0.05
    )
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
    unknown = evaluate.evaluate(PACK, "x", None, {"t": given}, None, seed=0, alpha=0.05)
    assert all(r.published is None for r in unknown.results)
