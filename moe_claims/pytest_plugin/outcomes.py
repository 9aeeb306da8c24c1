"""Maps verdicts to outcomes of tests: passed, failed or skipped."""

from typing import Literal

from moe_claims.printable import one_line
from moe_claims.report.formatting import criteria_met
from moe_claims.types import Audit, AuditOutcome, Result, Verdict

Outcome = Literal["passed", "failed", "skipped"]

OUTCOME_OF: dict[Verdict, Outcome] = {
    Verdict.REPLICATED: "passed",
    Verdict.DIRECTION_ONLY: "failed",
    Verdict.CONTRADICTED: "failed",
    Verdict.ABSENT: "failed",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NOT_APPLICABLE: "skipped",
}
"""Verdict → outcome: evidence for the claim passes, evidence against it fails, no evidence skips."""

AUDIT_OUTCOME_OF: dict[AuditOutcome, Outcome] = {
    AuditOutcome.AGREES: "passed",
    AuditOutcome.DISAGREES: "failed",
    AuditOutcome.LACKS_POWER: "skipped",
}
"""Outcome of an audit → outcome of its test."""


def describe(result: Result) -> str:
    """A result in one line: verdict, effect, interval, p, published value with the criteria met, and reason."""
    text = f"{result.verdict}: {result.effect_name}"
    if result.effect is not None:
        text += f" = {result.effect:.3f}"
    if result.interval is not None:
        text += f" [{result.interval.low:.3f}, {result.interval.high:.3f}]"
    if result.p_value is not None and result.p_adjusted is not None:
        text += f", p = {result.p_value:.4g} (adjusted {result.p_adjusted:.4g})"
    if result.published is not None:
        met = criteria_met(result.criteria)
        text += f", published {result.published['value']:.3f}" + (f" ({met} criteria)" if met else "")
    return one_line(f"{text}; {result.reason}")


def describe_audit(audit: Audit) -> str:
    """An audit in one line: outcome, printed and recomputed number, and reason."""
    return one_line(f"{audit.outcome}: printed {audit.printed}, recomputed {audit.recomputed}; {audit.reason}")


def said(found: Result | Audit) -> str:
    """What a test says that its verdict ends: a result or an audit in one line."""
    return describe(found) if isinstance(found, Result) else describe_audit(found)


def conclude(found: Result | Audit) -> None:
    """Ends a test according to its verdict: returns if the claim replicated, else fails or skips with the reason."""
    import pytest

    outcome = OUTCOME_OF[found.verdict] if isinstance(found, Result) else AUDIT_OUTCOME_OF[found.outcome]
    if outcome == "failed":
        pytest.fail(said(found), pytrace=False)
    if outcome == "skipped":
        pytest.skip(said(found))
