"""The values that cross the borders between the rooms: frozen, and light to import.

Scalars only, so that every one of them can be compared, hashed into a report and sent
between processes. Arrays live in ``moe_claims.measure.measurement``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, final

Scalar = float | int | str | bool | None
Tail = Literal["lower", "upper"]


@final
@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    level: float
    """Coverage aimed at, such as 0.95."""
    method: str
    """Name of the method and of the unit that it resamples."""

    def inside(self, bound: float) -> bool:
        """Whether the interval lies strictly within ±bound."""
        return -bound < self.low and self.high < bound


@final
@dataclass(frozen=True)
class Companion:
    """A further estimate beside a claim's effect. It decides nothing."""

    value: float
    interval: Interval


@final
@dataclass(frozen=True)
class NullDistribution:
    """What chance gives: the distribution that a claim's p-value is a tail of, in a few quantiles."""

    method: str
    """What was resampled, or which formula holds, and the unit of it."""
    statistic: str | None
    """What is on the axis; None where it is the claim's effect itself."""
    observed: float
    """On the same axis."""
    tail: Tail
    """On which side of the observed value the p-value in the claimed direction lies."""
    levels: tuple[float, ...]
    """Rising, 0 to 1: shares of the distribution."""
    quantiles: tuple[float, ...]
    """One per level; of a sample, values of it (``moe_claims.stats.quantiles``)."""
    draws: int | None
    """Resamples, or arrangements that were enumerated; None where a formula gives the distribution."""
    exact: bool
    """Whether all arrangements were enumerated."""
    of_tests: int = 1
    """How many tests must all reject; this is the null of the one with the largest p-value, which is the claim's."""


@final
class Verdict(StrEnum):
    """What the evidence says about one claim (definitions in ``docs/verdicts.md``)."""

    REPLICATED = "replicated"
    DIRECTION_ONLY = "direction-only"
    CONTRADICTED = "contradicted"
    ABSENT = "absent"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"


@final
@dataclass(frozen=True)
class Finding:
    """What one claim's analysis found, before any correction for multiple tests.

    ``effect`` is oriented as the claim states it: its claimed sign is the claim's
    ``direction``. Both p-values come from the same null.
    """

    effect: float
    interval: Interval
    """95 % interval of the effect."""
    equivalence: Interval
    """90 % interval: inside ± the smallest effect of interest, two one-sided tests at 5 % both reject."""
    p_value: float
    """One-sided, in the claimed direction."""
    p_opposite: float
    """One-sided, against the claimed direction."""
    smallest_p: float
    """The smallest p-value that this test can reach with this many units."""
    n_units: int
    unmet: str | None = None
    """A condition beside the p-value that the claim needs and that does not hold; None if all hold."""
    falls_short: str | None = None
    """Why a significant effect is still less than the claim says; None if it is not."""
    summary: str | None = None
    """What the numbers show, as the opening of the verdict's reason and without a full stop; None says nothing."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Further numbers for the report; they decide nothing."""
    companions: Mapping[str, Companion] = field(default_factory=dict)
    """By name: further estimates with intervals, such as one that the paper prints beside the effect."""
    null_distribution: NullDistribution | None = None
    """What ``p_value`` is a tail of; None where an analysis gives none."""


@final
@dataclass(frozen=True)
class Result:
    """One row of the table: a claim, on one model and text, judged."""

    pack: str
    """Id of the pack that the claim is of."""
    claim: str
    """Id of the claim within its pack."""
    claim_version: int
    """Of the claim's record: another version has another estimand or null."""
    variant: str | None
    """Which of the claim's variants (matrix kind, part); None where there is only one."""
    evidence: str
    """``live`` (measured on this machine), or further evidence of the pack, such as ``public`` (published counts of the
    real model) and ``trained`` (models trained for the question)."""
    family: str
    """Family of tests that the correction runs over: ``headline``, ``secondary``, ``public`` or
    ``trained``."""
    model: str
    corpus: str | None
    """None for claims on weights alone."""
    verdict: Verdict
    reason: str
    effect_name: str
    effect: float | None
    interval: Interval | None
    smallest: float
    """Smallest effect of interest, with the sign that the claim gives it."""
    p_value: float | None
    p_adjusted: float | None
    null: str
    unit: str
    n_units: int | None
    published: Mapping[str, Any] | None = None
    """The paper's value for this very model: value, standard error and its origin, place in the paper."""
    criteria: Mapping[str, Any] | None = None
    """The four replication criteria against ``published``."""
    controls: Mapping[str, Any] = field(default_factory=dict)
    """``random_init``: verdict and effect of the same architecture freshly initialised."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    companions: Mapping[str, Companion] = field(default_factory=dict)
    """Of the finding."""
    null_distribution: NullDistribution | None = None
    """Of the finding."""


@final
class AuditOutcome(StrEnum):
    """What recomputing a published number says about it."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    LACKS_POWER = "lacks-power"


@final
@dataclass(frozen=True)
class Audit:
    """One published statement, recomputed from the paper's own printed figures, or shown on our own measurements."""

    id: str
    statement: str
    """What the paper says, in our words."""
    source: str
    """Where it says so, such as 'Table 3 against Table 5'."""
    outcome: AuditOutcome
    printed: str
    """The printed value, or what comes of doing as published, as text."""
    recomputed: str
    """The recomputed value, or what comes of doing it right, as text."""
    reason: str
    """One sentence: what follows from the two."""
    values: Mapping[str, Scalar] = field(default_factory=dict)
    """Every number behind the outcome."""
    pack: str = ""
    """Id of the pack that the audit is of; filled in by whoever runs the audits of a pack."""
    kind: str = "printed"
    """``printed`` (from printed numbers alone) or ``code`` (what the published code does, on our own measurements)."""
