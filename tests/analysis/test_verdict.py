"""The decision: every verdict can be reached, and only by the evidence that its definition asks for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.analysis.claim import Claim
from moe_claims.analysis.verdict import decide, p_text, sequences_to_settle
from moe_claims.types import Finding, Interval, Verdict

RISES = Claim(
    id="rises",
    statement="It rises.",
    section="1",
    family="headline",
    needs="text",
    effect="slope",
    smallest=0.10,
    null="labels permuted",
    unit="sequence",
    analysis="nowhere:nothing",
)
FALLS = replace(RISES, id="falls", smallest=-0.10)


def finding(effect: float, half: float = 0.05, **changes: object) -> Finding:
    method = "BCa bootstrap over sequences"
    return replace(
        Finding(
            effect=effect,
            interval=Interval(effect - half, effect + half, 0.95, method),
            equivalence=Interval(effect - 0.84 * half, effect + 0.84 * half, 0.90, method),
            p_value=0.001,
            p_opposite=0.999,
            smallest_p=0.0001,
            n_units=20,
        ),
        **changes,
    )


def verdict(claim: Claim, found: Finding, p: float, q: float = 1.0) -> Verdict:
    return decide(claim, found, p, q, 0.05).verdict


def test_every_verdict_of_a_finding_can_be_reached() -> None:
    assert verdict(RISES, finding(0.30), 0.01) == Verdict.REPLICATED
    assert verdict(RISES, finding(0.05), 0.01) == Verdict.DIRECTION_ONLY
    assert verdict(RISES, finding(-0.30), 1.0, 0.01) == Verdict.CONTRADICTED
    assert verdict(RISES, finding(0.01), 0.40) == Verdict.ABSENT
    assert verdict(RISES, finding(0.30, half=0.50), 0.20) == Verdict.INCONCLUSIVE


@given(effect=st.floats(-2, 2), half=st.floats(0.001, 2), p=st.floats(0, 1), q=st.floats(0, 1))
def test_the_mirror_image_of_a_claim_gets_the_mirrored_verdict(effect: float, half: float, p: float, q: float) -> None:
    mirrored = decide(FALLS, finding(-effect, half), p, q, 0.05).verdict
    assert mirrored == decide(RISES, finding(effect, half), p, q, 0.05).verdict


@given(effect=st.floats(-2, 2), half=st.floats(0.001, 2), p=st.floats(0, 1), q=st.floats(0, 1))
def test_replicated_needs_direction_size_and_significance(effect: float, half: float, p: float, q: float) -> None:
    replicated = verdict(RISES, finding(effect, half), p, q) == Verdict.REPLICATED
    assert replicated == (effect >= RISES.smallest and p <= 0.05)


def test_a_condition_that_does_not_hold_bars_replication() -> None:
    unmet = decide(RISES, finding(0.30, unmet="the jackknife reaches 0"), 0.01, 1.0, 0.05)
    assert (unmet.verdict, unmet.reason) == (Verdict.INCONCLUSIVE, "p = 0.010, but the jackknife reaches 0")
    short = decide(RISES, finding(0.30, falls_short="6 of 8 ranks"), 0.01, 1.0, 0.05)
    assert (short.verdict, short.reason) == (Verdict.DIRECTION_ONLY, "p = 0.010, but 6 of 8 ranks")


def test_a_test_that_cannot_reach_the_level_says_so() -> None:
    hopeless = decide(RISES, finding(0.3, smallest_p=0.25, n_units=3), 0.25, 1.0, 0.05)
    assert hopeless.reason == "with 3 units no p-value below 0.25 can be reached, and that does not pass at 0.05"
    # Alone 0.02 would pass; the correction that made 0.06 of 0.02 bars it.
    barred = decide(RISES, finding(0.3, p_value=0.02, smallest_p=0.02, n_units=6), 0.06, 1.0, 0.05)
    assert barred.reason.startswith("with 6 units no p-value below 0.02 can be reached")


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "p ≤ 0.001"), (0.0009, "p ≤ 0.001"), (0.0491, "p = 0.050"), (1.0, "p = 1.000")]
)
def test_rounding_never_makes_p_smaller(p: float, text: str) -> None:
    assert p_text(p) == text


def test_sequences_to_settle_follow_the_root_law() -> None:
    # A half-width of 0.30 around 0.15 leaves 0 when it is halved, which takes four times as many sequences.
    assert sequences_to_settle(RISES, finding(0.15, half=0.30)) == 80
    # Around 0 it must shrink to the smallest effect, 0.10: nine times as many.
    assert sequences_to_settle(RISES, finding(0.0, half=0.30)) == 180
    assert sequences_to_settle(RISES, finding(0.5, half=0.1)) is None
    assert "about 80 sequences" in decide(RISES, finding(0.15, half=0.30), 0.2, 1.0, 0.05).reason
