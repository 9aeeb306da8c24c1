"""What would settle a claim that is left open: how many more sequences, seeds or domains, or why no text would.

A projection and no promise: it takes the effect and the variance as they are now, and the
half-width of an interval over sequences (or seeds, or domains) to shrink with the root of their number.
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
"""More than this many times the sequences at hand is no answer: the effect lies on the bound for all they tell."""
_OVER = re.compile(r"over (sequence|seed|domain)s(,|$)")


@final
@dataclass(frozen=True)
class Corrected:
    """p-values of one test after correction for its family."""

    towards: float
    """In the claimed direction."""
    opposite: float
    """Against it."""
    at_best: float
    """What the smallest p that the test can reach would become."""
    alpha: float
    """Error rate of the family."""


def what_would_settle(
    claim: Claim, finding: Finding, p: Corrected, sequences: int | None, *, against_none: bool = False
) -> str:
    """The end of a sentence: about how many more sequences, seeds or domains would settle it, or why no text would.

    Args:
        claim: gives rule, bounds, null and unit.
        finding: what was found; left open.
        p: its p-values after correction.
        sequences: how many the interval rests on; None where it is not known.
        against_none: the effect is significant, and what is open is whether it is as good as none.
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
    """How many times as many sequences, seeds or domains would decide, 1 or more; None where none is known to.

    The nearest of the ways that are open counts: the 90 % interval fits within the bound of
    equivalence; the p-value passes the correction; or, for a claim of level and for one that is
    significant but nearly none, the 95 % interval leaves the bound.
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
    """The unit of the interval, if there could be more of it; experts and layers are all that a model has."""
    found = _OVER.search(finding.interval.method)
    return None if found is None else found[1]


def _fits(finding: Finding, bound: float) -> float | None:
    """Until the equivalence interval lies within ±bound; never where the effect itself does not."""
    effect, interval = finding.effect, finding.equivalence
    if abs(effect) >= bound:
        return None
    sides = (interval.high - effect) / (bound - effect), (effect - interval.low) / (bound + effect)
    return max(*sides, 0.0) ** 2


def _leaves(finding: Finding, bound: float) -> float | None:
    """Until the 95 % interval lies on one side of a bound; never where the effect lies on the bound."""
    return _growth(_Z95, _distance(finding, bound))


def _growth(needed: float, now: float) -> float | None:
    """How many times as many sequences bring an effect to so many standard errors, from so many now."""
    return (needed / now) ** 2 if now * _MOST > needed else None


def _distance(finding: Finding, origin: float) -> float:
    """How many standard errors of its interval the effect lies from an origin, by the half that is towards it.

    0 where it lies on the origin; infinite where the interval has no width.
    """
    interval, away = finding.interval, finding.effect - origin
    reach = finding.effect - interval.low if away > 0 else interval.high - finding.effect
    if away == 0:
        return 0.0
    return math.inf if reach <= 0 else _Z95 * abs(away) / reach


def _becomes_significant(claim: Claim, finding: Finding, p: Corrected) -> float | None:
    """Until the p-value passes the correction, where it is the text (or the number of seeds) that holds it back.

    That is so where the null ranges over the interval's unit and the p-value is what the interval
    makes one expect: if it lies more than a standard error above, another null (labels,
    order of the layers) holds it back. A test over signs halves its smallest p with every sequence.
    """
    sampled = _sampled(finding)
    if sampled is None or sampled not in claim.null:
        return None
    origin = claim.smallest if claim.rule == "level" else 0.0
    towards = (finding.effect - origin) * claim.direction > 0
    raw, corrected = (finding.p_value, p.towards) if towards else (finding.p_opposite, p.opposite)
    z, by_test = _distance(finding, origin), _z(raw)
    if raw > finding.smallest_p * (1 + 1e-9):  # at its floor a p-value says nothing of the distance
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
    """Standard errors that a one-sided p-value stands for."""
    return -_NORMAL.inv_cdf(min(max(p, 1e-300), 1 - 1e-15))


def _two_digits(number: float) -> int:
    """A whole number of 1 or more, rounded up to two figures."""
    whole = max(1, math.ceil(number - 1e-9))
    unit: int = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // unit) * unit
