"""Claims on which experts are chosen, on made-up choices whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, entropy

from moe_claims.errors import ModelError, NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.packs.look_into_moes.routing import balanced, loads_by_sequence, normalised_entropy, runs, tuning_keeps
from moe_claims.types import Finding, Verdict

Made = Callable[..., RoutedMeasurement]
Array = np.ndarray[Any, Any]
LAYERS, SEQUENCES, TOKENS, EXPERTS = 8, 12, 20, 8
SHAPE = (LAYERS, SEQUENCES * TOKENS, EXPERTS)


def judged(claim: str, finding: Finding) -> Verdict:
    """As if it were the only test."""
    return decide(LIVE[claim], finding, finding.p_value, finding.p_opposite, 0.05).verdict


def noise(seed: int, favourites: float = 0.0, topics: float = 0.0, stay: float = 0.0) -> Array:
    """(L, T, E) scores: experts that are always liked, liked by a sequence, or liked as long as by the last token."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(SHAPE)
    for token in range(1, SHAPE[1]):
        scores[:, token] = stay * scores[:, token - 1] + (1 - stay**2) ** 0.5 * scores[:, token]
    scores += favourites * rng.standard_normal((LAYERS, 1, EXPERTS))
    return np.asarray(scores + topics * np.repeat(rng.standard_normal((LAYERS, SEQUENCES, EXPERTS)), TOKENS, axis=1))


@pytest.fixture
def measured(made_up_routed: Made, made_up_weights: Any) -> Callable[..., Measured]:
    """(scores, second=None) → what is measured of a model with these scores, and of a second one."""

    weights = made_up_weights()

    def make(scores: Array, second: Array | None = None, top_k: int = 2) -> Measured:
        routed = [None if s is None else made_up_routed(top_k=top_k, router_logits=s) for s in (scores, second)]
        return Measured(weights, routed[0], second=routed[1])

    return make


Measure = Callable[..., Measured]


def found(analysis: Any, given: Measured, seed: int = 0) -> Finding:
    finding: Finding = analysis(None, given, np.random.default_rng(seed))
    return finding


# --- balanced-routing -----------------------------------------------------------------------------


def test_even_loads_replicate_favourites_contradict_and_those_between_stay_open(measured: Measure) -> None:
    assert judged("balanced-routing", found(balanced, measured(noise(1)))) == Verdict.REPLICATED
    assert judged("balanced-routing", found(balanced, measured(noise(1, favourites=2.0)))) == Verdict.CONTRADICTED
    between = found(balanced, measured(noise(4, favourites=0.7, topics=1.5)))
    assert judged("balanced-routing", between) == Verdict.INCONCLUSIVE
    assert between.interval.low < 0.95 < between.interval.high


def test_topics_of_sequences_do_not_pass_for_favourites(measured: Measure) -> None:
    # Any expert is as likely to be liked by a sequence as another: even over all text, if not over a dozen sequences.
    finding = found(balanced, measured(noise(4, topics=4.0)))
    assert judged("balanced-routing", finding) == Verdict.REPLICATED
    plain = finding.details["entropy_without_correction"]
    assert isinstance(plain, float)
    assert plain < 0.96 < finding.interval.low


def test_entropy_and_loads_against_scipy(measured: Measure) -> None:
    given = measured(noise(2, favourites=0.7))
    finding, chosen = found(balanced, given), given.routed.chosen
    loads = np.asarray([np.bincount(layer.ravel(), minlength=EXPERTS) for layer in chosen])
    by_layer = entropy(loads, axis=1) / np.log(EXPERTS)
    assert finding.details["entropy_without_correction"] == pytest.approx(by_layer.mean())
    assert finding.details["entropy_lowest_layer"] == pytest.approx(by_layer.min())
    assert finding.details["largest_load_over_mean_load"] == pytest.approx(
        (loads.max(axis=1) / loads.mean(axis=1)).max()
    )
    assert finding.details["smallest_load_over_mean_load"] == pytest.approx(
        (loads.min(axis=1) / loads.mean(axis=1)).min()
    )
    assert finding.effect == pytest.approx(by_layer.mean(), abs=0.01)
    assert finding.interval.method == "jackknife over sequences"
    assert finding.interval.high <= 1.0


def test_loads_are_counted_by_sequence(made_up_routed: Made) -> None:
    lengths = np.array([3, 1, 5])
    chosen = np.random.default_rng(0).random((2, 9, 4)).argsort(axis=-1)[..., :3]
    routed = made_up_routed(layers=2, lengths=lengths, router_logits=np.zeros((2, 9, 4)), chosen=chosen)
    counts = loads_by_sequence(routed)
    assert counts.shape == (3, 2, 4)
    for sequence, (start, stop) in enumerate(((0, 3), (3, 4), (4, 9))):
        for layer in range(2):
            for expert in range(4):
                assert counts[sequence, layer, expert] == (chosen[layer, start:stop] == expert).sum()


