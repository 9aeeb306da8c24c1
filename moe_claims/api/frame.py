"""The rows of a results document as flat records, for a data frame."""

from collections.abc import Mapping
from typing import Any

from moe_claims.report import formatting

_TEXT: Any = None
_NUMBER = "float64"

COLUMNS: dict[str, Any] = {
    "model": _TEXT,
    "claim": _TEXT,
    "variant": _TEXT,
    "text": _TEXT,
    "verdict": _TEXT,
    "effect": _NUMBER,
    "ci_low": _NUMBER,
    "ci_high": _NUMBER,
    "p_adjusted": _NUMBER,
    "smallest_of_interest": _NUMBER,
    "effect_name": _TEXT,
    "p_value": _NUMBER,
    "n_units": "Int64",
    "unit": _TEXT,
    "random_init": _TEXT,
    "random_init_effect": _NUMBER,
    "artefact": "bool",
    "published": _NUMBER,
    "evidence": _TEXT,
    "family": _TEXT,
    "pack": _TEXT,
    "claim_version": "int64",
    "reason": _TEXT,
}
"""Name of a column → its dtype in pandas; None leaves it to pandas. Missing numbers are NaN."""


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row of ``results``, by column; None where there is none."""
    effect, control = row["effect"], row["controls"].get("random_init") or {}
    return {
        "model": row["model"],
        "claim": row["claim"],
        "variant": row["variant"],
        "text": row["corpus"],
        "verdict": row["verdict"],
        "effect": effect["value"],
        "ci_low": effect["ci_low"],
        "ci_high": effect["ci_high"],
        "p_adjusted": row["p_adjusted"],
        "smallest_of_interest": effect["smallest_of_interest"],
        "effect_name": effect["name"],
        "p_value": row["p_value"],
        "n_units": row["n_units"],
        "unit": row["unit"],
        "random_init": control.get("verdict"),
        "random_init_effect": control.get("effect"),
        "artefact": formatting.artefact(row),
        "published": row["published"]["value"] if row["published"] else None,
        "evidence": row["evidence"],
        "family": row["family"],
        "pack": row["pack"],
        "claim_version": row["claim_version"],
        "reason": row["reason"],
    }
