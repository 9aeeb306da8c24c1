"""Claims on loads: the published counts, and made-up counts for every verdict they can get."""

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, entropy, false_discovery_control, ttest_1samp

from moe_claims.judge.claim import Claim
from moe_claims.judge.evaluate import rows_of
from moe_claims.judge.trial import Trial
from moe_claims.packs.look_into_moes.pack import COUNTED, PACK
from moe_claims.packs.look_into_moes.paper import routing_counts
from moe_claims.packs.look_into_moes.routing_counts import (
    BALANCED_ROUTING,
    MIXTRAL,
    OLMOE,
    PUBLIC_MODELS,
    SPECIAL_EXPERT_CHOSEN_LESS,
    TUNED,
    TUNING_KEEPS_ROUTING,
    balanced_routing,
    judged_counts,
    special_expert_chosen_less,
    tuning_keeps_routing,
)
from moe_claims.stats import domain_tests as statistics
from moe_claims.stats.domain_tests import Loads
from moe_claims.types import Finding, Result, Verdict

Counts = dict[str, Any]
EXPERT = 3


def altered(change: Callable[[Counts], None]) -> Counts:
    counts = dict(routing_counts())
    change(counts["models"])
    return counts


def rows(claim: str) -> list[Result]:
    return [result for result in judged_counts(PACK).results if result.claim == claim]


def judged(claim: Claim, found: Finding) -> Result:
    """Judge one claim as a family of its own."""
    tested = Trial(claim, claim.variants[0], "public-counts", found, model=MIXTRAL, group=MIXTRAL)
    (result,) = rows_of(PACK, "public", [tested], 0.05).results
    return result


# --- the published counts ------------------------------------------------------------------------


def test_every_claim_and_variant_has_its_row() -> None:
    expected = [
        (claim.id, variant, model)
        for claim in COUNTED.values()
        for model in PUBLIC_MODELS[claim.id]
        for variant in claim.variants
    ]
    assert [(r.claim, r.variant, r.model) for r in judged_counts(PACK).results] == expected
    assert len(expected) == 9


def test_verdicts_on_the_published_counts() -> None:
    assert {(r.claim, r.model, r.verdict) for r in judged_counts(PACK).results} == {
        ("balanced-routing", MIXTRAL, Verdict.REPLICATED),
        ("balanced-routing", OLMOE, Verdict.INCONCLUSIVE),
        ("special-expert-chosen-less", MIXTRAL, Verdict.REPLICATED),
        ("tuning-keeps-routing", OLMOE, Verdict.INCONCLUSIVE),
    }


@pytest.mark.parametrize("result", judged_counts(PACK).results, ids=lambda r: f"{r.claim} {r.variant} {r.model}")
def test_every_row_is_complete_and_counts_domains_only(result: Result) -> None:
    assert (result.evidence, result.family, result.corpus, result.unit) == (
        "public",
        "public",
        "public-counts",
        "domain",
    )
    assert result.n_units in (5, 6)
    assert result.interval is not None
    assert result.effect is not None
    assert result.interval.low < result.effect < result.interval.high
    assert result.interval.level == 0.95
    assert "domains" in result.interval.method
    said, _, judgement = result.reason.partition("; ")
    assert said[0].isupper() and judgement
    assert not result.reason.endswith(".")
    assert result.reason.count(". ") == 0 and "\n" not in result.reason
    assert all(type(value) in (float, int, str) for value in result.details.values())


@pytest.mark.parametrize("model", [MIXTRAL, OLMOE])
def test_p_values_are_adjusted_over_the_claims_on_one_model(model: str) -> None:
    results = [result for result in judged_counts(PACK).results if result.model == model]
    expected = false_discovery_control([result.p_value for result in results], method="bh")
    assert [result.p_adjusted for result in results] == pytest.approx(list(expected))


def test_entropy_and_its_interval_are_scipys() -> None:
    result = rows("balanced-routing")[2]
    domains = routing_counts()["models"][MIXTRAL]["domains"]
    values = [entropy(domain["topk"]["15"], base=8) for domain in domains.values()]
    test = ttest_1samp(values, 0.95, alternative="greater")
    both = ttest_1samp(values, 0.95).confidence_interval(0.95)
    assert result.effect == pytest.approx(np.mean(values))
    assert result.p_value == pytest.approx(test.pvalue)
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == pytest.approx((both.low, both.high))


def test_expert_3_is_least_chosen_in_8_of_15_cells_and_5_domains_just_suffice() -> None:
    (result,) = rows("special-expert-chosen-less")
    assert (result.details["cells_least_chosen"], result.details["cells"]) == (8, 15)
    assert result.p_value == result.details["smallest_p"] == 1 / 32
    assert result.details["p_labels_same_in_all_layers"] == 1 / 8
    assert result.p_adjusted == 1 / 32  # the largest of Mixtral's four p-values, so nothing is multiplied
    assert result.reason == (
        "Expert 3 has 18% less than the even share and is the least chosen in 8 of 15 cells of domain and layer; "
        "p = 0.032 and at least the smallest effect of interest"
    )
    assert result.effect is not None
    assert result.effect < result.smallest


