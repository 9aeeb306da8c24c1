"""Claim ``corpus-robust``: the claims on behaviour hold on every text of the run (paper, appendix F)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import NormalDist

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.stats.heterogeneity import heterogeneity
from moe_claims.stats.replication import Z95
from moe_claims.types import Finding, Interval, NullDistribution, Scalar


def robust(claims: Mapping[str, Claim], variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Estimates the claim that the variant names on every text, and returns its smallest effect.

    A claim holds on all texts if it holds on each of them: the p-value is the largest over
    texts (intersection–union test, Berger 1982), which needs no correction. Of a claim with
    variants only the first, the total, is used. Effects are in units of the claim's smallest
    effect of interest, positive in the claimed direction.

    Args:
        claims: the claims that ``variant`` may name, by id.
        variant: id of a claim.
        measured: measurements on all texts of the run.
        rng: seeded generator.

    Raises:
        NotComparableError: fewer than two texts.
    """
    claim = claims[str(variant)]
    texts = {name: routed for name, routed in measured.texts.items() if isinstance(routed, RoutedMeasurement)}
    if len(texts) < 2:
        raise NotComparableError("robustness over texts needs two or more: --moe-text builtin --moe-text builtin-math")
    found = {
        name: in_units_of(claim, claim.estimator(claim.variants[0], measured.on(routed), rng))
        for name, routed in texts.items()
    }
    effects = [finding.effect for finding in found.values()]
    weakest = min(found, key=lambda name: found[name].effect)
    details: dict[str, Scalar] = {f"effect on {name}": finding.effect for name, finding in found.items()}
    details |= {f"p on {name}": finding.p_value for name, finding in found.items()}
    missing = [name for name in measured.texts if name not in texts]
    return Finding(
        effect=found[weakest].effect,
        interval=of_smallest(effects, [finding.interval for finding in found.values()]),
        equivalence=of_smallest(effects, [finding.equivalence for finding in found.values()]),
        p_value=max(finding.p_value for finding in found.values()),
        p_opposite=max(finding.p_opposite for finding in found.values()),
        smallest_p=max(finding.smallest_p for finding in found.values()),
        n_units=found[weakest].n_units,
        unmet=_where({name: finding.unmet for name, finding in found.items()}),
        falls_short=_where({name: finding.falls_short for name, finding in found.items()}),
        details=details
        | differences(found)
        | {"weakest_text": weakest, "texts_that_could_not_be_run": ", ".join(missing) or None},
        null_distribution=_null_of(claim, found),
    )


def _null_of(claim: Claim, found: Mapping[str, Finding]) -> NullDistribution | None:
    """The null distribution on the text with the largest p-value; in units of the claim's own effect."""
    effect = claim.of(claim.variants[0]).effect
    nulls = [
        (finding.p_value, replace(null, statistic=f"{null.statistic or effect}, on '{name}'"))
        for name, finding in found.items()
        if (null := finding.null_distribution) is not None
    ]
    return of_largest_p(*nulls) if len(nulls) == len(found) else None


def in_units_of(claim: Claim, finding: Finding) -> Finding:
    """A finding with effect and intervals divided by the claim's smallest effect of interest."""
    return replace(
        finding,
        effect=finding.effect / claim.smallest,
        interval=_scaled(finding.interval, claim.smallest),
        equivalence=_scaled(finding.equivalence, claim.smallest),
    )


def _scaled(interval: Interval, unit: float) -> Interval:
    low, high = sorted((interval.low / unit, interval.high / unit))
    return replace(interval, low=low, high=high)


def of_smallest(effects: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Confidence interval of the smallest of k effects, with at least the level of their own intervals.

    The smallest lower end lies above the smallest effect no more often than that effect's own lower
    end does. The smallest of k upper ends is too low up to k times as often, so each is first
    extended to 1/k of its error probability (Bonferroni), assuming normal estimates.
    """
    level = intervals[0].level
    tail = (1 - level) / 2
    stretch = NormalDist().inv_cdf(1 - tail / len(intervals)) / NormalDist().inv_cdf(1 - tail)
    upper = [
        interval.high + (stretch - 1) * max(0.0, interval.high - effect)
        for effect, interval in zip(effects, intervals, strict=True)
    ]
    method = f"smallest of {len(intervals)} texts, {intervals[0].method}"
    return Interval(min(interval.low for interval in intervals), min(upper), level, method)


def differences(found: Mapping[str, Finding]) -> dict[str, Scalar]:
    """Heterogeneity of the effects over texts: Cochran's Q, its p, I² and τ; all None if an interval has no width.

    Standard errors are half-widths over 1.96. With few sequences these are larger than the true standard
    errors, by as much as Q needs to keep its level (4 % at 10 and at 26 sequences).
    """
    effects = np.asarray([finding.effect for finding in found.values()])
    errors = np.asarray([(finding.interval.high - finding.interval.low) / 2 / Z95 for finding in found.values()])
    if errors.min() <= 1e-12 * max(1.0, float(np.abs(effects).max())):
        return dict.fromkeys(("cochran_q", "cochran_q_p", "i2", "tau"))
    result = heterogeneity(effects, errors)
    return {
        "cochran_q": result.q,
        "cochran_q_p": result.p_value,
        "i2": result.i2,
        "tau": result.tau2**0.5,
    }


def _where(reasons: Mapping[str, str | None]) -> str | None:
    """The reasons, each with the name of its text, as one string; None if there are none."""
    said = [f"on '{name}' {reason}" for name, reason in reasons.items() if reason is not None]
    return "; ".join(said) or None


def corpus_robust(claims: Sequence[Claim]) -> Claim:
    """The record of ``corpus-robust``, with one variant per claim that is tried on several texts."""
    return Claim(
        id="corpus-robust",
        statement="The claims on behaviour hold on encyclopaedic, mathematical and code text alike.",
        section="Appendix F",
        family="secondary",
        needs="texts",
        effect="smallest over texts of the effect, in units of that claim's smallest effect of interest",
        smallest=1.0,
        null="that of the claim, on every text (the largest p)",
        unit="that of the claim",
        estimator=partial(robust, {claim.id: claim for claim in claims}),
        variants=tuple(claim.id for claim in claims),
        applies="runs with two texts or more (--moe-text)",
    )
