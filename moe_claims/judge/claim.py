"""What a claim is: one declarative record that tests, reports and documentation all read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, final

Needs = Literal["weights", "text", "texts", "counts", "trainings"]
PaperSays = Literal["holds", "absent", "opposite"]


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
    """Family of tests that the correction for multiple testing runs over."""
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
    analysis: str
    """``module:function`` that turns a measurement into a finding; imported when first used."""
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
    """The paper's models for which it says that the claim does not hold, by their key in the published values."""

    @property
    def direction(self) -> int:
        """+1 or −1, the claimed sign of the effect."""
        return 1 if self.smallest > 0 else -1

    @property
    def equivalence(self) -> float:
        """An effect whose 90 % interval lies within ± this is as good as none."""
        return abs(self.smallest) if self.negligible is None else self.negligible

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
