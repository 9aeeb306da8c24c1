"""From a finding to a verdict: one pure function, the same for every claim."""

import math
from dataclasses import dataclass
from typing import Any, final

from moe_claims.analysis.claim import Claim
from moe_claims.types import Finding, Verdict


@final
@dataclass(frozen=True)
class Decision:
    """A verdict and the sentence that explains it."""

    verdict: Verdict
    reason: str


def p_text(p: float) -> str:
    """A p-value for people; rounding never makes it smaller."""
    if p < 0.001:
        return "p ≤ 0.001"
    return f"p = {math.ceil(p * 1000) / 1000:.3f}"


def decide(claim: Claim, finding: Finding, p_adjusted: float, p_opposite_adjusted: float, alpha: float) -> Decision:
    """Judges one finding after correction for its family of tests.

    Args:
        claim: gives direction and smallest effect of interest.
        finding: effect, intervals and conditions.
        p_adjusted: corrected p in the claimed direction.
        p_opposite_adjusted: corrected p against it.
        alpha: error rate of the family.
    """
    towards = finding.effect * claim.direction > 0
    large = abs(finding.effect) >= abs(claim.smallest)
    if towards and p_adjusted <= alpha and finding.unmet is None:
        if not large:
            return Decision(
                Verdict.DIRECTION_ONLY,
                f"{p_text(p_adjusted)}, but the effect is below the smallest of interest ({claim.smallest:g})",
            )
        if finding.falls_short is not None:
            return Decision(Verdict.DIRECTION_ONLY, f"{p_text(p_adjusted)}, but {finding.falls_short}")
        return Decision(Verdict.REPLICATED, f"{p_text(p_adjusted)} and at least the smallest effect of interest")
    if not towards and finding.effect != 0 and p_opposite_adjusted <= alpha:
        return Decision(Verdict.CONTRADICTED, f"{p_text(p_opposite_adjusted)} in the other direction")
    if finding.equivalence.inside(abs(claim.smallest)):
        level = round(100 * finding.equivalence.level)
        return Decision(
            Verdict.ABSENT, f"the {level} % interval lies within ±{abs(claim.smallest):g}: equivalent to none"
        )
    return Decision(Verdict.INCONCLUSIVE, _why_inconclusive(claim, finding, p_adjusted, alpha))


def _why_inconclusive(claim: Claim, finding: Finding, p_adjusted: float, alpha: float) -> str:
    # What the correction made of this p, it would have made of the smallest at least in proportion.
    corrected = finding.smallest_p * (p_adjusted / finding.p_value if finding.p_value > 0 else 1.0)
    if corrected > alpha:
        return (
            f"with {finding.n_units} units no p-value below {finding.smallest_p:.3g} can be reached, "
            f"and that does not pass at {alpha:g}"
        )
    if p_adjusted <= alpha and finding.unmet is not None:
        return f"{p_text(p_adjusted)}, but {finding.unmet}"
    text = f"{p_text(p_adjusted)} after correction: the null gives as much too often"
    text += f", yet the effect is not shown to lie within ±{abs(claim.smallest):g}"
    more = sequences_to_settle(claim, finding) if finding.interval.method.endswith("over sequences") else None
    if more is not None:
        text += f"; about {more} sequences like these would settle it"
    return text


def sequences_to_settle(claim: Claim, finding: Finding) -> int | None:
    """About how many sequences would give an interval that decides, at the variance observed.

    The half-width shrinks with the root of the number. It is enough when the interval
    leaves 0 on one side, or fits within the smallest effect of interest; the nearer of the two counts.
    None where the interval has no width or already decides.
    """
    half = (finding.interval.high - finding.interval.low) / 2
    needed = max(abs(finding.effect), abs(claim.smallest) - abs(finding.effect))
    if half <= needed or needed <= 0:
        return None
    return math.ceil(finding.n_units * (half / needed) ** 2)


def plain(value: float | None) -> float | None:
    """A number for JSON: None for what is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def control_of(decision: Decision, finding: Finding | None) -> dict[str, Any]:
    """What the table shows of the random-initialisation control."""
    effect = None if finding is None else plain(finding.effect)
    return {"verdict": decision.verdict.value, "effect": effect, "reason": decision.reason}
