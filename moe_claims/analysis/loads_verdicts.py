"""From tested claims on loads to rows: one correction over the family, one rule per kind of claim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from moe_claims.analysis.claim import Claim
from moe_claims.analysis.verdict import Decision, decide, p_text
from moe_claims.stats.corrections import benjamini_hochberg
from moe_claims.types import Finding, Result, Verdict


@final
@dataclass(frozen=True)
class Adjusted:
    """The p-values of one claim after Benjamini–Hochberg over the family."""

    p_value: float
    p_opposite: float
    smallest: float
    """What ``p_value`` would be at the smallest p that the test can reach, the other tests unchanged."""
    alpha: float


@final
@dataclass(frozen=True)
class Tested:
    """One claim on one model's loads, tested but not yet judged."""

    claim: Claim
    variant: str | None
    model: str
    finding: Finding
    summary: str
    """What the counts show, as the opening of the reason; no full stop."""
    judge: Callable[["Tested", Adjusted], Decision]


def judge_all(rows: Sequence[Tested], alpha: float) -> list[Result]:
    """Correct the p-values over all rows and judge each; same order as ``rows``."""
    p_values = [row.finding.p_value for row in rows]
    opposite = benjamini_hochberg([row.finding.p_opposite for row in rows])
    results = []
    for i, (row, p_value) in enumerate(zip(rows, benjamini_hochberg(p_values), strict=True)):
        at_best = benjamini_hochberg([*p_values[:i], row.finding.smallest_p, *p_values[i + 1 :]])
        results.append(_result(row, Adjusted(float(p_value), float(opposite[i]), float(at_best[i]), alpha)))
    return results


def judge_evenness(row: Tested, p: Adjusted) -> Decision:
    """Judge a claim that the effect is at least ``smallest``: the whole interval decides, and the p agrees."""
    interval, bound = row.finding.interval, row.claim.smallest
    if interval.low >= bound and p.p_value <= p.alpha:
        return Decision(Verdict.REPLICATED, f"{row.summary}: the whole interval lies at or above {bound}.")
    if interval.high < bound and p.p_opposite <= p.alpha:
        return Decision(Verdict.CONTRADICTED, f"{row.summary}: the whole interval lies below {bound}.")
    return Decision(
        Verdict.INCONCLUSIVE, f"{row.summary}: the domains are too few or too unlike to say whether {bound} is reached."
    )


def judge_difference(row: Tested, p: Adjusted) -> Decision:
    """Judge a claim that the effect differs from 0, by the rule of all claims, in words for a reader."""
    finding = row.finding
    verdict = decide(row.claim, finding, p.p_value, p.p_opposite, p.alpha).verdict
    chance = "which chance can give as well."
    if p.smallest > p.alpha:
        chance = (
            f"but with {finding.n_units} {row.claim.unit}s no result can pass the correction: "
            f"at best {p_text(finding.smallest_p)}, and {p_text(p.smallest)} after it."
        )
    endings = {
        Verdict.REPLICATED: "more than chance gives.",
        Verdict.DIRECTION_ONLY: "more than chance gives but too little to matter.",
        Verdict.CONTRADICTED: "the opposite of the claim.",
        Verdict.ABSENT: "which is equivalent to no difference.",
        Verdict.INCONCLUSIVE: chance,
    }
    return Decision(verdict, f"{row.summary}, {endings[verdict]}")


def _result(row: Tested, p: Adjusted) -> Result:
    decision, claim, finding = row.judge(row, p), row.claim, row.finding
    return Result(
        claim=claim.id,
        variant=row.variant,
        evidence="public",
        family=claim.family,
        model=row.model,
        corpus="public-counts",
        verdict=decision.verdict,
        reason=decision.reason,
        effect_name=claim.effect,
        effect=finding.effect,
        interval=finding.interval,
        smallest=claim.smallest,
        p_value=finding.p_value,
        p_adjusted=p.p_value,
        null=claim.null,
        unit=claim.unit,
        n_units=finding.n_units,
        details={
            **finding.details,
            "smallest_p": finding.smallest_p,
            "smallest_p_adjusted": p.smallest,
            "p_opposite": finding.p_opposite,
        },
    )
