"""What stands beside the association of norms and scores: agreement at the top, with intervals over sequences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.router_norm import association, at_the_top, chosen_by_norm

SEQUENCES, TOKENS = 12, 20


def by_hand(norms: np.ndarray, logits: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    """Top-1 agreement and top-k overlap, token by token."""
    first, overlap = [], []
    for layer in range(len(norms)):
        for token in range(norms.shape[1]):
            order = list(np.argsort(-norms[layer, token]))
            first.append(order[0] == int(np.argmax(logits[layer, token])))
            k = chosen.shape[-1]
            overlap.append(len(set(order[:k]) & set(chosen[layer, token].tolist())) / k)
    return float(np.mean(first)), float(np.mean(overlap))


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_shares_are_those_counted_token_by_token(made_up_routed, top_k: int) -> None:
    rng = np.random.default_rng(top_k)
    norms = 1 + rng.random((4, SEQUENCES * TOKENS, 8))
    logits = norms + 0.3 * rng.standard_normal(norms.shape)
    routed = made_up_routed(4, SEQUENCES, TOKENS, 8, top_k, router_logits=logits, output_norms=norms)
    found = at_the_top(routed, np.random.default_rng(0))
    assert tuple(one.value for one in found.values()) == pytest.approx(by_hand(norms, logits, routed.chosen))
    assert found["top-k overlap"].value == pytest.approx(chosen_by_norm(routed)["top_k_overlap"])
    for one in found.values():
        assert one.interval.low < one.value < one.interval.high
        assert (one.interval.level, one.interval.method) == (0.95, "BCa bootstrap over sequences")


def test_sequences_of_different_lengths_count_by_their_tokens(made_up_routed) -> None:
    lengths = np.array([3, 40, 7, 30])
    rng = np.random.default_rng(3)
    norms = 1 + rng.random((2, 80, 6))
    logits = norms + 0.3 * rng.standard_normal(norms.shape)
    routed = made_up_routed(2, 4, 20, 6, lengths=lengths, router_logits=logits, output_norms=norms)
    found = at_the_top(routed, np.random.default_rng(0))
    assert tuple(one.value for one in found.values()) == pytest.approx(by_hand(norms, logits, routed.chosen))


def test_scores_that_are_norms_agree_wholly_and_those_against_them_not_at_all(made_up_routed) -> None:
    norms = 1 + np.random.default_rng(0).random((3, SEQUENCES * TOKENS, 8))
    same = at_the_top(made_up_routed(3, router_logits=norms, output_norms=norms), np.random.default_rng(0))
    assert {name: one.value for name, one in same.items()} == {"top-1 agreement": 1.0, "top-k overlap": 1.0}
    against = at_the_top(made_up_routed(3, router_logits=-norms, output_norms=norms), np.random.default_rng(0))
    assert {one.value for one in against.values()} == {0.0}


def test_norms_that_tie_share_their_places(made_up_routed) -> None:
    # Experts that are copies of each other: no order among them, so what is left is chance.
    routed = made_up_routed(3, SEQUENCES, TOKENS, 8, 2, output_norms=np.ones((3, SEQUENCES * TOKENS, 8)))
    found = at_the_top(routed, np.random.default_rng(0))
    assert found["top-1 agreement"].value == pytest.approx(1 / 8)
    assert found["top-k overlap"].value == pytest.approx(2 / 8)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_names_of_experts_do_not_matter(made_up_routed, seed: int) -> None:
    rng = np.random.default_rng(seed)
    norms = rng.integers(1, 4, size=(2, 24, 6)).astype(float)  # with ties
    logits = rng.standard_normal(norms.shape)
    order = rng.permutation(6)
    plain = made_up_routed(2, 4, 6, 6, router_logits=logits, output_norms=norms)
    named = made_up_routed(2, 4, 6, 6, router_logits=logits[..., order], output_norms=norms[..., order])
    one, other = (at_the_top(routed, np.random.default_rng(0)) for routed in (plain, named))
    for name in one:
        assert one[name].value == pytest.approx(other[name].value)


def test_intervals_hold_the_truth_as_often_as_they_say(made_up_routed) -> None:
    # Unrelated norms and scores: the truth is chance. Sequences share a pattern of their own, so that
    # counting tokens as independent would make the intervals far too narrow.
    held = {"top-1 agreement": 0, "top-k overlap": 0}
    trials = 60
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        static = np.repeat(rng.standard_normal((1, SEQUENCES, 8)), TOKENS, axis=1)
        norms = np.exp(static + 0.3 * rng.standard_normal((1, SEQUENCES * TOKENS, 8)))
        logits = np.repeat(rng.standard_normal((1, SEQUENCES, 8)), TOKENS, axis=1)
        logits = logits + 0.3 * rng.standard_normal(norms.shape)
        found = at_the_top(made_up_routed(1, router_logits=logits, output_norms=norms), rng)
        for name, truth in (("top-1 agreement", 1 / 8), ("top-k overlap", 2 / 8)):
            held[name] += found[name].interval.low <= truth <= found[name].interval.high
    for name, count in held.items():
        assert binomtest(count, trials, 0.95).pvalue > 0.001, f"{name} was held {count} of {trials} times"


def test_companions_stand_beside_the_total_alone_and_change_nothing_of_it(made_up_routed) -> None:
    routed = made_up_routed()
    total = association("total", Measured(weights=None, text=routed), np.random.default_rng(0))
    assert set(total.companions) == {"top-1 agreement", "top-k overlap"}
    specific = association("token-specific", Measured(weights=None, text=routed), np.random.default_rng(0))
    assert specific.companions == {}
