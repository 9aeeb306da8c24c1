"""All models of a run in one table, a row per claim: sign and effect of each, for every format that shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.report import formatting

Row = Mapping[str, Any]

_SIGNS = ", ".join(f"{sign} {word}" for word, sign in formatting.SIGNS.items())
LEGEND = f"{_SIGNS}; {formatting.ARTEFACT} at random initialisation too"
"""What the signs in the cells mean."""


@final
@dataclass(frozen=True)
class SideBySide:
    """Claims against models."""

    models: tuple[str, ...]
    """Names, in the order of the report."""
    rows: tuple[tuple[str, tuple[Row | None, ...]], ...]
    """Claim, with variant, and text and pack where there are several, and its row of every model; None where there is
    none. Without claims that apply to none of the models."""


def side_by_side(results: Sequence[Row]) -> SideBySide:
    """Live rows of a results document by claim and model."""
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
    """Sign and effect, marked where the claim is replicated at random initialisation too; nothing for no row."""
    if row is None:
        return ""
    if row["verdict"] == "not-applicable":
        return formatting.SIGNS[row["verdict"]]
    mark = f" {formatting.ARTEFACT}" if formatting.artefact(row) else ""
    return f"{formatting.SIGNS[row['verdict']]} {formatting.effect(row)}{mark}"