def test_tuning_stays_far_below_the_distance_of_domains_but_15_pairs_are_too_few() -> None:
    for result in rows("tuning-keeps-routing"):
        assert result.details["domain_pairs"] == 15
        assert result.p_value == result.details["smallest_p"] == 1 / 16
        assert result.effect is not None
        assert result.effect > 0.8
        assert "; no p-value below 0.0625 can be reached here, 0.157 after correction" in result.reason
        assert result.reason.endswith("; these domains do not tell how many would settle it")


def test_what_is_missing_is_domains_not_effect() -> None:
    # At four times the error level the same counts pass, because both effects are well beyond the smallest.
    loose = {r.claim: r.verdict for r in judged_counts(PACK, alpha=0.20).results if r.claim != "balanced-routing"}
    assert set(loose.values()) == {Verdict.REPLICATED}


# --- made-up counts: every verdict can be reached ------------------------------------------------


def spread(seed: int, domains: int, experts: int, size: float) -> Loads:
    """Make loads (D, 3, E) that differ from the even share and between domains by about ``size``."""
    rng = np.random.default_rng(seed)
    return shares(np.exp(rng.normal(scale=size, size=(domains, 3, experts))))


def shares(raw: Loads) -> Loads:
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("weights", "verdict"),
    [([1, 1, 1, 1], Verdict.REPLICATED), ([12, 12, 1, 1], Verdict.CONTRADICTED)],
)
def test_balance_gets_the_verdict_of_its_entropy(weights: list[int], verdict: Verdict) -> None:
    load = shares(spread(0, 6, 4, 0.05) * np.array(weights))
    assert judged(BALANCED_ROUTING, balanced_routing([f"domain {i}" for i in range(6)], load, 0)).verdict is verdict


def test_balance_is_open_where_domains_differ() -> None:
    load = np.stack([spread(0, 1, 4, 0.05)[0], shares(spread(0, 1, 4, 0.05)[0] * np.array([12, 12, 1, 1]))])
    result = judged(BALANCED_ROUTING, balanced_routing(["even", "uneven"], load, 0))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "neither the whole interval nor the test says on which side of 0.95 it lies" in result.reason
    assert "more domains like these would settle it" in result.reason


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.6, Verdict.REPLICATED), (0.97, Verdict.DIRECTION_ONLY), (1.6, Verdict.CONTRADICTED)],
)
def test_special_expert_gets_the_verdict_of_its_load(factor: float, verdict: Verdict) -> None:
    load = spread(1, 12, 8, 0.002)
    load[..., EXPERT] *= factor
    assert judged(SPECIAL_EXPERT_CHOSEN_LESS, special_expert_chosen_less(shares(load))).verdict is verdict


def test_an_expert_that_is_like_the_others_is_absent() -> None:
    assert (
        judged(SPECIAL_EXPERT_CHOSEN_LESS, special_expert_chosen_less(spread(2, 12, 8, 0.02))).verdict is Verdict.ABSENT
    )


