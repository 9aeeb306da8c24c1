"""Verdicts as outcomes: every one has its own, and the message says what decided."""

from dataclasses import replace

import pytest

from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.pytest_plugin.outcomes import AUDIT_OUTCOME_OF, OUTCOME_OF, conclude, describe
from moe_claims.types import AuditOutcome, Interval, Result, Verdict

CRITERIA = {
    "published_in_our_interval": False,
    "ours_in_prediction_interval": False,
    "small_telescope_passed": True,
    "pooled_differs_from_none": None,
}


def row(verdict: Verdict) -> Result:
    return Result(
        pack="look_into_moes",
        claim="router-norm",
        claim_version=1,
        variant=None,
        evidence="live",
        family="headline",
        model="m",
        corpus=None,
        verdict=verdict,
        reason="because",
        effect_name="mean ρ",
        effect=0.03,
        interval=Interval(0.02, 0.04, 0.95, "x"),
        smallest=0.1,
        p_value=0.2,
        p_adjusted=0.4,
        null="n",
        unit="u",
        n_units=3,
        published={"value": 0.63},
        criteria=CRITERIA,
    )


def test_every_verdict_and_every_audit_outcome_has_a_test_outcome() -> None:
    assert set(OUTCOME_OF) == set(Verdict)
    assert set(AUDIT_OUTCOME_OF) == set(AuditOutcome)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_ends_the_test_as_it_should(verdict: Verdict) -> None:
    kinds = {"failed": pytest.fail.Exception, "skipped": pytest.skip.Exception}
    if OUTCOME_OF[verdict] == "passed":
        conclude(row(verdict))
        return
    with pytest.raises(kinds[OUTCOME_OF[verdict]], match=verdict.value):
        conclude(row(verdict))


def test_the_message_holds_effect_interval_p_published_value_and_reason() -> None:
    assert describe(row(Verdict.ABSENT)) == (
        "absent: mean ρ = 0.030 [0.020, 0.040], p = 0.2 (adjusted 0.4), published 0.630 (1 of 3 criteria); because"
    )
    uncompared = replace(row(Verdict.ABSENT), criteria={"reason": "our interval has no width"})
    assert "published 0.630; because" in describe(uncompared)


def test_audits_end_their_tests_too() -> None:
    outcomes = {audit.outcome: audit for audit in run_audits()}
    assert set(outcomes) == set(AuditOutcome)
    conclude(outcomes[AuditOutcome.AGREES])
    with pytest.raises(pytest.fail.Exception, match="disagrees: printed"):
        conclude(outcomes[AuditOutcome.DISAGREES])
    with pytest.raises(pytest.skip.Exception, match="lacks-power: printed"):
        conclude(outcomes[AuditOutcome.LACKS_POWER])
