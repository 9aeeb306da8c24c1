"""Claims of published papers, one package per paper; and the public names for writing a pack of your own.

A pack is a ``Pack`` that an entry of the group ``moe_claims.packs`` names; ``docs/howto-claim.md`` makes one. What is
listed in ``__all__`` is stable: it changes only with a major version, and a test holds it.

- ``Pack``, ``Claim``, ``Estimand``, ``Printed``: the records. ``Case``, ``Evidence``, ``Session``, ``Judged``: for
  evidence other than models that are measured here.
- ``Measured``: what an estimator is given, with ``WeightMeasurement``, ``RoutedMeasurement``, ``MatchingMeasurement``
  and ``DenseWeights``, frozen arrays by layer. ``Settings``: what an audit is given.
- ``Finding``, ``Interval``, ``Companion``, ``NullDistribution``: what an estimator returns; ``of_largest_p`` gives the
  null of the claim where several tests must all reject. ``Audit``, ``AuditOutcome``: what an audit returns.
- ``NotComparableError``: raised by an estimator for a model that the claim does not apply to.
- ``conclude``: ends a test as its verdict asks.
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
