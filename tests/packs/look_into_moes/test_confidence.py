"""First against second score, on made-up logits."""

from collections.abc import Callable

import numpy as np
import pytest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes.confidence import top1_confidence
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Verdict

Find = Callable[..., Finding]
LAYERS, SEQUENCES, TOKENS, EXPERTS = 6, 12, 20, 8


@pytest.fixture
def find(made_up_routed: Callable[..., RoutedMeasurement], made_up_weights: Callable[..., WeightMeasurement]) -> Find:
    """(logits (L, 240, E), **fields) → the finding."""

    def run(logits: Floats, **fields: object) -> Finding:
        routed = made_up_routed(router_logits=logits, layers=LAYERS, experts=logits.shape[-1], **fields)
        return top1_confidence(None, Measured(made_up_weights(), routed), np.random.default_rng(0))

    return run


def logits_of(seed: int, static: float, experts: int = EXPERTS) -> Floats:
    rng = np.random.default_rng(seed)
    pattern = static * rng.standard_normal((LAYERS, 1, experts))
    return pattern + rng.standard_normal((LAYERS, SEQUENCES * TOKENS, experts))


def first_ahead(logits: Floats, by: float) -> Floats:
    return logits + by * (logits == logits.max(axis=-1, keepdims=True))


def verdict(finding: Finding) -> Verdict:
    return decide(LIVE["top1-confidence"], finding, finding.p_value, finding.p_opposite, 0.05).verdict


@pytest.mark.parametrize("static", [0.0, 1.0])
def test_a_first_score_ahead_of_the_others_replicates(find: Find, static: float) -> None:
    found = find(first_ahead(logits_of(1, static), 0.5))
    assert verdict(found) == Verdict.REPLICATED
    assert found.interval.low < found.effect < found.interval.high
    assert found.effect == pytest.approx(found.details["mean_log_ratio"] - found.details["mean_log_ratio_of_gaussian"])


def test_two_first_scores_close_together_contradict(find: Find) -> None:
    logits = logits_of(2, 0.0)
    second = np.sort(logits, axis=-1)[..., -2:-1]
    found = find(np.where(logits == second, logits.max(axis=-1, keepdims=True) - 0.01, logits))
    assert verdict(found) == Verdict.CONTRADICTED


def test_gaussian_scores_are_as_they_should_be(find: Find) -> None:
    found = find(logits_of(3, 0.0))
    assert verdict(found) == Verdict.ABSENT
    assert found.effect == pytest.approx(0.0, abs=0.02)


def test_a_static_pattern_that_every_sequence_repeats_does_not_replicate(find: Find) -> None:
    found = [find(logits_of(seed, 5.0)) for seed in range(12)]
    # Over sequences alone the accident of the pattern is mostly significant, one way or the other.
    assert sum(f.details["p_sign_flips"] < 0.05 or f.details["p_sign_flips"] > 0.95 for f in found) >= 9
    assert sum(verdict(f) == Verdict.REPLICATED for f in found) <= 3


def test_ratios_are_those_of_the_softmax(find: Find) -> None:
    logits = logits_of(4, 0.5)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    ordered = np.sort(shares, axis=-1)
    ratio = ordered[..., -1] / ordered[..., -2]
    found = find(logits)
    assert found.details["mean_ratio"] == pytest.approx(ratio.mean())
    assert found.details["median_ratio"] == pytest.approx(np.median(ratio), rel=1e-3)
    assert found.details["mean_log_ratio"] == pytest.approx(np.log(ratio).mean())
    assert find(1e4 * logits).details["mean_ratio"] == np.inf


def test_sequences_weigh_by_their_tokens(find: Find) -> None:
    lengths = np.array([200, 30, 10])
    found = find(logits_of(5, 0.5), sequences=3, lengths=lengths)
    assert found.n_units == 3
    assert found.p_value >= found.smallest_p == pytest.approx(1 / 8)  # three signs
    assert found.effect == pytest.approx(find(logits_of(5, 0.5)).effect)


def test_two_experts_are_not_comparable(find: Find) -> None:
    with pytest.raises(NotComparableError, match="needs at least 3 experts; this model has 2"):
        find(logits_of(0, 0.0, experts=2))
