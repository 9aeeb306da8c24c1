"""``Stage``: what one part of a run reads, computes, keeps and needs, and about how long it takes."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, final


@final
@dataclass(frozen=True)
class Stage:
    """One part of a run on one model."""

    name: str
    reads: int = 0
    """Bytes that are read of weights."""
    source: str = ""
    """Where from; empty where nothing is read."""
    operations: float = 0.0
    """Floating-point operations of products."""
    keeps: int = 0
    """Bytes that the store grows by."""
    needs: int = 0
    """Bytes of memory that the process has at most meanwhile, libraries and all."""
    seconds: float = 0.0
    """About how long it takes on this machine, transfers over a network apart."""
    note: str = ""
    """What the numbers do not say, such as why nothing is measured."""

    def as_entry(self) -> dict[str, Any]:
        """The stage as a plan's file holds it: numbers rounded to what a forecast is worth."""
        return asdict(self) | {"operations": float(f"{self.operations:.3g}"), "seconds": float(f"{self.seconds:.3g}")}

    def scaled(self, share: float) -> "Stage":
        """What is left of it where only a share, 0 to 1, is still to be measured; keeps are counted by the caller."""
        return replace(
            self, reads=round(self.reads * share), operations=self.operations * share, seconds=self.seconds * share
        )


def together(stages: Iterable[Stage], name: str) -> Stage:
    """The sum of stages that run one after the other; of memory, the largest."""
    every = list(stages)
    sources = dict.fromkeys(stage.source for stage in every if stage.source)
    return Stage(
        name,
        reads=sum(stage.reads for stage in every),
        source=", ".join(sources),
        operations=sum(stage.operations for stage in every),
        keeps=sum(stage.keeps for stage in every),
        needs=max((stage.needs for stage in every), default=0),
        seconds=sum(stage.seconds for stage in every),
        note="; ".join(dict.fromkeys(stage.note for stage in every if stage.note)),
    )
