"""The decision: every verdict can be reached, and only by the evidence that its definition asks for."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moe_claims.judge.claim import Claim, PaperSays
from moe_claims.judge.verdict import Decision, decide, p_text
from moe_claims.types import Finding, Interval, Verdict

RISES = Claim(
    id="rises",
    statement="It rises.",
    section="1",
    family="headline",
    needs="text",
    effect="slope",
    smallest=0.10,
    null="signs of whole sequences flipped",
    unit="sequence",
    estimator=lambda variant, measured, rng: finding(0.3),
)
FALLS = replace(RISES, id="falls", smallest=-0.10)
NEGLIGIBLE = replace(RISES, id="negligible", smallest=0.20, negligible=0.05)
REACHES = replace(RISES, id="reaches", smallest=0.95, rule="level", null="at most 0.95 (jackknife t over sequences)")
SIZE = {Verdict.REPLICATED: 2, Verdict.DIRECTION_ONLY: 1}

EFFECTS, HALVES, PS = st.floats(-2, 2), st.floats(0.001, 2), st.floats(0, 1)
CLAIMS = st.sampled_from([RISES, FALLS, NEGLIGIBLE, REACHES])
SAYS: list[PaperSays] = ["holds", "absent", "opposite"]


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


def judge(claim: Claim, found: Finding, p: float, q: float = 1.0, says: PaperSays = "holds") -> Decision:
    return decide(claim, found, p, q, 0.05, says)


def verdict(claim: Claim, found: Finding, p: float, q: float = 1.0, says: PaperSays = "holds") -> Verdict:
    return judge(claim, found, p, q, says).verdict


# --- claims of a difference ----------------------------------------------------------------------


def test_every_verdict_of_a_finding_can_be_reached() -> None:
    assert verdict(RISES, finding(0.30), 0.01) == Verdict.REPLICATED
    assert verdict(RISES, finding(0.05), 0.01) == Verdict.DIRECTION_ONLY
    assert verdict(RISES, finding(-0.30), 1.0, 0.01) == Verdict.CONTRADICTED
    assert verdict(RISES, finding(0.01), 0.40) == Verdict.ABSENT
    assert verdict(RISES, finding(0.30, half=0.50), 0.20) == Verdict.INCONCLUSIVE


@given(effect=EFFECTS, half=HALVES, p=PS, q=PS, says=st.sampled_from(SAYS))
def test_the_mirror_image_of_a_claim_gets_the_mirrored_verdict(
    effect: float, half: float, p: float, q: float, says: PaperSays
) -> None:
    mirrored = verdict(FALLS, finding(-effect, half), p, q, says)
    assert mirrored == verdict(RISES, finding(effect, half), p, q, says)


@given(effect=EFFECTS, half=HALVES, p=PS, q=PS)
def test_replicated_needs_direction_size_and_significance(effect: float, half: float, p: float, q: float) -> None:
    replicated = verdict(RISES, finding(effect, half), p, q) == Verdict.REPLICATED
    assert replicated == (effect >= RISES.smallest and p <= 0.05)


@given(claim=CLAIMS, effect=EFFECTS, half=HALVES, p=PS, smaller=PS, q=PS)
def test_a_smaller_p_never_weakens_a_verdict(
    claim: Claim, effect: float, half: float, p: float, smaller: float, q: float
) -> None:
    before, after = (verdict(claim, finding(effect, half), value, q) for value in (p, min(p, smaller)))
    assert SIZE.get(after, 0) >= SIZE.get(before, 0)
    if before != after:
        assert after in SIZE


@given(
    claim=CLAIMS, effect=EFFECTS, half=HALVES, p=PS, q=PS, unit=st.floats(0.01, 100), says=st.sampled_from(SAYS)
)  # fmt: skip
def test_the_unit_of_measurement_changes_no_verdict(
    claim: Claim, effect: float, half: float, p: float, q: float, unit: float, says: PaperSays
) -> None:
    plain = finding(effect, half)
    ends = (plain.interval.low, plain.interval.high, plain.equivalence.low, plain.equivalence.high, effect)
    bounds = (claim.smallest, claim.equivalence, -claim.equivalence)
    assume(min(abs(abs(end) - abs(bound)) for end in ends for bound in (*bounds, 0.0)) > 1e-9)
    negligible = None if claim.negligible is None else unit * claim.negligible
    scaled = replace(claim, smallest=unit * claim.smallest, negligible=negligible)
    found = decide(scaled, finding(unit * effect, unit * half), p, q, 0.05, says)
    assert found.verdict == verdict(claim, plain, p, q, says)


@given(claim=CLAIMS, effect=EFFECTS, half=HALVES, p=PS, q=PS, says=st.sampled_from(SAYS))
def test_every_decision_has_one_reason_in_one_line(
    claim: Claim, effect: float, half: float, p: float, q: float, says: PaperSays
) -> None:
    reason = judge(claim, finding(effect, half), p, q, says).reason
    assert reason
    assert "\n" not in reason
    assert not reason.endswith(".")


def test_none_is_judged_by_the_bound_of_equivalence_and_not_by_the_smallest_effect() -> None:
    assert verdict(NEGLIGIBLE, finding(0.01, half=0.02), 0.4) == Verdict.ABSENT
    assert verdict(NEGLIGIBLE, finding(0.01, half=0.10), 0.4) == Verdict.INCONCLUSIVE  # within ±0.20, not ±0.05
    assert "±0.05: equivalent to none" in judge(NEGLIGIBLE, finding(0.01, half=0.02), 0.4).reason
    assert verdict(NEGLIGIBLE, finding(0.10), 0.01) == Verdict.DIRECTION_ONLY


def test_a_negligible_effect_in_the_other_direction_is_contradicted_with_its_size_said() -> None:
    small = judge(RISES, finding(-0.02, half=0.01), 1.0, 0.01)
    assert small.verdict == Verdict.CONTRADICTED
    assert small.reason == "p = 0.010 in the other direction, though less than the smallest effect of interest"
    assert judge(RISES, finding(-0.30), 1.0, 0.01).reason == "p = 0.010 in the other direction"


@pytest.mark.parametrize("effect", [1e-17, -1e-17, 0.0])
def test_rounding_has_no_direction(effect: float) -> None:
    # Sequences that are all alike differ by rounding, which has the same sign in every one.
    assert verdict(RISES, finding(effect, half=1e-18), 0.0001, 0.0001) == Verdict.ABSENT


def test_a_condition_that_does_not_hold_bars_replication() -> None:
    unmet = judge(RISES, finding(0.30, unmet="the jackknife reaches 0"), 0.01)
    assert unmet.verdict == Verdict.INCONCLUSIVE
    assert unmet.reason.startswith("p = 0.010, but the jackknife reaches 0; ")
    short = judge(RISES, finding(0.30, falls_short="6 of 8 ranks"), 0.01)
    assert (short.verdict, short.reason) == (Verdict.DIRECTION_ONLY, "p = 0.010, but 6 of 8 ranks")


def test_a_test_that_cannot_reach_the_level_says_so() -> None:
    hopeless = judge(RISES, finding(0.3, p_value=0.25, smallest_p=0.25, n_units=2), 0.25)
    said = "no p-value below 0.25 can be reached here, 0.25 after correction, and that does not pass at 0.05"
    assert hopeless.reason.startswith(said)
    # Alone 0.02 would pass; the correction that made 0.06 of 0.02 bars it.
    barred = judge(RISES, finding(0.3, p_value=0.02, smallest_p=0.02, n_units=6), 0.06)
    assert barred.reason.startswith("no p-value below 0.02 can be reached here, 0.06 after correction")


def test_the_best_p_of_the_whole_family_counts_before_its_bound_in_proportion() -> None:
    found = finding(0.30, half=0.5, p_value=0.5, smallest_p=0.01)
    assert "can be reached" not in decide(RISES, found, 0.7, 1.0, 0.05).reason  # 0.014 in proportion
    known = decide(RISES, found, 0.7, 1.0, 0.05, p_at_best=0.13)
    assert "no p-value below 0.01 can be reached here, 0.13 after correction" in known.reason


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "p ≤ 0.001"), (0.0009, "p ≤ 0.001"), (0.0491, "p = 0.050"), (1.0, "p = 1.000")]
)
def test_rounding_never_makes_p_smaller(p: float, text: str) -> None:
    assert p_text(p) == text


# --- claims of a level ---------------------------------------------------------------------------


def test_a_level_is_reached_by_the_whole_interval_and_the_test() -> None:
    assert verdict(REACHES, finding(0.98, half=0.02), 0.01) == Verdict.REPLICATED
    assert verdict(REACHES, finding(0.98, half=0.04), 0.01) == Verdict.INCONCLUSIVE
    assert verdict(REACHES, finding(0.98, half=0.02), 0.06) == Verdict.INCONCLUSIVE
    assert verdict(REACHES, finding(0.25, half=0.02), 1.0, 0.01) == Verdict.CONTRADICTED
    assert verdict(REACHES, finding(0.25, half=0.02), 1.0, 0.06) == Verdict.INCONCLUSIVE
    assert verdict(REACHES, finding(0.94, half=0.02), 1.0, 0.01) == Verdict.INCONCLUSIVE
    assert judge(REACHES, finding(0.98, half=0.02), 0.01).reason == (
        "p = 0.010: the whole interval lies at or above 0.95"
    )
    assert judge(REACHES, finding(0.25, half=0.02), 1.0, 0.01).reason == (
        "p = 0.010: the whole interval lies below 0.95"
    )


@given(effect=st.floats(0, 1), half=HALVES, p=PS, q=PS)
def test_a_level_is_never_equivalent_to_none(effect: float, half: float, p: float, q: float) -> None:
    # The smallest effect of interest is the level itself here, and no bound around 0.
    assert verdict(REACHES, finding(effect, half), p, q) in (
        Verdict.REPLICATED,
        Verdict.CONTRADICTED,
        Verdict.INCONCLUSIVE,
    )


def test_conditions_count_for_a_level_too() -> None:
    unmet = judge(REACHES, finding(0.98, half=0.01, unmet="one expert is never chosen"), 0.01)
    assert unmet.verdict == Verdict.INCONCLUSIVE
    assert unmet.reason.startswith("p = 0.010, but one expert is never chosen")
    short = judge(REACHES, finding(0.98, half=0.01, falls_short="not in every layer"), 0.01)
    assert (short.verdict, short.reason) == (Verdict.DIRECTION_ONLY, "p = 0.010, but not in every layer")


# --- where the paper says that a claim does not hold ---------------------------------------------


def test_finding_none_where_the_paper_finds_none_replicates() -> None:
    none = judge(RISES, finding(0.01), 0.40, says="absent")
    assert none.verdict == Verdict.REPLICATED
    assert none.reason.startswith("the paper finds none here, and there is none: the 90 % interval lies within ±0.1")


def test_a_significant_effect_that_is_as_good_as_none_replicates_none() -> None:
    # 64 experts in 27 layers make a cosine of 0.004 significant; it is about 0 all the same.
    tiny = finding(0.004, half=0.001)
    assert verdict(NEGLIGIBLE, tiny, 0.001) == Verdict.DIRECTION_ONLY
    assert verdict(NEGLIGIBLE, tiny, 0.001, says="absent") == Verdict.REPLICATED
    assert verdict(NEGLIGIBLE, finding(-0.004, half=0.001), 1.0, 0.001, says="absent") == Verdict.REPLICATED


def test_finding_the_claim_where_the_paper_finds_none_contradicts() -> None:
    assert verdict(RISES, finding(0.30), 0.01, says="absent") == Verdict.CONTRADICTED
    assert verdict(RISES, finding(-0.30), 1.0, 0.01, says="absent") == Verdict.CONTRADICTED
    # Below the smallest effect of interest, but surely more than about 0.
    between = judge(NEGLIGIBLE, finding(0.12, half=0.03), 0.01, says="absent")
    assert between.verdict == Verdict.CONTRADICTED
    assert between.reason == "the paper finds none here, but p = 0.010 and the effect lies beyond ±0.05"


def test_significant_yet_perhaps_as_good_as_none_is_open() -> None:
    found = judge(NEGLIGIBLE, finding(0.06, half=0.04), 0.01, says="absent")
    assert found.verdict == Verdict.INCONCLUSIVE
    assert found.reason.startswith(
        "the paper finds none here; p = 0.010, yet the effect may lie within ±0.05; about 16.0 times as many sequences"
    )


def test_finding_the_opposite_where_the_paper_finds_the_opposite_replicates() -> None:
    found = judge(RISES, finding(-0.30), 1.0, 0.01, says="opposite")
    assert found.verdict == Verdict.REPLICATED
    assert found.reason == "the paper finds the opposite here, and so it is: p = 0.010 in the other direction"
    assert verdict(RISES, finding(-0.06, half=0.02), 1.0, 0.01, says="opposite") == Verdict.DIRECTION_ONLY
    assert verdict(RISES, finding(0.0), 0.5, 0.5, says="opposite") == Verdict.ABSENT


def test_finding_the_claim_where_the_paper_finds_the_opposite_contradicts() -> None:
    for effect in (0.30, 0.06):
        found = judge(RISES, finding(effect), 0.01, says="opposite")
        assert found.verdict == Verdict.CONTRADICTED
        assert found.reason.startswith("the paper finds the opposite here, but: p = 0.010")


def test_missing_a_level_replicates_where_the_paper_says_that_it_is_missed() -> None:
    assert verdict(REACHES, finding(0.25, half=0.02), 1.0, 0.01, says="opposite") == Verdict.REPLICATED
    assert verdict(REACHES, finding(0.98, half=0.02), 0.01, says="opposite") == Verdict.CONTRADICTED


@given(claim=CLAIMS, effect=EFFECTS, half=HALVES, p=PS, q=PS, says=st.sampled_from(SAYS))
def test_what_is_open_stays_open_unless_it_is_as_good_as_none(
    claim: Claim, effect: float, half: float, p: float, q: float, says: PaperSays
) -> None:
    if verdict(claim, finding(effect, half), p, q) == Verdict.INCONCLUSIVE:
        assert verdict(claim, finding(effect, half), p, q, says) == Verdict.INCONCLUSIVE


@given(claim=CLAIMS, effect=EFFECTS, half=HALVES, p=PS, q=PS, says=st.sampled_from(["absent", "opposite"]))
def test_a_claim_is_never_replicated_both_as_it_is_and_where_the_paper_denies_it(
    claim: Claim, effect: float, half: float, p: float, q: float, says: PaperSays
) -> None:
    holds = verdict(claim, finding(effect, half), p, q)
    denied = verdict(claim, finding(effect, half), p, q, says)
    assert not (holds == denied == Verdict.REPLICATED)
