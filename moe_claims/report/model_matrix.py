"""The matrix of claims and models of a run, with the sign and effect of each, for all report formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.report import formatting

Row = Mapping[str, Any]

_SIGNS = ", ".join(f"{sign} {word}" for word, sign in formatting.SIGNS.items())
LEGEND = f"{_SIGNS}; {formatting.ARTEFACT} at random initialisation too"
"""Explanation of the signs in the cells."""


@final
@dataclass(frozen=True)
class SideBySide:
    """The matrix: a line per claim, a column per model."""

    models: tuple[str, ...]
    """Names, in the order of the report."""
    rows: tuple[tuple[str, tuple[Row | None, ...]], ...]
    """(Name of the claim, its result row for each model or None), for claims that apply to at least one model. The name
    includes the variant, and text and pack if there are several."""


def side_by_side(results: Sequence[Row]) -> SideBySide:
    """The matrix of the live rows of a results document."""
    live = [row for row in results if row["evidence"] == "live"]
    models = tuple(dict.fromkeys(str(row["model"]) for row in live))
    several = len({row["corpus"] for row in live if row["corpus"] is not None}) > 1
    packs = len({row["pack"] for row in live}) > 1
    by_claim: dict[str, dict[str, Row]] = {}
    for row in live:
        by_claim.setdefault(formatting.name(row, several, packs), {})[row["model"]] = row
    return SideBySide(
        models,
        tuple(
            (claim, tuple(found.get(model) for model in models))
            for claim, found in by_claim.items()
            if any(row["verdict"] != "not-applicable" for row in found.values())
        ),
    )


def short(row: Row | None) -> str:
    """Text of a cell: sign and effect, marked if replicated at random initialisation too; empty for None."""
    if row is None:
        return ""
    if row["verdict"] == "not-applicable":
        return formatting.SIGNS[row["verdict"]]
    mark = f" {formatting.ARTEFACT}" if formatting.artefact(row) else ""
    return f"{formatting.SIGNS[row['verdict']]} {formatting.effect(row)}{mark}"
