"""Claims on intermediate states, on made-up measurements whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.packs.look_into_moes.activations import active_share, same_index, shift_test
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Verdict

Made = Callable[..., RoutedMeasurement]


def judged(claim: str, finding: Finding, says: Any = "holds") -> Verdict:
    """As if it were the only test."""
    return decide(LIVE[claim], finding, finding.p_value, finding.p_opposite, 0.05, says).verdict


def on_text(routed: RoutedMeasurement, made_up_weights: Any) -> Measured:
    return Measured(made_up_weights(), routed)


# --- activation-ratio -----------------------------------------------------------------------------


@pytest.fixture
def active(made_up_routed: Made, made_up_weights: Any) -> Callable[..., Finding]:
    """(share, spread, seed) → the finding for sequences whose shares vary that much around that one."""
    weights = made_up_weights()

    def find(share: float, spread: float = 0.005, seed: int = 0) -> Finding:
        rng = np.random.default_rng(seed)
        shares = np.clip(share + spread * rng.standard_normal((1, 26, 1)), 0, 1) * np.ones((8, 1, 8))
        routed = made_up_routed(sequences=26, active_sums=20 * shares)
        return active_share(None, Measured(weights, routed), rng)

    return find


def test_verdicts_on_the_share(active: Callable[..., Finding]) -> None:
    assert judged("activation-ratio", active(0.996)) == Verdict.REPLICATED
    assert judged("activation-ratio", active(0.253)) == Verdict.CONTRADICTED
    assert judged("activation-ratio", active(0.253), "opposite") == Verdict.REPLICATED
    assert judged("activation-ratio", active(0.950, 0.02)) == Verdict.INCONCLUSIVE


def test_share_at_the_level_itself_holds_it(active: Callable[..., Finding]) -> None:
    found = [active(0.95, 0.01, seed) for seed in range(200)]
    for p in ("p_value", "p_opposite"):
        hits = sum(getattr(finding, p) <= 0.05 for finding in found)
        assert binomtest(hits, 200, 0.05).pvalue > 0.001
    covered = sum(finding.interval.low <= 0.95 <= finding.interval.high for finding in found)
    assert binomtest(covered, 200, 0.95).pvalue > 0.001


def test_share_is_over_tokens_layers_and_experts(made_up_routed: Made, made_up_weights: Any) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 90, 12)
    shares = rng.random((3, 12, 5))
    routed = made_up_routed(layers=3, sequences=12, experts=5, active_sums=shares * lengths[:, None], lengths=lengths)
    finding = active_share(None, on_text(routed, made_up_weights), rng)
    by_layer = np.average(shares.mean(axis=2), axis=1, weights=lengths)
    assert finding.effect == pytest.approx(by_layer.mean(), abs=0.01)  # less the bias of a ratio
    assert finding.details["lowest_layer"] == pytest.approx(by_layer.min())
    assert finding.details["highest_layer"] == pytest.approx(by_layer.max())
    assert finding.n_units == 12


def test_neurons_that_are_all_active_leave_a_point_at_one(made_up_routed: Made, made_up_weights: Any) -> None:
    routed = made_up_routed(active_sums=np.full((8, 12, 8), 20.0))
    finding = active_share(None, on_text(routed, made_up_weights), np.random.default_rng(0))
    assert (finding.effect, finding.interval.low, finding.interval.high) == pytest.approx((1.0, 1.0, 1.0))
    assert judged("activation-ratio", finding) == Verdict.REPLICATED


# --- same-index-neurons ---------------------------------------------------------------------------


def correlations(
    rng: np.random.Generator,
    shared: float,
    layers: int = 8,
    experts: int = 4,
    neurons: int = 12,
    *,
    smooth: bool = False,
) -> Any:
    """(L, m) mean over pairs of the correlation of patterns over indices, shifted by every step.

    A smooth pattern, in which neighbours are alike, starts anywhere in the circle of indices.
    """
    own, starts = rng.standard_normal((layers, experts, neurons)), rng.integers(neurons, size=(layers, experts))
    if smooth:
        angles = 2 * np.pi * (np.arange(neurons) - starts[..., None]) / neurons
        own = 0.3 * own + np.cos(angles)
    values = np.sqrt(shared) * rng.standard_normal((layers, 1, neurons)) + np.sqrt(1 - shared) * own
    values -= values.mean(axis=-1, keepdims=True)
    values /= np.linalg.norm(values, axis=-1, keepdims=True)
    pairs = np.triu_indices(experts, 1)
    steps = []
    for step in range(neurons):
        rolled = np.stack([np.roll(values[:, e], -e * step, axis=-1) for e in range(experts)], axis=1)
        steps.append((rolled @ rolled.transpose(0, 2, 1))[:, pairs[0], pairs[1]].mean(axis=1))
    return np.stack(steps, axis=1)


@pytest.fixture
def indices(made_up_routed: Made, made_up_weights: Any) -> Callable[..., Finding]:
    """(shared, seed, layers, sign) → the finding; every sequence shows the correlation with a little noise."""

    def find(shared: float, seed: int = 0, layers: int = 8, sign: int = 1) -> Finding:
        rng = np.random.default_rng(seed)
        steps = sign * correlations(rng, shared, layers)
        noise = 0.005 * rng.standard_normal((layers, 12))
        sums = 20 * (steps[:, :1] + noise - noise.mean(axis=1, keepdims=True))
        routed = made_up_routed(layers=layers, index_sums=sums, index_shifted=steps)
        return same_index(None, on_text(routed, made_up_weights), rng)

    return find


def test_neurons_that_share_their_index_replicate_and_its_reverse_contradicts(indices: Callable[..., Finding]) -> None:
    found = indices(0.5)
    assert judged("same-index-neurons", found) == Verdict.REPLICATED
    assert found.effect > 0.2
    assert found.smallest_p == 1 / 10_000
    against = indices(0.5, sign=-1)
    assert judged("same-index-neurons", against) == Verdict.CONTRADICTED
    assert (against.effect, against.p_opposite) == (-found.effect, found.p_value)


def test_where_the_paper_says_absent_no_correlation_replicates(made_up_routed: Made, made_up_weights: Any) -> None:
    rng = np.random.default_rng(1)
    routed = made_up_routed(index_sums=0.2 * rng.standard_normal((8, 12)), index_shifted=0.01 * rng.random((8, 12)))
    found = same_index(None, on_text(routed, made_up_weights), rng)
    assert judged("same-index-neurons", found) == Verdict.ABSENT
    assert judged("same-index-neurons", found, "absent") == Verdict.REPLICATED


def test_index_numbers_of_the_report(made_up_routed: Made, made_up_weights: Any) -> None:
    rng = np.random.default_rng(2)
    steps, lengths = correlations(rng, 0.3, 3), rng.integers(5, 50, 12)
    r = rng.standard_normal((3, 12))
    routed = made_up_routed(layers=3, lengths=lengths, index_sums=r * lengths, index_shifted=steps)
    finding = same_index(None, on_text(routed, made_up_weights), rng)
    by_layer = np.average(r, axis=1, weights=lengths)
    assert finding.effect == pytest.approx(by_layer.mean())
    assert finding.details["r_lowest_layer"] == pytest.approx(by_layer.min())
    assert finding.details["r_mean_over_steps"] == pytest.approx(steps.mean())
    assert finding.interval.low < finding.effect < finding.interval.high
    assert finding.interval.method == "BCa bootstrap over sequences"


def test_one_expert_is_not_comparable(made_up_routed: Made, made_up_weights: Any) -> None:
    routed = made_up_routed(experts=1, top_k=1)
    with pytest.raises(NotComparableError, match="need at least 2 experts; this model has 1"):
        same_index(None, on_text(routed, made_up_weights), np.random.default_rng(0))


# --- the test by shifting -------------------------------------------------------------------------


def test_few_steps_are_enumerated_and_the_rest_drawn() -> None:
    rng = np.random.default_rng(3)
    one = shift_test(np.array([[3.0, 1.0, 2.0, 0.0]]), rng=rng)
    assert (one.p_greater, one.p_less, one.smallest_p, one.exact) == (1 / 4, 1.0, 1 / 4, True)
    steps = rng.standard_normal((3, 5))
    several = shift_test(steps, rng=rng)
    sums = [steps[0, a] + steps[1, b] + steps[2, c] for a in range(5) for b in range(5) for c in range(5)]
    expected = np.mean(np.asarray(sums) >= steps[:, 0].sum() - 1e-9)
    assert (several.p_greater, several.smallest_p) == (pytest.approx(expected), 1 / 125)
    drawn = shift_test(rng.standard_normal((3, 40)), rng=rng)
    assert not drawn.exact
    assert drawn.smallest_p == 1 / 10_000


@pytest.mark.parametrize("smooth", [False, True])
def test_patterns_that_share_no_index_hold_the_level(smooth: bool) -> None:
    rng = np.random.default_rng(6)
    found = [shift_test(correlations(rng, 0.0, smooth=smooth), rng=rng, resamples=999) for _ in range(300)]
    for p in ("p_greater", "p_less"):
        assert binomtest(sum(getattr(one, p) <= 0.05 for one in found), 300, 0.05).pvalue > 0.001
    assert kstest([one.p_greater for one in found], "uniform").pvalue > 0.001


def test_drawn_steps_agree_with_enumerated_ones() -> None:
    rng = np.random.default_rng(4)
    steps = rng.standard_normal((2, 250))
    sums = np.add.outer(steps[0], steps[1])
    exact = float((sums >= steps[:, 0].sum() - 1e-9).mean())
    drawn = shift_test(steps, rng=rng, resamples=20_000).p_greater
    assert binomtest(round(drawn * 20_001) - 1, 20_000, exact).pvalue > 0.001


def test_order_of_layers_means_nothing(made_up_routed: Made, made_up_weights: Any) -> None:
    steps = correlations(np.random.default_rng(5), 0.1, 4, neurons=6)
    routed = made_up_routed(layers=4, index_shifted=steps, index_sums=20 * np.repeat(steps[:, :1], 12, axis=1))
    turned = replace(routed, index_shifted=steps[::-1], index_sums=routed.index_sums[::-1])
    plain, other = (same_index(None, on_text(r, made_up_weights), np.random.default_rng(0)) for r in (routed, turned))
    assert (other.p_value, other.p_opposite) == (plain.p_value, plain.p_opposite)  # 6⁴ steps are enumerated
    assert other.effect == pytest.approx(plain.effect)
