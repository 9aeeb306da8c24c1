"""Robustness over texts, on made-up measurements in which a claim holds on all texts, on some or on none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from moe_claims.errors import ModelError, NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.packs.look_into_moes import router_norm
from moe_claims.packs.look_into_moes.corpora import corpus_robust, differences, in_units_of, of_smallest
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.stats.heterogeneity import heterogeneity
from moe_claims.types import Finding, Interval, Verdict

CLAIM = LIVE["corpus-robust"]
LAYERS, SEQUENCES, TOKENS, EXPERTS = 12, 12, 20, 8


def judged(finding: Finding) -> Verdict:
    """As if it were the only test."""
    return decide(CLAIM, finding, finding.p_value, finding.p_opposite, 0.05).verdict


@pytest.fixture
def text(made_up_routed: Callable[..., RoutedMeasurement]) -> Callable[..., RoutedMeasurement]:
    """(seed, follows=0, falls=0, jump=0, alike=0) → a text on which scores follow norms, similarity falls …"""

    def make(
        seed: int, follows: float = 0.0, falls: float = 0.0, jump: float = 0.0, alike: float = 0.0
    ) -> RoutedMeasurement:
        rng = np.random.default_rng(seed)
        shape = (LAYERS, SEQUENCES * TOKENS, EXPERTS)
        norms = 1 + rng.random(shape)
        logits = follows * 6 * norms + rng.standard_normal(shape)
        curve = 0.6 - falls * np.linspace(0, 1, LAYERS) + 0.01 * rng.standard_normal(LAYERS)
        curve[-1] += jump
        noise = 0.001 * rng.standard_normal((LAYERS, SEQUENCES))
        sums = TOKENS * (curve[:, None] + noise)[..., None, None] * np.ones((EXPERTS, EXPERTS))
        among = TOKENS * (0.6 + np.stack([alike + noise, noise], axis=-1))
        return made_up_routed(
            layers=LAYERS, output_norms=norms, router_logits=logits, angular_sums=sums, chosen_similarity=among
        )

    return make


Text = Callable[..., RoutedMeasurement]


@pytest.fixture
def run(made_up_weights: Any) -> Callable[..., Finding]:
    """(variant, texts, seed=0, claim=CLAIM) → the finding."""
    weights = made_up_weights(layers=LAYERS)

    def find(variant: str, texts: Mapping[str, Any], seed: int = 0, claim: Claim = CLAIM) -> Finding:
        return claim.estimator(variant, Measured(weights, texts=texts), np.random.default_rng(seed))

    return find


Run = Callable[..., Finding]


def test_a_claim_that_holds_on_every_text_is_robust(text: Text, run: Run) -> None:
    strong, weak, other = text(1, follows=2.0), text(2, follows=0.5), text(3, follows=1.0)
    found = run("router-norm", {"prose": strong, "sums": weak, "code": other})
    assert judged(found) == Verdict.REPLICATED
    assert found.details["weakest_text"] == "sums"
    assert found.effect == found.details["effect on sums"]
    assert found.interval.low < found.effect < found.interval.high
    assert found.interval.method == "smallest of 3 texts, BCa bootstrap over sequences"
    assert found.details["texts_that_could_not_be_run"] is None


@pytest.mark.parametrize(
    ("variant", "planted"),
    [("diversity-depth", {"falls": 0.4}), ("last-layer-outlier", {"jump": 0.5}), ("router-norm", {"follows": 1.0})],
)
def test_every_claim_in_its_own_units(variant: str, planted: dict[str, float], text: Text, run: Run) -> None:
    found = run(variant, {"one": text(1, **planted), "two": text(2, **planted)})
    assert judged(found) == Verdict.REPLICATED
    assert found.effect > 1.0
    none = run(variant, {"one": text(1, **planted), "two": text(2)})
    assert judged(none) != Verdict.REPLICATED
    assert none.effect < 1.0 or none.p_value > 0.05
    turned = {name: -value for name, value in planted.items()}
    reverse = run(variant, {"one": text(1, **turned), "two": text(2, **turned)})
    assert judged(reverse) == Verdict.CONTRADICTED


def test_chosen_experts_are_one_of_the_claims(text: Text, run: Run) -> None:
    texts = {"one": text(1, alike=0.2), "two": text(2, alike=0.1)}
    found = run("chosen-alike", texts)
    assert found.effect == pytest.approx(0.1 / LIVE["chosen-alike"].smallest, abs=0.1)
    assert found.details["weakest_text"] == "two"


def test_numbers_are_those_of_the_single_texts(text: Text, run: Run, made_up_weights: Any) -> None:
    from moe_claims.packs.look_into_moes.depth import output_diversity

    texts = {"one": text(1, falls=0.4), "two": text(2, falls=0.01)}
    rng = np.random.default_rng(0)
    single = [output_diversity(None, Measured(made_up_weights(layers=LAYERS), t), rng) for t in texts.values()]
    found = run("diversity-depth", texts)
    assert found.effect == min(one.effect / -0.30 for one in single)
    assert found.p_value == max(one.p_value for one in single)
    assert found.p_opposite == max(one.p_opposite for one in single)
    assert found.smallest_p == max(one.smallest_p for one in single)
    assert [found.details[f"p on {name}"] for name in texts] == [one.p_value for one in single]
    assert found.n_units == LAYERS - 1
    assert found.interval.low == pytest.approx(min(-one.interval.high / 0.30 for one in single))


def test_the_null_is_that_of_the_text_with_the_largest_p(text: Text, run: Run, made_up_weights: Any) -> None:
    from moe_claims.packs.look_into_moes.depth import output_diversity

    texts = {"one": text(1, falls=0.4), "two": text(2, falls=0.01)}
    rng = np.random.default_rng(0)
    single = [output_diversity(None, Measured(made_up_weights(layers=LAYERS), t), rng) for t in texts.values()]
    assert single[0].p_value < single[1].p_value
    found, own = run("diversity-depth", texts).null_distribution, single[1].null_distribution
    assert found is not None
    assert own is not None
    assert found == replace(own, statistic=f"{LIVE['diversity-depth'].effect}, on 'two'", of_tests=2)


def test_level_where_a_claim_holds_on_one_text_but_not_on_the_other(text: Text, run: Run) -> None:
    holds = text(1_000, follows=2.0)
    found = [run("router-norm", {"one": holds, "two": text(seed)}, seed) for seed in range(12)]
    assert binomtest(sum(f.p_value <= 0.05 for f in found), 12, 0.05, alternative="greater").pvalue > 0.001
    assert all(f.p_value == f.details["p on two"] and f.details["weakest_text"] == "two" for f in found)


def test_what_falls_short_on_one_text_is_said_with_its_name(text: Text, run: Run) -> None:
    claim = corpus_robust([replace(LIVE["router-norm"], estimator=router_norm.diagonal)])
    found = run("router-norm", {"one": text(1, follows=9.0), "two": text(2)}, claim=claim)
    assert found.unmet is None
    assert found.falls_short is not None
    assert found.falls_short.startswith("on 'two' the modal score rank is its own for ")
    assert "on 'one'" not in found.falls_short


def test_texts_that_broke_are_named_and_two_are_enough(text: Text, run: Run) -> None:
    texts = {"one": text(1, follows=1.0), "odd": ModelError("yields NaN"), "two": text(2, follows=1.0)}
    found = run("router-norm", texts)
    assert judged(found) == Verdict.REPLICATED
    assert found.details["texts_that_could_not_be_run"] == "odd"


@pytest.mark.parametrize("names", [(), ("one",), ("one", "odd")])
def test_fewer_than_two_texts_are_not_comparable(names: tuple[str, ...], text: Text, run: Run) -> None:
    texts = {name: ModelError("yields NaN") if name == "odd" else text(1) for name in names}
    expected = "robustness over texts needs two or more: --moe-text builtin --moe-text builtin-math"
    with pytest.raises(NotComparableError, match=expected):
        run("router-norm", texts)


def test_where_the_claim_does_not_apply_neither_does_this(made_up_routed: Any, run: Run) -> None:
    few = made_up_routed(layers=4)
    with pytest.raises(NotComparableError, match="at least 6 MoE layers; this model has 4"):
        run("diversity-depth", {"one": few, "two": few})


# --- the interval of the smallest effect ----------------------------------------------------------


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 1.0, 5.0), (0.0, 0.0, 9.0)])
def test_interval_covers_the_smallest_effect_at_least_at_its_level(truth: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    for level in (0.95, 0.90):
        z = norm.ppf(0.5 + level / 2)
        low, high, trials = 0, 0, 3_000
        for _ in range(trials):
            effects = [float(rng.normal(t, 1.0)) for t in truth]
            interval = of_smallest(effects, [Interval(e - z, e + z, level, "over sequences") for e in effects])
            low += interval.low > min(truth)
            high += interval.high < min(truth)
        for missed in (low, high):
            assert binomtest(missed, trials, (1 - level) / 2, alternative="greater").pvalue > 0.001


def test_interval_of_an_effect_outside_its_own_and_of_points() -> None:
    odd = of_smallest([1.0, 3.0], [Interval(0.5, 0.9, 0.95, "m"), Interval(2.0, 4.0, 0.95, "m")])
    assert (odd.low, odd.high) == (0.5, 0.9)
    point = of_smallest([3.3, 3.3], [Interval(3.3, 3.3, 0.90, "m")] * 2)
    assert (point.low, point.high, point.level) == (3.3, 3.3, 0.90)


def test_units_of_a_negative_claim_turn_the_interval_round() -> None:
    interval = Interval(-0.9, -0.3, 0.95, "m")
    finding = Finding(-0.6, interval, interval, 0.01, 0.9, 0.001, 12)
    scaled = in_units_of(LIVE["diversity-depth"], finding)
    assert scaled.effect == pytest.approx(2.0)
    assert (scaled.interval.low, scaled.interval.high) == pytest.approx((1.0, 3.0))
    assert scaled.p_value == 0.01


# --- differences between texts --------------------------------------------------------------------


def made(effect: float, half: float) -> Finding:
    interval = Interval(effect - half, effect + half, 0.95, "m")
    return Finding(effect, interval, interval, 0.01, 0.9, 0.001, 12)


def test_differences_are_those_of_the_intervals_errors() -> None:
    found = differences({"a": made(1.0, 0.5), "b": made(2.0, 0.25), "c": made(4.0, 1.0)})
    expected = heterogeneity([1.0, 2.0, 4.0], np.array([0.5, 0.25, 1.0]) / norm.ppf(0.975))
    assert found == {
        "cochran_q": pytest.approx(expected.q),
        "cochran_q_p": pytest.approx(expected.p_value),
        "i2": pytest.approx(expected.i2),
        "tau": pytest.approx(expected.tau2**0.5),
    }


def test_an_interval_without_width_gives_no_error_and_no_q(text: Text, run: Run) -> None:
    assert set(differences({"a": made(1.0, 0.5), "b": made(2.0, 0.0)}).values()) == {None}
    found = run("diversity-depth", {"one": text(1, falls=9.0), "two": text(2, falls=9.0)})  # τ = −1 on every resample
    assert found.details["cochran_q"] is None
    assert judged(found) == Verdict.REPLICATED
