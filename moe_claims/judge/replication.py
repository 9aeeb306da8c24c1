"""The four replication criteria of a finding against a paper's printed value."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from moe_claims.stats.replication import Z95, criteria
from moe_claims.types import Finding, Interval


def against_published(
    finding: Finding, published: Mapping[str, Any] | None, sequences: int | None
) -> dict[str, Any] | None:
    """The four replication criteria, with the origin of the published standard error; the same for companions, by name.

    If the paper reports no effect, the criteria "small telescopes" and "pooled estimate differs from none"
    have no published effect to refer to, and are None.

    Args:
        finding: the finding of this run.
        published: the paper's value as ``Pack.published_value`` returns it.
        sequences: number of sequences that the paper ran its models on; None if it does not say.

    Returns:
        The fields of ``stats.replication.Criteria`` and more, or ``{"reason": …}`` if they cannot be computed; None
        if ``published`` is None.
    """
    if published is None:
        return None
    four = _four(finding.effect, finding.interval, finding.n_units, published, sequences)
    if published["paper_says"] == "absent" and "reason" not in four:
        four |= {"small_telescope_passed": None, "small_telescope": None, "pooled_differs_from_none": None}
    companions = {
        name: _four(ours.value, ours.interval, finding.n_units, published["companions"][name], sequences)
        for name, ours in finding.companions.items()
        if name in published["companions"]
    }
    return {**four, "companions": companions}


def _four(
    effect: float, interval: Interval, units: int, published: Mapping[str, Any], sequences: int | None
) -> dict[str, Any]:
    """The criteria of one estimate; ``units`` is our number of sequences if the interval is over sequences."""
    our_se = (interval.high - interval.low) / 2 / Z95
    if our_se <= 0:
        return {"reason": "our interval has no width, so the criteria cannot be computed"}
    error, origin = published["standard_error"], "from the paper's figures"
    if error is None and sequences is not None and interval.method.endswith("over sequences"):
        error = our_se * (units / sequences) ** 0.5
        origin = f"not published: ours scaled to the paper's {sequences} sequences"
    elif error is None:
        error, origin = our_se, "not published: taken to equal ours"
    four = criteria(effect, our_se, interval, float(published["value"]), float(error), none=published["none"])
    return {**asdict(four), "published_standard_error": error, "standard_error_origin": origin}
