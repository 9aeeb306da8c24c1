"""Which p-value decided a row, and where a paper can be found."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from moe_claims.report import formatting

Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Decided:
    """The smaller of a row's two p-values: that of the claimed and that of the other direction."""

    p: float
    corrected: bool
    """Whether it is corrected for its family; results files of older versions hold the other direction uncorrected."""
    other_way: bool
    """Whether it is that of the direction opposite to the claimed one."""
    tests: tuple[str, ...]
    """Names of the tests whose p-value it is, where a claim asks several and takes the largest."""
    equivalent: bool = False
    """Whether the verdict is that the effect is equivalent to none, which an interval decides and no p-value."""

    @property
    def said(self) -> str:
        """The direction and the tests in words."""
        way = "the other way" if self.other_way else "as claimed"
        kind = "" if self.corrected else ", not corrected"
        instead = "; the 90 % interval decided" if self.equivalent else ""
        return f"{way}{kind}{': ' if self.tests else ''}{' = '.join(self.tests)}{instead}"


def decided(row: Row) -> Decided | None:
    """The p-value that decided a row; None if it has none.

    Both directions are corrected over the family, and the smaller p-value is the one that a verdict on a difference
    rests on: that of the claimed direction if the effect has the claimed sign, else that of the other.
    """
    towards, details, absent = row["p_adjusted"], row["details"], row["verdict"] == "absent"
    if towards is None:
        return None
    opposite = details.get("p_opposite_adjusted")
    if opposite is None and (details.get("p_opposite") or 1.0) < (row["p_value"] or 0.0):
        return Decided(details["p_opposite"], corrected=False, other_way=True, tests=(), equivalent=absent)
    if opposite is not None and opposite < towards:
        return Decided(opposite, corrected=True, other_way=True, tests=(), equivalent=absent)
    tests = (
        name.removeprefix("p_").replace("_", " ")
        for name, value in details.items()
        if name.startswith("p_") and not name.startswith("p_opposite") and value == row["p_value"]
    )
    return Decided(towards, corrected=True, other_way=False, tests=tuple(tests), equivalent=absent)


def reach(row: Row) -> str:
    """From where on an effect is of interest, such as ``≥ 0.20``, on the claimed side."""
    smallest = row["effect"]["smallest_of_interest"]
    return f"{'≥' if smallest > 0 else '≤'} {formatting.number(smallest, digits=formatting.decimals(row))}"


def unit(name: str) -> str:
    """The unit at the end of an effect's name, such as ``nats per token``; empty for a pure number."""
    return name.rpartition(", in ")[2] if ", in " in name else ""


_ARXIV = re.compile(r"arXiv[ :](\d{4}\.\d{4,5}(?:v\d+)?)", re.IGNORECASE)
_DOI = re.compile(r"(?:doi[ :])?(10\.\d{4,9}/[A-Za-z0-9._;()/:-]+)", re.IGNORECASE)


def address(paper: str) -> str | None:
    """The address of a paper that is named by its arXiv number or DOI; None for any other text, which is not linked."""
    if found := _ARXIV.fullmatch(paper):
        return f"https://arxiv.org/abs/{found[1]}"
    if found := _DOI.fullmatch(paper):
        return f"https://doi.org/{found[1]}"
    return None