def test_one_static_pattern_in_all_domains_is_not_taken_for_a_special_expert() -> None:
    # The trap: every domain repeats the same random loads, so that the sign test over 12 domains is
    # significant for half of all experts. Relabelling within layers has to hold the level.
    fired, by_text_alone, nulls = 0, 0, 200
    for seed in range(nulls):
        static = spread(seed, 1, 8, 0.3) * np.exp(
            np.random.default_rng(seed + nulls).normal(scale=0.01, size=(12, 3, 8))
        )
        result = judged(SPECIAL_EXPERT_CHOSEN_LESS, special_expert_chosen_less(shares(static)))
        fired += result.p_value is not None and result.p_value <= 0.05
        by_text_alone += float(result.details["p_sign_domains"] or 0) <= 0.05
    assert by_text_alone > 0.3 * nulls
    assert binomtest(fired, nulls, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize(
    ("step", "verdict"),
    [(0.02, Verdict.REPLICATED), (0.25, Verdict.DIRECTION_ONLY), (1.5, Verdict.CONTRADICTED)],
)
def test_tuning_gets_the_verdict_of_its_distance(step: float, verdict: Verdict) -> None:
    base = spread(4, 12, 64, 0.3)
    tuned = shares(base[-1] * np.exp(np.random.default_rng(5).normal(scale=step, size=(3, 64))))
    result = judged(TUNING_KEEPS_ROUTING, tuning_keeps_routing(base, tuned, 11))
    assert result.verdict is verdict
    assert result.details["domain_pairs"] == 66


def test_tuning_by_the_distance_of_domains_shows_nothing() -> None:
    base = spread(4, 12, 64, 0.3)
    result = judged(TUNING_KEEPS_ROUTING, tuning_keeps_routing(base, spread(9, 1, 64, 0.3)[0], 11))
    assert result.verdict in (Verdict.ABSENT, Verdict.INCONCLUSIVE)
    assert result.effect is not None
    assert abs(result.effect) < 0.1


def test_counts_on_another_text_are_refused() -> None:
    def change(models: Counts) -> None:
        models[TUNED["against SFT"]]["domains"]["tulu"]["topk"]["0"][0] += 8

    with pytest.raises(ValueError, match=r"made 1641944 and 1641952 choices: count both on the same text"):
        judged_counts(PACK, counts=altered(change))


# --- statistics ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=2, max_size=64).filter(lambda load: sum(load) > 1e-6))
def test_entropy_lies_between_one_expert_and_even_use(raw: list[float]) -> None:
    load = np.array(raw) / sum(raw)
    assert -1e-12 <= statistics.normalised_entropy(load) <= 1 + 1e-12
    assert statistics.normalised_entropy(np.full(len(raw), 1 / len(raw))) == pytest.approx(1.0)
    assert statistics.normalised_entropy(np.eye(len(raw))[0]) == 0.0


def test_total_variation_is_the_share_that_moves() -> None:
    assert statistics.total_variation(np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])) == 0.25
    assert statistics.total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_label_test_counts_every_choice_of_a_special_expert(seed: int) -> None:
    loads = np.random.default_rng(seed).integers(0, 6, size=(4, 3, 5)).astype(float)
    means = loads.mean(axis=0)
    sums = [sum(means[layer, expert] for layer, expert in enumerate(chosen)) for chosen in product(range(5), repeat=3)]
    observed = means[:, EXPERT].sum()
    test = statistics.label_test(loads, EXPERT)
    assert test.p_less == pytest.approx(np.mean([total <= observed + 1e-9 for total in sums]))
    assert test.p_greater == pytest.approx(np.mean([total >= observed - 1e-9 for total in sums]))
    assert test.smallest_p == pytest.approx(1 / 5**3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_relabelling_alike_in_all_layers_never_goes_below_one_expert_in_e(seed: int) -> None:
    loads = np.random.default_rng(seed).random((4, 3, 8))
    rank = 8 * statistics.same_label_test(loads, EXPERT).p_less
    assert rank == pytest.approx(round(rank))
    assert rank >= 1


def test_t_test_without_spread_leaves_no_doubt() -> None:
    assert statistics.t_test([0.99] * 5, 0.95) == 0.0
    assert statistics.t_test([0.9] * 5, 0.95) == 1.0
    assert statistics.t_test([0.5] * 5, 0.5) == 0.5


def test_sign_test_over_domains_drops_zeros() -> None:
    assert statistics.sign_p(np.array([-0.1, 0.0, -0.2]), "less") == 0.25
    assert statistics.sign_p(np.zeros(3), "less") == 1.0


def test_null_of_signs_counts_those_above() -> None:
    null = statistics.sign_null(np.array([-0.1, 0.0, -0.2, 0.3]), "above")
    assert (null.observed, null.quantiles[0], null.quantiles[-1]) == (1.0, 0.0, 3.0)
    assert (null.draws, null.exact, null.tail, null.statistic) == (8, True, "lower", "above")


def test_null_of_t_lies_around_the_bound() -> None:
    values = [0.91, 0.95, 0.97, 0.99]
    null = statistics.t_null(values, 0.95)
    for level, quantile in zip(null.levels, null.quantiles, strict=True):
        moved = np.asarray(values) - np.mean(values) + quantile
        assert ttest_1samp(moved, 0.95, alternative="less").pvalue == pytest.approx(level)
    assert null.observed == pytest.approx(0.955)


def test_kept_part_is_one_without_a_move_and_none_at_the_distance_of_domains() -> None:
    base = spread(7, 5, 8, 0.4)
    typical = float(np.mean(list(statistics.domain_distances(base).values())))
    assert len(statistics.domain_distances(base)) == 10
    assert statistics.kept_part(0.0, base) == 1.0
    assert statistics.kept_part(typical, base) == pytest.approx(0.0)


def test_kept_interval_covers_the_part_of_the_domains_at_large() -> None:
    # Domains drawn from one population; truth from 400 of them. At least 85 % of 95 % intervals from six
    # domains have to hold it (the jackknife of a ratio with five degrees of freedom is approximate).
    moved = 0.05
    population = spread(11, 400, 16, 0.4)
    truth = 1 - moved / np.mean([statistics.total_variation(a, b) for a, b in pairwise(population)])
    held = 0
    for start in range(0, 390, 6):
        interval = statistics.kept_interval(moved, population[start : start + 6], 0.95)
        held += int(interval.low <= truth <= interval.high)
    assert held >= 0.85 * 65
