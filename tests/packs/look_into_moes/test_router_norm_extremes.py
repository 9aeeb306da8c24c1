"""The few largest norms against the rest, on made-up measurements whose truth is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, rankdata, spearmanr

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.packs.look_into_moes.router_norm_extremes import largest, largest_norms
from moe_claims.types import Finding, Verdict

Made = Callable[..., RoutedMeasurement]
Find = Callable[..., Finding]
LAYERS, TOKENS, EXPERTS = 4, 12 * 20, 8


@pytest.fixture
def find(made_up_routed: Made, made_up_weights: Callable[..., WeightMeasurement]) -> Find:
    """(norms (L, T, E), logits) → the finding."""

    def run(norms: Floats, logits: Floats, **sizes: int) -> Finding:
        sizes = {"layers": len(norms), **sizes}
        routed = made_up_routed(output_norms=norms, router_logits=logits, experts=norms.shape[-1], **sizes)
        return largest_norms(None, Measured(made_up_weights(), routed), np.random.default_rng(0))

    return run


def noise(seed: int, experts: int = EXPERTS) -> tuple[Floats, Floats]:
    """Norms and logits with static patterns that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    static = rng.standard_normal((2, LAYERS, 1, experts))
    norms, logits = static + rng.standard_normal((2, LAYERS, TOKENS, experts))
    return np.exp(0.3 * norms), logits


def verdict(finding: Finding) -> Verdict:
    return decide(LIVE["router-norm-extremes"], finding, finding.p_value, finding.p_opposite, 0.05).verdict


def is_top(norms: Floats) -> Floats:
    return norms == norms.max(axis=-1, keepdims=True)


def test_only_the_largest_norm_with_the_highest_score_replicates(find: Find) -> None:
    norms, _ = noise(1)
    found = find(norms, np.random.default_rng(5).standard_normal(norms.shape) + 3.0 * is_top(norms))
    assert verdict(found) == Verdict.REPLICATED
    assert found.falls_short is None
    assert found.p_value == found.smallest_p
    assert found.interval.low < found.effect < found.interval.high


def test_scores_that_follow_all_norms_fall_short_of_only(find: Find) -> None:
    norms, _ = noise(2)
    found = find(norms, norms + 0.1 * np.random.default_rng(5).standard_normal(norms.shape))
    assert verdict(found) == Verdict.DIRECTION_ONLY
    assert found.falls_short == f"among the other experts scores follow norms too (ρ = {found.details['rho_rest']:.2f})"


def test_the_inverse_relation_contradicts(find: Find) -> None:
    norms, logits = noise(3)
    found = find(norms, logits - 3.0 * is_top(norms))
    assert found.effect < 0
    assert verdict(found) == Verdict.CONTRADICTED


def test_static_patterns_without_association_hold_the_level(find: Find) -> None:
    found = [find(*noise(seed)) for seed in range(40)]
    for small in (sum(f.p_value <= 0.05 for f in found), sum(f.p_opposite <= 0.05 for f in found)):
        assert binomtest(small, 40, 0.05, alternative="greater").pvalue > 0.001


def test_effect_and_correlations_by_hand(find: Find) -> None:
    rng = np.random.default_rng(4)
    norms, logits = rng.random((2, 2, 6, 13)) + 1.0
    found = find(norms, logits, layers=2, sequences=3, tokens=2)
    assert found.details["largest_norms"] == 1
    effects, rest, rho = [], [], []
    for norm, score in zip(norms.reshape(-1, 13), logits.reshape(-1, 13), strict=True):
        scaled = (rankdata(score) - 1) / 12
        order = np.argsort(norm)
        effects.append(scaled[order[-1]] - scaled[order[3:10]].mean())  # a quarter of 13, rounded down, on either side
        rest.append(spearmanr(norm[order[:-1]], score[order[:-1]]).statistic)
        rho.append(spearmanr(norm, score).statistic)
    assert found.effect == pytest.approx(np.mean(effects))
    assert found.details["rho_rest"] == pytest.approx(np.mean(rest))
    assert found.details["rho"] == pytest.approx(np.mean(rho))


def test_five_of_sixty_four_and_as_large_a_share_of_others() -> None:
    assert {experts: largest(experts) for experts in (8, 16, 60, 64, 128, 256)} == {
        8: 1,
        16: 1,
        60: 5,
        64: 5,
        128: 10,
        256: 20,
    }


def test_labels_do_not_matter_even_where_all_tie(find: Find, made_up_routed: Made) -> None:
    norms, logits = noise(6)
    order = np.random.default_rng(0).permutation(EXPERTS)
    assert find(norms[..., order], logits[..., order]).effect == pytest.approx(find(norms, logits).effect)
    # Copies of one expert tie in norm and score; the order of their labels must not pass for an association.
    alike = find(np.ones_like(norms), np.zeros_like(logits))
    assert alike.effect == pytest.approx(0.0, abs=1e-12)
    assert alike.p_value == alike.p_opposite == 1.0


def test_few_sequences_bound_the_p_value(find: Find) -> None:
    norms, logits = noise(1)
    found = find(norms, logits + 3.0 * is_top(norms), sequences=3, tokens=80)
    assert found.p_value == found.smallest_p == pytest.approx(1 / 8)  # three signs


def test_few_experts_are_not_comparable(find: Find) -> None:
    with pytest.raises(NotComparableError, match="need at least 8 experts; this model has 7"):
        find(*noise(0, experts=7))


def test_a_text_in_other_units_is_the_same(find: Find) -> None:
    norms, logits = noise(7)
    plain, scaled = find(norms, logits), find(1000 * norms, logits / 7)
    assert replace(scaled, details={}) == replace(plain, details={})