def test_entropy_of_one_expert_alone_is_none() -> None:
    assert normalised_entropy(np.array([[0.0, 7.0, 0.0], [2.0, 2.0, 2.0]])).tolist() == pytest.approx([0.0, 1.0])


def test_true_entropy_at_the_level_holds_it(measured: Measure) -> None:
    # Experts liked unequally, so that loads have a normalised entropy of about 0.95 over very many tokens.
    offsets = np.linspace(-0.45, 0.45, EXPERTS)
    scores = np.random.default_rng(0).standard_normal((200_000, EXPERTS)) + offsets
    truth = entropy(np.bincount(scores.argmax(axis=1), minlength=EXPERTS)) / np.log(EXPERTS)
    assert truth == pytest.approx(0.95, abs=0.01)
    findings = [found(balanced, measured(noise(seed) + offsets, top_k=1)) for seed in range(100)]
    covered = sum(finding.interval.low <= truth <= finding.interval.high for finding in findings)
    assert binomtest(covered, 100, 0.95).pvalue > 0.001


# --- routing-runs ---------------------------------------------------------------------------------


def test_tokens_that_stay_with_their_expert_replicate(measured: Measure) -> None:
    finding = found(runs, measured(noise(1, stay=0.8)))
    assert judged("routing-runs", finding) == Verdict.REPLICATED
    assert finding.effect == pytest.approx(
        finding.details["share_in_runs"] - finding.details["share_in_random_order"]  # type: ignore[operator]
    )
    assert finding.interval.low < finding.effect < finding.interval.high
    assert finding.smallest_p == 1 / 2**SEQUENCES  # sign flips of twelve sequences


@pytest.mark.parametrize(("favourites", "topics"), [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0)])
def test_runs_that_loads_explain_do_not(favourites: float, topics: float, measured: Measure) -> None:
    many = [found(runs, measured(noise(seed, favourites, topics)), seed) for seed in range(20)]
    assert sum(judged("routing-runs", finding) == Verdict.REPLICATED for finding in many) == 0
    assert binomtest(sum(f.p_value <= 0.05 for f in many), len(many), 0.05, alternative="greater").pvalue > 0.001
    if favourites:
        assert min(float(f.details["share_in_runs"] or 0) for f in many) > 0.1  # there are runs, but no more than due


def test_experts_that_alternate_contradict(measured: Measure) -> None:
    scores = np.zeros(SHAPE)
    position = np.arange(SHAPE[1]) % TOKENS
    scores[:, :, 0] = position % 5 != 4  # four times running, then another
    scores[:, :, 1] = position % 5 == 4
    finding = found(runs, measured(scores, top_k=1))
    assert finding.effect < 0
    assert judged("routing-runs", finding) == Verdict.CONTRADICTED


