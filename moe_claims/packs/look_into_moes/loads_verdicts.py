"""From tested claims on loads to rows: one correction per model, one rule per kind of claim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from moe_claims.judge.claim import Claim
from moe_claims.judge.verdict import Decision, decide, p_text
from moe_claims.stats.corrections import benjamini_hochberg
from moe_claims.types import Finding, Result, Verdict


@final
@dataclass(frozen=True)
class Adjusted:
    """The p-values of one claim after Benjamini–Hochberg over the claims on its model."""

    p_value: float
    p_opposite: float
    smallest: float
    """What ``p_value`` would be at the smallest p that the test can reach, the other tests unchanged."""
    alpha: float


@final
@dataclass(frozen=True)
class LoadTrial:
    """One claim on one model's loads, tested but not yet judged."""

    claim: Claim
    variant: str | None
    model: str
    finding: Finding
    summary: str
    """What the counts show, as the opening of the reason; no full stop."""
    judge: Callable[["LoadTrial", Adjusted], Decision]


def judge_all(rows: Sequence[LoadTrial], alpha: float) -> list[Result]:
    """Correct the p-values over the rows of each model and judge each row; same order as ``rows``."""
    return [_judge(row, [other for other in rows if other.model == row.model], alpha) for row in rows]


def _judge(row: LoadTrial, family: Sequence[LoadTrial], alpha: float) -> Result:
    at = next(i for i, other in enumerate(family) if other is row)
    p_values = [other.finding.p_value for other in family]
    opposite = [other.finding.p_opposite for other in family]
    at_best = [*p_values[:at], row.finding.smallest_p, *p_values[at + 1 :]]
    p, q, best = (float(benjamini_hochberg(values)[at]) for values in (p_values, opposite, at_best))
    return _result(row, Adjusted(p, q, best, alpha))


def judge_evenness(row: LoadTrial, p: Adjusted) -> Decision:
    """Judge a claim that the effect is at least ``smallest``: the whole interval decides, and the p agrees."""
    interval, bound = row.finding.interval, row.claim.smallest
    if interval.low >= bound and p.p_value <= p.alpha:
        return Decision(Verdict.REPLICATED, f"{row.summary}: the whole interval lies at or above {bound}.")
    if interval.high < bound and p.p_opposite <= p.alpha:
        return Decision(Verdict.CONTRADICTED, f"{row.summary}: the whole interval lies below {bound}.")
    return Decision(
        Verdict.INCONCLUSIVE, f"{row.summary}: the domains are too few or too unlike to say whether {bound} is reached."
    )


def judge_difference(row: LoadTrial, p: Adjusted) -> Decision:
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


def _result(row: LoadTrial, p: Adjusted) -> Result:
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
        null_distribution=finding.null_distribution,
    )
