"""Judged rows and audits as JSON, and back: equal to the bit, since JSON keeps every finite and infinite float."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from moe_claims.judge.judged import Judged
from moe_claims.types import Audit, AuditOutcome, Companion, Interval, NullDistribution, Result, Verdict


def judged_as_json(judged: Judged) -> dict[str, Any]:
    """A complete judgement as plain JSON values, without its figures.

    Raises:
        ValueError: a test of it is broken, so that it is not complete.
    """
    if judged.broken:
        raise ValueError(f"'{judged.broken[0].test}' has no row")
    results = [asdict(row) for row in judged.results]
    return {"results": results, "card": judged.card, "corpora": list(judged.corpora)}


def judged_from_json(kept: Mapping[str, Any]) -> Judged:
    """The judgement that ``judged_as_json`` wrote."""
    return Judged(tuple(map(_result, kept["results"])), (), kept["card"], tuple(kept["corpora"]))


def audit_as_json(audit: Audit) -> dict[str, Any]:
    """An audit as plain JSON values."""
    return asdict(audit)


def audit_from_json(kept: Mapping[str, Any]) -> Audit:
    """The audit that ``audit_as_json`` wrote."""
    return Audit(**{**kept, "outcome": AuditOutcome(kept["outcome"])})


def _result(kept: Mapping[str, Any]) -> Result:
    null = kept["null_distribution"]
    return Result(
        **{
            **kept,
            "verdict": Verdict(kept["verdict"]),
            "interval": _interval(kept["interval"]),
            "companions": {
                name: Companion(one["value"], Interval(**one["interval"])) for name, one in kept["companions"].items()
            },
            "null_distribution": None
            if null is None
            else NullDistribution(
                **{**null, "levels": tuple(null["levels"]), "quantiles": tuple(null["quantiles"])},
            ),
        }
    )


def _interval(kept: Mapping[str, Any] | None) -> Interval | None:
    return None if kept is None else Interval(**kept)
