"""``decide``: turns a finding and its corrected p-values into a verdict, by the same rules for every claim."""

import math
from dataclasses import dataclass
from typing import Any, final

from moe_claims.judge.claim import Claim, PaperSays
from moe_claims.judge.sample_size import Corrected, what_would_settle
from moe_claims.types import Finding, Interval, Verdict

ROUNDING = 1e-9
"""Fraction of the smallest effect of interest below which an effect is a rounding error and has no direction."""


@final
@dataclass(frozen=True)
class Decision:
    """A verdict and the sentence that explains it."""

    verdict: Verdict
    reason: str


def p_text(p: float) -> str:
    """A p-value as text, such as ``p = 0.013``; it is rounded up."""
    if p < 0.001:
        return "p ≤ 0.001"
    return f"p = {math.ceil(p * 1000) / 1000:.3f}"


def decide(
    claim: Claim,
    finding: Finding,
    p_adjusted: float,
    p_opposite_adjusted: float,
    alpha: float,
    paper_says: PaperSays = "holds",
    *,
    p_at_best: float | None = None,
    sequences: int | None = None,
) -> Decision:
    """The verdict on one finding, after correction for multiple testing.

    Args:
        claim: record with direction, rule, smallest effect of interest and bound of equivalence.
        finding: effect, intervals and further conditions.
        p_adjusted: corrected p-value in the claimed direction.
        p_opposite_adjusted: corrected p-value in the opposite direction.
        alpha: error rate of the family of tests.
        paper_says: what the paper reports for this model. If it reports ``absent`` or ``opposite``,
            finding the same is a replication.
        p_at_best: the smallest p-value that the test can reach, corrected with the other tests
            unchanged; by default a lower bound of it.
        sequences: number of sequences that the model was run on, to say how many would be enough.
    """
    if p_at_best is None:
        # The correction multiplies the smallest possible p by at least the factor by which it multiplied this one.
        p_at_best = finding.smallest_p * (p_adjusted / finding.p_value if finding.p_value > 0 else 1.0)
    corrected = Corrected(p_adjusted, p_opposite_adjusted, p_at_best, alpha)
    found = (_level if claim.rule == "level" else _difference)(claim, finding, corrected, sequences)
    if paper_says == "holds":
        return found
    if paper_says == "opposite" or claim.rule == "level":
        return _where_the_paper_says_opposite(claim, finding, found)
    return _where_the_paper_says_absent(claim, finding, corrected, sequences, found)


def _difference(claim: Claim, finding: Finding, p: Corrected, sequences: int | None) -> Decision:
    """Rule ``difference``: the effect must differ from none, and by at least the smallest effect of interest."""
    in_units = finding.effect / claim.smallest  # positive in the claimed direction
    if in_units > ROUNDING and p.towards <= p.alpha and finding.unmet is None:
        if abs(finding.effect) < abs(claim.smallest):
            return Decision(
                Verdict.DIRECTION_ONLY,
                f"{p_text(p.towards)}, but the effect is below the smallest of interest ({claim.smallest:g})",
            )
        if finding.falls_short is not None:
            return Decision(Verdict.DIRECTION_ONLY, f"{p_text(p.towards)}, but {finding.falls_short}")
        return Decision(Verdict.REPLICATED, f"{p_text(p.towards)} and at least the smallest effect of interest")
    if in_units < -ROUNDING and p.opposite <= p.alpha:
        small = abs(finding.effect) < abs(claim.smallest)
        size = ", though less than the smallest effect of interest" if small else ""
        return Decision(Verdict.CONTRADICTED, f"{p_text(p.opposite)} in the other direction{size}")
    if finding.equivalence.inside(claim.equivalence):
        return Decision(Verdict.ABSENT, _equivalent(claim, finding))
    return Decision(
        Verdict.INCONCLUSIVE, _why_open(claim, finding, p) + what_would_settle(claim, finding, p, sequences)
    )


def _equivalent(claim: Claim, finding: Finding) -> str:
    level = round(100 * finding.equivalence.level)
    return f"the {level} % interval lies within ±{claim.equivalence:g}: equivalent to none"


