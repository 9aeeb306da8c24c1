"""Value types that subpackages hand to each other: findings, results, audits, intervals.

They are frozen dataclasses of scalars, so that they can be compared, written into a report and sent between
processes. This module imports nothing heavy. Types that hold arrays are in ``moe_claims.measure.measurement``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, final

Scalar = float | int | str | bool | None
NOT_ASKED_IN_FAMILY = "not_asked_in_family"
"""In the details of a result: how many tests of its family the run did not ask for; each counts as p = 1 in the
correction. Not there if it asked for all."""
Tail = Literal["lower", "upper"]


@final
@dataclass(frozen=True)
class Interval:
    """A confidence interval and the method that computed it."""

    low: float
    high: float
    level: float
    """Nominal coverage, such as 0.95."""
    method: str
    """Name of the method and of the unit that it resamples."""

    def inside(self, bound: float) -> bool:
        """Whether the interval lies strictly within ±bound."""
        return -bound < self.low and self.high < bound


@final
@dataclass(frozen=True)
class Companion:
    """An additional estimate reported beside a claim's effect; it has no influence on the verdict."""

    value: float
    interval: Interval


@final
@dataclass(frozen=True)
class NullDistribution:
    """The null distribution that a claim's p-value comes from, summarised by quantiles."""

    method: str
    """What was resampled, or which formula was used, and the unit of resampling."""
    statistic: str | None
    """Name of the test statistic; None if it is the claim's effect itself."""
    observed: float
    """Observed value of the test statistic."""
    tail: Tail
    """Which tail of the distribution gives the p-value in the claimed direction."""
    levels: tuple[float, ...]
    """Increasing probabilities, 0 to 1, at which quantiles are given."""
    quantiles: tuple[float, ...]
    """One quantile per level; of a resampled distribution, each is one of its values (see
    ``moe_claims.stats.quantiles``)."""
    draws: int | None
    """Number of resamples, or of enumerated arrangements; None if a formula gives the distribution."""
    exact: bool
    """Whether all arrangements were enumerated."""
    of_tests: int = 1
    """How many tests must all reject; this is the null distribution of the test with the largest p-value."""


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

    The sign of ``effect`` is to be compared with the claim's ``direction``. Both p-values come from the same null
    distribution.
    """

    effect: float
    interval: Interval
    """95 % interval of the effect."""
    equivalence: Interval
    """90 % interval of the effect. If it lies inside ± the smallest effect of interest, two one-sided tests at 5 % show
    equivalence to zero."""
    p_value: float
    """One-sided p-value in the claimed direction."""
    p_opposite: float
    """One-sided p-value against the claimed direction."""
    smallest_p: float
    """The smallest p-value that this test can reach with this many units."""
    n_units: int
    unmet: str | None = None
    """A condition of the claim, besides the p-value, that does not hold; None if all hold."""
    falls_short: str | None = None
    """Why an effect, even if significant, is less than the claim states; None if it is not less."""
    summary: str | None = None
    """What the numbers show, as the opening of the verdict's reason and without a full stop; None says nothing."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Additional numbers for the report; they have no influence on the verdict."""
    companions: Mapping[str, Companion] = field(default_factory=dict)
    """Additional estimates with intervals, by name, such as a second statistic that the paper reports."""
    null_distribution: NullDistribution | None = None
    """The null distribution of ``p_value``; None if the analysis does not provide it."""


@final
@dataclass(frozen=True)
class Result:
    """One row of the results table: the verdict on one claim for one model and text."""

    pack: str
    """Id of the pack that the claim is of."""
    claim: str
    """Id of the claim within its pack."""
    claim_version: int
    """Of the claim's record: another version has another estimand or null."""
    variant: str | None
    """Which of the claim's variants (matrix kind, part); None where there is only one."""
    evidence: str
    """Kind of evidence: ``live`` (measured on this machine), or further evidence of the pack, such as ``public``
    (published counts of the real model) and ``trained`` (models trained to answer the question)."""
    family: str
    """Family of tests for the multiple-testing correction: ``headline``, ``secondary``, ``public`` or ``trained``."""
    model: str
    corpus: str | None
    """Name of the text; None for claims about weights only."""
    verdict: Verdict
    reason: str
    effect_name: str
    effect: float | None
    interval: Interval | None
    smallest: float
    """Smallest effect of interest, with the sign of the claimed direction."""
    p_value: float | None
    p_adjusted: float | None
    null: str
    unit: str
    n_units: int | None
    published: Mapping[str, Any] | None = None
    """The paper's value for this same model: value, standard error and its origin, location in the paper."""
    criteria: Mapping[str, Any] | None = None
    """The four replication criteria against ``published``."""
    controls: Mapping[str, Any] = field(default_factory=dict)
    """``random_init``: verdict and effect of the same architecture with random weights."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    companions: Mapping[str, Companion] = field(default_factory=dict)
    """As in the finding."""
    null_distribution: NullDistribution | None = None
    """As in the finding."""


@final
class AuditOutcome(StrEnum):
    """Outcome of recomputing a published number."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    LACKS_POWER = "lacks-power"


@final
@dataclass(frozen=True)
class Audit:
    """One published statement, checked by recomputing it from the paper's printed numbers or from our measurements."""

    id: str
    statement: str
    """The paper's statement, paraphrased."""
    source: str
    """Where it says so, such as 'Table 3 against Table 5'."""
    outcome: AuditOutcome
    printed: str
    """The value as printed, or what the published procedure yields, as text."""
    recomputed: str
    """The recomputed value, or what the corrected procedure yields, as text."""
    reason: str
    """One sentence: what follows from comparing the two."""
    values: Mapping[str, Scalar] = field(default_factory=dict)
    """Every number that the outcome depends on."""
    pack: str = ""
    """Id of the pack that the audit is of; filled in by whoever runs the audits of a pack."""
    kind: str = "printed"
    """``printed`` (from printed numbers alone) or ``code`` (what the published code does, on our own measurements)."""
