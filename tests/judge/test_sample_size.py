"""What would settle an open claim: the root law by hand, the way that is nearest, and no promise where text is idle."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from moe_claims.judge.claim import Claim
from moe_claims.judge.sample_size import Corrected, times_as_many, what_would_settle
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Interval

SIGNS = Claim(
    id="rises",
    statement="It rises.",
    section="1",
    family="secondary",
    needs="text",
    effect="slope",
    smallest=0.10,
    null="signs of whole sequences flipped",
    unit="sequence",
    estimator=lambda variant, measured, rng: finding(0.3, 0.1),
)
LABELS = replace(SIGNS, null="expert labels permuted", unit="expert within layer (total); sequence (interval)")
LEVEL = replace(SIGNS, smallest=0.95, rule="level", null="at most 0.95 (jackknife t over sequences)")
OPEN = Corrected(towards=0.5, opposite=1.0, at_best=0.001, alpha=0.05)
HERE = 20
"""Sequences at hand."""


def finding(effect: float, half: float, over: str = "sequences", origin: float = 0.0, **changes: object) -> Finding:
    """A finding whose p-value is what its interval gives against the origin."""
    method = f"bootstrap over {over}"
    p = float(norm.sf((effect - origin) / (half / norm.isf(0.025))))
    return replace(
        Finding(
            effect=effect,
            interval=Interval(effect - half, effect + half, 0.95, method),
            equivalence=Interval(effect - 0.84 * half, effect + 0.84 * half, 0.90, method),
            p_value=p,
            p_opposite=1 - p,
            smallest_p=0.0,
            n_units=HERE,
        ),
        **changes,
    )


def corrected(found: Finding, times: float = 1.0, at_best: float = 0.0) -> Corrected:
    return Corrected(min(1.0, times * found.p_value), min(1.0, times * found.p_opposite), at_best, 0.05)


def test_seeds_are_counted_by_the_finding_itself() -> None:
    claim = replace(SIGNS, null="Student t over seeds", unit="seed")
    found = finding(0.0, 0.30, over="seeds", n_units=5)
    for sequences in (None, HERE):  # of which there are none, or which have nothing to do with it
        assert what_would_settle(claim, found, corrected(found), sequences) == (
            "; about 27 more seeds like these would settle it"  # 5 × 5.35
        )
    beyond = finding(0.15, 0.30, over="seeds", n_units=5)
    assert times_as_many(claim, beyond, corrected(beyond)) == pytest.approx(
        times_as_many(SIGNS, finding(0.15, 0.30), corrected(beyond))
    )
    other = finding(0.05, 1e-9, over="seeds", equivalence=Interval(-1.0, 1.0, 0.90, "over seeds"), p_value=0.9)
    assert "these seeds do not tell how many" in what_would_settle(
        replace(claim, smallest=0.01), other, corrected(other), None
    )


@pytest.mark.parametrize("method", ["Student t over domains", "jackknife over domains, Student t"])
def test_domains_of_text_are_counted_by_the_finding_itself_and_are_not_fixed_by_the_model(method: str) -> None:
    claim = replace(SIGNS, null="sign test over domains", unit="domain")
    found = finding(0.0, 0.30, n_units=5)
    found = replace(found, interval=replace(found.interval, method=method))
    assert what_would_settle(claim, found, corrected(found), None) == (
        "; about 27 more domains like these would settle it"  # 5 × 5.35
    )
    # The floor of ranks among pairs of domains: more of them lower it, but by how much is not projected.
    ranked = replace(found, effect=0.5, p_value=1 / 16, p_opposite=1.0, smallest_p=1 / 16)
    by_rank = replace(claim, null="rank of the distance among those between the model's domains")
    assert what_would_settle(by_rank, ranked, Corrected(1 / 16, 1.0, 1 / 16, 0.05), None) == (
        "; these domains do not tell how many would settle it"
    )


# --- numbers by hand -----------------------------------------------------------------------------


def test_around_none_the_interval_must_fit_into_the_bound() -> None:
    # 0.84 × 0.30 shrinks to 0.10 with 2.52² times as many; the p-value never comes at an effect of 0.
    found = finding(0.0, 0.30)
    assert times_as_many(SIGNS, found, corrected(found)) == pytest.approx(2.52**2)
    assert what_would_settle(SIGNS, found, corrected(found), HERE) == (
        "; about 110 more sequences like these would settle it"  # 20 × 5.35 = 107, in two figures
    )
    assert what_would_settle(SIGNS, found, corrected(found), None) == (
        "; about 6.4 times as many sequences would settle it"
    )


def test_beyond_the_bound_the_p_value_must_pass_the_correction() -> None:
    # 0.15 ± 0.30 lies 0.98 standard errors off; one-sided 5 % takes 1.645, of ten tests 2.576.
    found = finding(0.15, 0.30)
    z = 0.5 * norm.isf(0.025)
    assert times_as_many(SIGNS, found, corrected(found)) == pytest.approx((norm.isf(0.05) / z) ** 2)
    assert times_as_many(SIGNS, found, corrected(found, 5)) == pytest.approx((norm.isf(0.05 / 5) / z) ** 2)


def test_the_nearer_way_counts() -> None:
    # 0.08 of a bound of 0.10: to fit into the rest takes far more than to become significant.
    found = finding(0.08, 0.30)
    significant = (norm.isf(0.05) / (norm.isf(0.025) * 0.08 / 0.30)) ** 2
    assert times_as_many(SIGNS, found, corrected(found)) == pytest.approx(significant)
    assert significant < (0.84 * 0.30 / 0.02) ** 2


def test_an_opposite_effect_is_settled_by_the_opposite_p_value() -> None:
    found, mirrored = finding(0.15, 0.30), finding(-0.15, 0.30)
    expected = times_as_many(SIGNS, found, corrected(found, 4))
    assert times_as_many(SIGNS, mirrored, corrected(mirrored, 4)) == pytest.approx(expected)


def test_a_level_needs_the_interval_off_the_level_and_the_p_value() -> None:
    found = finding(0.97, 0.04, origin=0.95)
    z = 0.02 / (0.04 / norm.isf(0.025))
    assert times_as_many(LEVEL, found, corrected(found)) == pytest.approx(4.0)  # from ±0.04 to ±0.02
    assert times_as_many(LEVEL, found, corrected(found, 5)) == pytest.approx((norm.isf(0.01) / z) ** 2)
    assert what_would_settle(LEVEL, found, corrected(found), HERE) == (
        "; about 60 more sequences like these would settle it"
    )
    below = finding(0.93, 0.04, origin=0.95)
    assert times_as_many(LEVEL, below, corrected(below)) == pytest.approx(4.0)


def test_an_effect_on_its_level_is_settled_by_no_number() -> None:
    found = finding(0.95, 0.04, origin=0.95)
    assert times_as_many(LEVEL, found, corrected(found)) is None
    assert what_would_settle(LEVEL, found, corrected(found), HERE) == (
        "; these sequences do not tell how many would settle it"
    )


def test_significant_yet_nearly_none_is_settled_on_either_side_of_the_bound() -> None:
    bound = replace(SIGNS, smallest=0.20, negligible=0.05)
    above = finding(0.06, 0.04)
    assert times_as_many(bound, above, OPEN, against_none=True) == pytest.approx(16.0)  # from ±0.04 to ±0.01
    below = finding(-0.04, 0.03)
    assert times_as_many(bound, below, OPEN, against_none=True) == pytest.approx((0.84 * 0.03 / 0.01) ** 2)


@pytest.mark.parametrize("true", [0.05, 0.15])
def test_as_many_as_said_decide_one_time_in_two(true: float) -> None:
    # The projection puts the expected z-score on its threshold: half of all samples that large lie beyond it.
    spread = 0.3 * HERE**0.5 / norm.isf(0.025)
    found = finding(true, 0.3)
    only_p = replace(SIGNS, smallest=0.01)  # closes the way through equivalence
    times = times_as_many(only_p, found, corrected(found, 3))
    assert times is not None
    means = true + spread / (HERE * times) ** 0.5 * np.random.default_rng(1).standard_normal(4_000)
    significant = means / (spread / (HERE * times) ** 0.5) > norm.isf(0.05 / 3)
    assert significant.mean() == pytest.approx(0.5, abs=0.04)


# --- a floor under the p-value -------------------------------------------------------------------


def test_signs_of_few_sequences_need_more_sequences() -> None:
    # Four sequences reach 1/16, in a family that makes 0.25 of it: 0.05 lies below a fifth of that, three halvings.
    found = finding(0.5, 0.1, p_value=1 / 16, p_opposite=1.0, smallest_p=1 / 16, n_units=4)
    p = Corrected(0.25, 1.0, 0.25, 0.05)
    assert times_as_many(SIGNS, found, p) == pytest.approx(1 + math.log2(5) / 4)
    assert what_would_settle(SIGNS, found, p, 4) == "; about 3 more sequences like these would settle it"


def test_a_floor_of_labels_is_lowered_by_no_text() -> None:
    found = finding(0.5, 0.1, p_value=1 / 6, p_opposite=1.0, smallest_p=1 / 6)
    p = Corrected(0.5, 1.0, 0.5, 0.05)
    both = replace(LABELS, null="expert labels permuted; and signs of whole sequences flipped (the larger p)")
    for claim in (LABELS, both):
        assert times_as_many(claim, found, p) is None
        assert what_would_settle(claim, found, p, HERE) == (
            "; chance lies in its unit (expert within layer), which the model fixes: other text would not settle it"
        )


def test_below_a_floor_equivalence_can_still_settle() -> None:
    found = finding(0.0, 0.2, p_value=0.5, p_opposite=0.5, smallest_p=1 / 6)
    assert times_as_many(LABELS, found, Corrected(1.0, 1.0, 0.5, 0.05)) == pytest.approx(1.68**2)


# --- where text is idle --------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["experts within layers", "layers"])
def test_weights_are_settled_by_no_text(over: str) -> None:
    found = finding(0.05, 0.5, over)
    said = what_would_settle(replace(LABELS, unit="layer"), found, corrected(found), HERE)
    assert said == "; chance lies in its unit (layer), which the model fixes: other text would not settle it"


def test_a_null_over_layers_is_not_passed_by_a_narrower_interval_over_sequences() -> None:
    # Clear over sequences, p = 0.6 over the order of the layers, and beyond the bound of equivalence.
    found = finding(-0.64, 0.03, p_value=0.6, p_opposite=0.4)
    curve = replace(SIGNS, smallest=-0.30, null="AR(1) curves over depth", unit="layer; sequence (interval)")
    assert "(layer), which the model fixes" in what_would_settle(curve, found, corrected(found), HERE)


def test_labels_that_hold_a_p_value_back_are_told_from_text_that_does() -> None:
    both = replace(LABELS, null="labels permuted, and signs of whole sequences flipped (the larger p)")
    by_text = finding(0.15, 0.30)
    assert times_as_many(both, by_text, corrected(by_text)) is not None
    by_labels = finding(0.15, 0.05, p_value=0.2, p_opposite=0.8)
    assert times_as_many(both, by_labels, corrected(by_labels)) is None


def test_a_condition_that_does_not_hold_is_not_mended_by_significance() -> None:
    found = finding(0.15, 0.30, unmet="the interval reaches 0")
    assert times_as_many(SIGNS, found, corrected(found)) is None


def test_an_interval_without_width_needs_nothing_more() -> None:
    found = finding(0.15, 1e-300, p_value=0.2)
    assert times_as_many(SIGNS, replace(found, p_value=0.01), corrected(found)) is None  # held back by something else


@given(
    effect=st.floats(-2, 2),
    half=st.floats(1e-3, 2),
    p=st.floats(0, 1),
    floor=st.floats(0, 1),
    level=st.booleans(),
    against=st.booleans(),
)
def test_the_answer_is_always_a_sentence_and_never_fewer_sequences(
    effect: float, half: float, p: float, floor: float, level: bool, against: bool
) -> None:
    claim = LEVEL if level else SIGNS
    found = finding(effect, half, p_value=max(p, floor), p_opposite=max(1 - p, floor), smallest_p=floor)
    correction = Corrected(min(1.0, 2 * max(p, floor)), 1.0, min(1.0, 3 * floor), 0.05)
    times = times_as_many(claim, found, correction, against_none=against)
    assert times is None or 1.0 <= times <= 1e6
    assert what_would_settle(claim, found, correction, HERE, against_none=against).startswith("; ")


def test_the_nulls_that_name_sequences_are_those_tested_over_sequences() -> None:
    # The projection asks the record's null whether more text can lower the p-value.
    assert {claim.id for claim in LIVE.values() if "sequence" in claim.null} == {
        "router-norm",
        "router-norm-diagonal",
        "router-norm-extremes",
        "special-expert-chosen-less",
        "chosen-alike",
        "top1-confidence",
        "activation-ratio",
        "balanced-routing",
        "routing-runs",
        "dense-reference",
    }
