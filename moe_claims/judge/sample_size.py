"""Sample size for an inconclusive claim: about how many more sequences, seeds or domains would decide it, or why none.

It is a projection: it assumes that effect and variance stay as estimated, and that the half-width of an
interval over sequences (or seeds, or domains) shrinks with the square root of their number.
"""

import math
import re
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

from moe_claims.judge.claim import Claim
from moe_claims.types import Finding

_NORMAL = NormalDist()
_Z95 = _NORMAL.inv_cdf(0.975)
_MOST = 1e6
"""Largest factor that is reported: beyond it the effect cannot be told from the bound, and no number is given."""
_OVER = re.compile(r"over (sequence|seed|domain)s(,|$)")


@final
@dataclass(frozen=True)
class Corrected:
    """P-values of one test after correction for its family."""

    towards: float
    """P-value in the claimed direction."""
    opposite: float
    """P-value in the opposite direction."""
    at_best: float
    """The smallest p-value that the test can reach, corrected with the other tests unchanged."""
    alpha: float
    """Error rate of the family of tests."""
    not_asked: int = 0
    """Number of tests of the family that the run did not ask for, and that count as p = 1."""


def what_would_settle(
    claim: Claim, finding: Finding, p: Corrected, sequences: int | None, *, against_none: bool = False
) -> str:
    """The end of a verdict's sentence: how many more sequences, seeds or domains would decide it, or why none would.

    Args:
        claim: record with rule, bounds, null and unit.
        finding: the inconclusive finding.
        p: its p-values after correction.
        sequences: number of sequences behind the interval; None if unknown.
        against_none: the effect is significant, and the open question is whether it is equivalent to none.
    """
    times, sampled = times_as_many(claim, finding, p, against_none=against_none), _sampled(finding)
    at_hand = sequences if sampled == "sequence" else finding.n_units
    if times is not None and at_hand is not None:
        more = _two_digits(at_hand * (times - 1))
        return f"; about {more:,} more {sampled}{'s' if more > 1 else ''} like these would settle it"
    if times is not None:
        return f"; about {math.ceil(10 * times - 1e-9) / 10:,.1f} times as many {sampled}s would settle it"
    unit = claim.unit.partition(";")[0].partition(" (")[0]
    if sampled is not None and sampled in unit:
        return f"; these {sampled}s do not tell how many would settle it"
    return f"; chance lies in its unit ({unit}), which the model fixes: other text would not settle it"


def times_as_many(claim: Claim, finding: Finding, p: Corrected, *, against_none: bool = False) -> float | None:
    """The factor (1 or more) by which the number of sequences, seeds or domains must grow to decide; None if unknown.

    It is the smallest factor at which one of these becomes true: the 90 % interval fits within the bound
    of equivalence; the p-value passes the correction; or, for claims of rule ``level`` and with
    ``against_none``, the 95 % interval lies on one side of the bound.
    """
    if _sampled(finding) is None:
        return None
    significant = None if finding.unmet else _becomes_significant(claim, finding, p)
    if claim.rule == "level":
        clear = _leaves(finding, claim.smallest)
        ways = [None if clear is None or significant is None else max(clear, significant)]
    elif against_none:
        bound = math.copysign(claim.equivalence, finding.effect)
        ways = [_fits(finding, claim.equivalence), _leaves(finding, bound)]
    else:
        ways = [_fits(finding, claim.equivalence), significant]
    nearest = min((way for way in ways if way is not None), default=math.inf)
    return max(1.0, nearest) if nearest <= _MOST else None


def _sampled(finding: Finding) -> str | None:
    """``sequence``, ``seed`` or ``domain`` if the interval is over these; None for experts and layers."""
    found = _OVER.search(finding.interval.method)
    return None if found is None else found[1]


def _fits(finding: Finding, bound: float) -> float | None:
    """Factor until the equivalence interval lies within ±bound; None if the effect itself does not."""
    effect, interval = finding.effect, finding.equivalence
    if abs(effect) >= bound:
        return None
    sides = (interval.high - effect) / (bound - effect), (effect - interval.low) / (bound + effect)
    return max(*sides, 0.0) ** 2


def _leaves(finding: Finding, bound: float) -> float | None:
    """Factor until the 95 % interval lies on one side of a bound; None if the effect lies on the bound."""
    return _growth(_Z95, _distance(finding, bound))


def _growth(needed: float, now: float) -> float | None:
    """Factor that brings an effect from ``now`` to ``needed`` standard errors; None if ``now`` is almost 0."""
    return (needed / now) ** 2 if now * _MOST > needed else None


def _distance(finding: Finding, origin: float) -> float:
    """Distance of the effect from an origin in standard errors, from the half of the interval that faces the origin.

    0 if the effect lies on the origin; infinite if the interval has no width.
    """
    interval, away = finding.interval, finding.effect - origin
    reach = finding.effect - interval.low if away > 0 else interval.high - finding.effect
    if away == 0:
        return 0.0
    return math.inf if reach <= 0 else _Z95 * abs(away) / reach


def _becomes_significant(claim: Claim, finding: Finding, p: Corrected) -> float | None:
    """Factor until the p-value passes the correction; None if more sequences (or seeds) would not achieve that.

    They would if the null is about the interval's unit and the p-value agrees with the interval. If it
    is more than one standard error weaker, another null (labels, order of the layers) dominates. The
    smallest p of a sign-flip test halves with every sequence.
    """
    sampled = _sampled(finding)
    if sampled is None or sampled not in claim.null:
        return None
    origin = claim.smallest if claim.rule == "level" else 0.0
    towards = (finding.effect - origin) * claim.direction > 0
    raw, corrected = (finding.p_value, p.towards) if towards else (finding.p_opposite, p.opposite)
    z, by_test = _distance(finding, origin), _z(raw)
    if raw > finding.smallest_p * (1 + 1e-9):  # a p-value at its smallest possible value says nothing of the distance
        if by_test < z - 1:
            return None
        z = min(z, by_test)
    multiplier = max(1.0, corrected / raw if raw > 0 else 1.0)
    if finding.smallest_p > 0:
        multiplier = max(multiplier, p.at_best / finding.smallest_p)
    times = _growth(_z(p.alpha / multiplier), z)
    if times is None or p.at_best <= p.alpha:
        return times
    if not math.isclose(finding.smallest_p, 0.5**finding.n_units):
        return None
    return max(times, 1 + math.log2(p.at_best / p.alpha) / finding.n_units)


def _z(p: float) -> float:
    """Standard normal quantile of a one-sided p-value."""
    return -_NORMAL.inv_cdf(min(max(p, 1e-300), 1 - 1e-15))


def _two_digits(number: float) -> int:
    """The number rounded up to two significant digits, 1 or more."""
    whole = max(1, math.ceil(number - 1e-9))
    unit: int = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // unit) * unit