def test_runs_end_with_the_sequence(made_up_routed: Made, made_up_weights: Any) -> None:
    chosen = np.repeat(np.arange(8) % 2, 4)[None, :, None]  # four of a kind, 4 tokens a sequence, then joined in eights
    short, joined = (
        made_up_routed(layers=1, lengths=np.full(32 // n, n), router_logits=np.zeros((1, 32, 3)), chosen=chosen)
        for n in (4, 8)
    )
    with pytest.raises(NotComparableError, match="runs of 5 tokens need at least 2 sequences that are as long"):
        found(runs, Measured(made_up_weights(), short))
    assert found(runs, Measured(made_up_weights(), joined)).details["share_in_runs"] == 0.0


def test_long_sequences_alone_are_counted(measured: Measure) -> None:
    given = measured(noise(3, stay=0.8))
    lengths = np.array([TOKENS] * (SEQUENCES - 1) + [4] * 5)
    finding = found(runs, Measured(given.weights, replace(given.routed, lengths=lengths)))
    assert finding.n_units == SEQUENCES - 1


# --- tuning-keeps-routing -------------------------------------------------------------------------


def test_a_second_model_that_chooses_nearly_alike_replicates(measured: Measure) -> None:
    first = noise(1)
    second = first + 0.3 * noise(2)
    given = measured(first, second)
    finding = found(tuning_keeps, given)
    assert judged("tuning-keeps-routing", finding) == Verdict.REPLICATED
    same = [
        [len(set(a) & set(b)) / 2 for a, b in zip(one, other, strict=True)]
        for one, other in zip(given.routed.chosen.tolist(), given.second_routed.chosen.tolist(), strict=True)
    ]
    agreement = np.mean(same)
    assert finding.details["agreement"] == pytest.approx(agreement)
    loads = [np.asarray([np.bincount(c.ravel(), minlength=8) for c in r.chosen]) / SHAPE[1]
             for r in (given.routed, given.second_routed)]  # fmt: skip
    chance = (loads[0] * loads[1]).sum(axis=1) / 2
    assert finding.details["agreement_by_chance"] == pytest.approx(chance.mean())
    assert finding.effect == pytest.approx(((np.mean(same, axis=1) - chance) / (1 - chance)).mean())
    assert finding.details["top1_agreement"] == pytest.approx(
        (given.routed.chosen[..., 0] == given.second_routed.chosen[..., 0]).mean()
    )


def test_the_same_model_agrees_wholly(measured: Measure) -> None:
    first = noise(3, favourites=1.0)
    finding = found(tuning_keeps, measured(first, first))
    assert (finding.effect, finding.interval.low, finding.interval.high) == pytest.approx((1.0, 1.0, 1.0))
    assert finding.p_value == finding.smallest_p


@pytest.mark.parametrize("favourites", [0.0, 1.5])
def test_the_same_favourites_are_no_agreement(favourites: float, measured: Measure) -> None:
    many = []
    for seed in range(25):
        liked = favourites * np.random.default_rng(seed).standard_normal((LAYERS, 1, EXPERTS))
        many.append(found(tuning_keeps, measured(noise(seed) + liked, noise(seed + 1_000) + liked), seed))
    assert binomtest(sum(f.p_value <= 0.05 for f in many), len(many), 0.05, alternative="greater").pvalue > 0.001
    assert abs(np.mean([f.effect for f in many])) < 0.01
    assert all(f.equivalence.inside(0.5) for f in many)
    assert all(judged("tuning-keeps-routing", f) != Verdict.REPLICATED for f in many)
    if favourites:
        assert np.mean([float(f.details["agreement"] or 0) for f in many]) > 0.4


def test_labels_that_were_exchanged_are_no_agreement(measured: Measure) -> None:
    first = noise(5)
    finding = found(tuning_keeps, measured(first, np.roll(first, 1, axis=-1)))
    assert finding.effect < 0
    assert judged("tuning-keeps-routing", finding) != Verdict.REPLICATED


def test_experts_that_are_always_chosen_by_both_say_nothing(measured: Measure) -> None:
    scores = noise(6)
    scores[..., 0] = 9.0
    finding = found(tuning_keeps, measured(scores, scores, top_k=1))
    assert finding.effect == 0.0
    assert finding.p_value == 1.0


def test_names_of_experts_mean_nothing(measured: Measure) -> None:
    rng = np.random.default_rng(7)
    first = noise(7, favourites=0.5, stay=0.5)
    second, names = first + noise(8), rng.permutation(EXPERTS)
    plain, renamed = measured(first, second), measured(first[..., names], second[..., names])
    for analysis in (balanced, runs, tuning_keeps):
        one, other = found(analysis, plain), found(analysis, renamed)
        assert other.effect == pytest.approx(one.effect)
        assert (other.interval.low, other.interval.high) == pytest.approx((one.interval.low, one.interval.high))
        assert other.p_value == pytest.approx(one.p_value, abs=0.02)


# --- where they do not apply ----------------------------------------------------------------------


@pytest.mark.parametrize("analysis", [balanced, runs, tuning_keeps])
def test_all_experts_chosen_is_no_choice(analysis: Any, measured: Measure) -> None:
    given = measured(noise(1), noise(2), top_k=EXPERTS)
    with pytest.raises(NotComparableError, match="every token chooses all 8 experts"):
        found(analysis, given)


def test_a_second_model_is_asked_for_and_must_fit(made_up_routed: Made, made_up_weights: Any) -> None:
    first = made_up_routed()
    with pytest.raises(NotComparableError, match="--moe-second-model NAME gives one"):
        found(tuning_keeps, Measured(made_up_weights(), first))
    with pytest.raises(ModelError, match="broken"):
        found(tuning_keeps, Measured(made_up_weights(), first, second=ModelError("broken")))
    expected = r"the second model has 8 MoE layers, top 2 of 6, this one 8 MoE layers, top 2 of 8"
    with pytest.raises(NotComparableError, match=expected):
        found(tuning_keeps, Measured(made_up_weights(), first, second=made_up_routed(experts=6)))
    with pytest.raises(NotComparableError, match="top 3 of 8"):
        found(tuning_keeps, Measured(made_up_weights(), first, second=made_up_routed(top_k=3)))
    with pytest.raises(NotComparableError, match="read the text as other tokens"):
        found(tuning_keeps, Measured(made_up_weights(), first, second=made_up_routed(tokens=21)))
