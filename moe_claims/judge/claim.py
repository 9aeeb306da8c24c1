"""The record of a claim, ``Claim``: the one declaration that tests, reports and documentation read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from typing import Literal, final, get_args

from moe_claims.types import Finding

Needs = Literal["weights", "text", "texts", "counts", "trainings"]
PaperSays = Literal["holds", "absent", "opposite"]
Family = Literal["headline", "secondary", "public", "trained"]
Rule = Literal["difference", "level"]
Estimator = Callable[..., Finding]
"""``(variant, measured, rng) → Finding`` for a claim on a model that is measured in this run. Other kinds of evidence
(published counts, trainings) define the signature of their own estimators."""


@final
@dataclass(frozen=True)
class Estimand:
    """The effect of one variant of a claim, where it is another quantity than the effect of the claim itself."""

    effect: str
    """Name and unit."""
    smallest: float
    """Smallest effect of interest; its sign is the claimed direction."""


@final
@dataclass(frozen=True)
class Printed:
    """A value that a paper prints, in the unit and orientation of a claim's effect."""

    value: float
    place: str
    """Table, figure or section of the paper in which it is printed."""
    note: str
    """Explains how the value was read or computed from the printed numbers."""
    standard_error: float | None = None
    """Standard error of ``value``; None if the paper prints nothing that it follows from."""
    none: float = 0.0
    """Value that means no effect."""
    companions: Mapping[str, "Printed"] = field(default_factory=dict)
    """Printed values of the finding's companions (further estimates), by name; they have no companions themselves."""


@final
@dataclass(frozen=True)
class Claim:
    """A published statement about MoE internals, made testable.

    The record fixes, before any model is measured, what counts as a replication: the estimand, the
    smallest effect of interest with its claimed sign, the null and the unit.
    """

    id: str
    statement: str
    """The statement of the paper, in one sentence."""
    section: str
    """Section, table or figure in which the paper says so."""
    family: Family
    """Family of tests that the correction for multiple testing runs over, within the claim's pack."""
    needs: Needs
    """``weights`` alone, a ``text`` run through the model, all ``texts`` of the run together, published
    ``counts``, or the results of ``trainings`` made for the question."""
    effect: str
    """Name and unit of the estimand."""
    smallest: float
    """Smallest effect of interest; its sign is the claimed direction."""
    null: str
    """Null hypothesis, in terms of what is resampled, such as permuted expert labels."""
    unit: str
    """Exchangeable unit that the test and the interval run over, such as the expert within a layer or the sequence."""
    estimator: Estimator
    """Function that computes the finding from the measurements."""
    version: int = 1
    """Increased when the estimand or the null changes, so that results of different versions are not compared."""
    variants: tuple[str | None, ...] = (None,)
    """Parts of the claim that are tested separately, such as matrix kinds; None is the claim as a whole."""
    estimands: Mapping[str, Estimand] = field(default_factory=dict)
    """Effect and smallest effect by variant, for variants that differ from the claim's ``effect`` and ``smallest``."""
    on_text: tuple[str, ...] = ()
    """Variants that need a text although the others do not."""
    rule: Rule = "difference"
    """``difference``: the effect is tested against no effect. ``level``: the claim is that the effect reaches
    ``smallest``, and the whole confidence interval must lie at or above it."""
    negligible: float | None = None
    """Bound of the equivalence test, if it is smaller than the smallest effect of interest."""
    applies: str = "every MoE"
    """Models that the claim applies to, in words."""
    paper_says: Mapping[str, PaperSays] = field(default_factory=dict)
    """Models for which the paper itself reports that the effect is ``absent`` or ``opposite``, by the pack's key of the
    model."""
    printed: Callable[[str, str | None], Printed | None] | None = None
    """Function from the pack's key of a model and a variant to the value that the paper prints, or None."""

    def check(self) -> None:
        """Checks what annotations cannot, since a record may come from a third party.

        Raises:
            ValueError: a field holds what no verdict could be reached with; the message names it.
        """
        wrong = {
            "version is not a whole number, 1 or more": not isinstance(self.version, int) or self.version < 1,
            "smallest is not a number apart from 0": not _usable(self.smallest),
            "negligible is not a number above 0": self.negligible is not None and not self.negligible > 0,
            f"family is '{self.family}', not one of {', '.join(get_args(Family))}": self.family not in get_args(Family),
            f"rule is '{self.rule}', not one of {', '.join(get_args(Rule))}": self.rule not in get_args(Rule),
            f"needs is '{self.needs}', not one of {', '.join(get_args(Needs))}": self.needs not in get_args(Needs),
            "variants are none, or one is there twice": len(set(self.variants)) < max(1, len(self.variants)),
            "estimands or on_text name an unknown variant": not {*self.estimands, *self.on_text} <= set(self.variants),
            "an estimand's smallest is not a number apart from 0": not all(
                _usable(other.smallest) for other in self.estimands.values()
            ),
            f"paper_says is not one of {', '.join(get_args(PaperSays))}": not set(self.paper_says.values())
            <= set(get_args(PaperSays)),
        }
        for what, is_so in wrong.items():
            if is_so:
                raise ValueError(f"claim '{self.id}': {what}")

    @property
    def direction(self) -> int:
        """Claimed sign of the effect: +1 or −1."""
        return 1 if self.smallest > 0 else -1

    @property
    def equivalence(self) -> float:
        """Bound of the equivalence test: an effect whose 90 % interval lies within ± this counts as absent."""
        return abs(self.smallest) if self.negligible is None else self.negligible

    @property
    def code(self) -> str:
        """Location of the estimator, as ``module:function``."""
        function = self.estimator
        while isinstance(function, partial):
            function = function.func
        return f"{function.__module__}:{function.__qualname__}"

    def needs_of(self, variant: str | None) -> Needs:
        """The input that one variant needs: ``text`` for those in ``on_text``, else the claim's ``needs``."""
        return "text" if variant in self.on_text else self.needs

    def of(self, variant: str | None) -> "Claim":
        """A copy of the record with the effect and the smallest effect of interest of one variant."""
        own = self.estimands.get(variant or "")
        return self if own is None else replace(self, effect=own.effect, smallest=own.smallest)

    def others(self) -> dict[Estimand, tuple[str, ...]]:
        """The distinct values of ``estimands``, each with the variants that share it."""
        return {
            other: tuple(variant for variant, own in self.estimands.items() if own == other)
            for other in self.estimands.values()
        }

    def row_keys(self) -> tuple[str, ...]:
        """Keys of the claim's rows, one per variant: ``id`` or ``id[variant]``."""
        return tuple(key_of(self.id, variant) for variant in self.variants)


def _usable(smallest: float) -> bool:
    return isfinite(smallest) and smallest != 0


def key_of(claim: str, variant: str | None) -> str:
    """Claim and variant as one string: ``claim[variant]``, or ``claim`` if the variant is None."""
    return claim if variant is None else f"{claim}[{variant}]"
