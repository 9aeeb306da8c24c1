"""A claim as one declarative record, which tests, reports and documentation all read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, final

from moe_claims.types import Finding

Needs = Literal["weights", "text", "texts", "counts", "trainings"]
PaperSays = Literal["holds", "absent", "opposite"]
Estimator = Callable[..., Finding]
"""``(variant, measured, rng) → Finding`` for a claim on a model that is measured here; claims on other evidence have
estimators of their evidence's own signature."""


@final
@dataclass(frozen=True)
class Estimand:
    """What one variant of a claim estimates, where that is of another kind than the claim's own."""

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
    """Table, figure or section."""
    note: str
    """How the value follows from what is printed."""
    standard_error: float | None = None
    """None where nothing printed gives one."""
    none: float = 0.0
    """The value that stands for no effect."""
    companions: Mapping[str, "Printed"] = field(default_factory=dict)
    """Of the finding's companions, by their names; these have none of their own."""


@final
@dataclass(frozen=True)
class Claim:
    """A published statement about MoE internals, made testable.

    The record decides what would count before any model is looked at: the estimand, the
    smallest effect of interest with its claimed sign, the null and the unit.
    """

    id: str
    statement: str
    """What the paper says, in one sentence."""
    section: str
    """Where it says so."""
    family: Literal["headline", "secondary", "public", "trained"]
    """Family of tests that the correction for multiple testing runs over, within the claim's pack."""
    needs: Needs
    """``weights`` alone, a ``text`` run through the model, all ``texts`` of the run together, published
    ``counts``, or the results of ``trainings`` made for the question."""
    effect: str
    """Name and unit of the estimand."""
    smallest: float
    """Smallest effect of interest; its sign is the claimed direction."""
    null: str
    """What chance is taken to be."""
    unit: str
    """The exchangeable unit."""
    estimator: Estimator
    """Turns what was measured into a finding."""
    version: int = 1
    """Raised when the estimand or the null changes, so that results of two versions are not taken for comparable."""
    variants: tuple[str | None, ...] = (None,)
    """Parts that are tested each on its own, such as matrix kinds."""
    estimands: Mapping[str, Estimand] = field(default_factory=dict)
    """Of the variants whose effect is not the claim's ``effect`` against its ``smallest``."""
    on_text: tuple[str, ...] = ()
    """Variants that need a text although the others do not."""
    rule: Literal["difference", "level"] = "difference"
    """``difference``: the effect is compared with none at all. ``level``: the claim is that it reaches
    ``smallest``, and the whole interval must."""
    negligible: float | None = None
    """Bound of equivalence to none, where it is smaller than the smallest effect of interest."""
    applies: str = "every MoE"
    """To which models the claim applies."""
    paper_says: Mapping[str, PaperSays] = field(default_factory=dict)
    """The paper's models for which it says that the claim does not hold, by the pack's key of the model."""
    printed: Callable[[str, str | None], Printed | None] | None = None
    """By the pack's key of a model and the variant: the value that the paper prints. None where it prints none."""

    @property
    def direction(self) -> int:
        """+1 or −1, the claimed sign of the effect."""
        return 1 if self.smallest > 0 else -1

    @property
    def equivalence(self) -> float:
        """An effect whose 90 % interval lies within ± this is as good as none."""
        return abs(self.smallest) if self.negligible is None else self.negligible

    @property
    def code(self) -> str:
        """Where the estimator stands, as ``module:function``."""
        function = self.estimator
        while isinstance(function, partial):
            function = function.func
        return f"{function.__module__}:{function.__qualname__}"

    def needs_of(self, variant: str | None) -> Needs:
        """What one variant needs."""
        return "text" if variant in self.on_text else self.needs

    def of(self, variant: str | None) -> "Claim":
        """The record as it holds for one variant: with the effect and the smallest of interest of that variant."""
        own = self.estimands.get(variant or "")
        return self if own is None else replace(self, effect=own.effect, smallest=own.smallest)

    def others(self) -> dict[Estimand, tuple[str, ...]]:
        """The estimands that are not the claim's own, each with its variants."""
        return {
            other: tuple(variant for variant, own in self.estimands.items() if own == other)
            for other in self.estimands.values()
        }

    def row_keys(self) -> tuple[str, ...]:
        """``id`` or ``id[variant]``, one per variant."""
        return tuple(key_of(self.id, variant) for variant in self.variants)


def key_of(claim: str, variant: str | None) -> str:
    """How a claim and its variant are written together: ``claim[variant]``."""
    return claim if variant is None else f"{claim}[{variant}]"