def _level(claim: Claim, finding: Finding, p: Corrected, sequences: int | None) -> Decision:
    """Rule ``level``: the whole interval must lie at or above the smallest effect of interest, with a significant p."""
    interval, bound = finding.interval, claim.smallest
    if interval.low >= bound and p.towards <= p.alpha and finding.unmet is None:
        if finding.falls_short is not None:
            return Decision(Verdict.DIRECTION_ONLY, f"{p_text(p.towards)}, but {finding.falls_short}")
        return Decision(Verdict.REPLICATED, f"{p_text(p.towards)}: the whole interval lies at or above {bound:g}")
    if interval.high < bound and p.opposite <= p.alpha:
        return Decision(Verdict.CONTRADICTED, f"{p_text(p.opposite)}: the whole interval lies below {bound:g}")
    why = f"neither the whole interval nor the test says on which side of {bound:g} it lies"
    if interval.low >= bound and p.towards <= p.alpha:
        why = f"{p_text(p.towards)}, but {finding.unmet}"
    return Decision(Verdict.INCONCLUSIVE, why + what_would_settle(claim, finding, p, sequences))


def _why_open(claim: Claim, finding: Finding, p: Corrected) -> str:
    if p.at_best > p.alpha:
        return (
            f"no p-value below {finding.smallest_p:.3g} can be reached here, {math.ceil(p.at_best * 1000) / 1000:.3g} "
            f"after correction, and that does not pass at {p.alpha:g}"
        )
    if p.towards <= p.alpha and finding.unmet is not None:
        return f"{p_text(p.towards)}, but {finding.unmet}"
    text = f"{p_text(p.towards)} after correction: the null gives as much too often"
    return text + f", yet the effect is not shown to lie within ±{claim.equivalence:g}"


def _where_the_paper_says_opposite(claim: Claim, finding: Finding, found: Decision) -> Decision:
    """The opposite effect, at least the smallest of interest, replicates the paper; the claimed one contradicts it."""
    if found.verdict == Verdict.CONTRADICTED:
        small = claim.rule == "difference" and abs(finding.effect) < abs(claim.smallest)
        verdict = Verdict.DIRECTION_ONLY if small else Verdict.REPLICATED
        return Decision(verdict, f"the paper finds the opposite here, and so it is: {found.reason}")
    if found.verdict in (Verdict.REPLICATED, Verdict.DIRECTION_ONLY):
        return Decision(Verdict.CONTRADICTED, f"the paper finds the opposite here, but: {found.reason}")
    return found


def _where_the_paper_says_absent(
    claim: Claim, finding: Finding, p: Corrected, sequences: int | None, found: Decision
) -> Decision:
    """Equivalence to none replicates the paper, even if p is small: with many units any effect becomes significant."""
    if finding.equivalence.inside(claim.equivalence):
        return Decision(
            Verdict.REPLICATED, f"the paper finds none here, and there is none: {_equivalent(claim, finding)}"
        )
    if found.verdict == Verdict.INCONCLUSIVE:
        return found
    significant = p_text(p.opposite if found.verdict == Verdict.CONTRADICTED else p.towards)
    if abs(finding.effect) >= abs(claim.smallest) or _outside(finding.interval, claim.equivalence):
        beyond = f"{significant} and the effect lies beyond ±{claim.equivalence:g}"
        return Decision(Verdict.CONTRADICTED, f"the paper finds none here, but {beyond}")
    reason = f"the paper finds none here; {significant}, yet the effect may lie within ±{claim.equivalence:g}"
    return Decision(Verdict.INCONCLUSIVE, reason + what_would_settle(claim, finding, p, sequences, against_none=True))


def _outside(interval: Interval, bound: float) -> bool:
    return interval.low > bound or interval.high < -bound


def plain(value: float | None) -> float | None:
    """A number for JSON: None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def control_of(decision: Decision, finding: Finding | None) -> dict[str, Any]:
    """Verdict, effect and reason of the random-initialisation control, as rows store them."""
    effect = None if finding is None else plain(finding.effect)
    return {"verdict": decision.verdict.value, "effect": effect, "reason": decision.reason}
