"""Packs of claims, one package per paper, and the public names for writing your own pack.

A pack is a ``Pack`` object that an entry point of the group ``moe_claims.packs`` names; ``docs/howto-claim.md`` shows
how to write one. The names in ``__all__`` are stable: they change only with a major version, and a test checks them.

- ``Pack``, ``Claim``, ``Estimand``, ``Printed``: the records. ``Case``, ``Evidence``, ``Session``, ``Judged``: for
  evidence other than models that are measured in the run.
- ``Measured``: the input of an estimator, with ``WeightMeasurement``, ``RoutedMeasurement``, ``MatchingMeasurement``
  and ``DenseWeights``, frozen arrays by layer. ``Settings``: the input of an audit.
- ``Finding``, ``Interval``, ``Companion``, ``NullDistribution``: the result of an estimator; ``of_largest_p`` gives the
  null of a claim whose several tests must all reject. ``Audit``, ``AuditOutcome``: the result of an audit.
- ``NotComparableError``: raised by an estimator for a model that the claim does not apply to.
- ``conclude``: passes, fails or skips a test according to its verdict.
"""

from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.judge.claim import Claim, Estimand, Printed
from moe_claims.judge.combined_null import of_largest_p
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Evidence, Pack, Session
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import (
    DenseWeights,
    MatchingMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.pytest_plugin.outcomes import conclude
from moe_claims.settings import Settings
from moe_claims.types import Audit, AuditOutcome, Companion, Finding, Interval, NullDistribution, Result, Verdict

__all__ = [
    "Audit",
    "AuditOutcome",
    "Case",
    "Claim",
    "Companion",
    "DenseWeights",
    "Estimand",
    "Evidence",
    "Finding",
    "Interval",
    "Judged",
    "MatchingMeasurement",
    "Measured",
    "MoeClaimsError",
    "NotComparableError",
    "NullDistribution",
    "Pack",
    "Printed",
    "Result",
    "RoutedMeasurement",
    "Session",
    "Settings",
    "Verdict",
    "WeightMeasurement",
    "conclude",
    "of_largest_p",
]
