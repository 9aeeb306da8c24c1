"""The audits of the paper's printed numbers, by id and in the order of the report.

They need no model. Each is a pure function of the published numbers, an optional argument;
``AUDITS[id]()`` uses the numbers stored in the package.
"""

from collections.abc import Callable

from moe_claims.packs.look_into_moes.audits.figure_10 import (
    Figure10Effects,
    figure10_diagonal,
    figure10_effect_sizes,
    figure10_effects,
    figure10_margins,
)
from moe_claims.packs.look_into_moes.audits.parameters_and_table_6 import (
    activated_parameters,
    bench_averages,
    decline_with_depth,
    total_parameters,
)
from moe_claims.packs.look_into_moes.audits.tables_3_and_5 import (
    grok_negative_after_25,
    r2_against_signed_mean,
    r2_null_expectation,
    r2_range_of_mixtrals,
    table3_against_table5,
    table5_precision,
)
from moe_claims.types import Audit

__all__ = ["AUDITS", "Figure10Effects", "figure10_effects", "run_audits"]

AUDITS: dict[str, Callable[[], Audit]] = {
    "table3-against-table5": table3_against_table5,
    "table5-precision": table5_precision,
    "r2-null-expectation": r2_null_expectation,
    "r2-against-signed-mean": r2_against_signed_mean,
    "r2-range-of-mixtrals": r2_range_of_mixtrals,
    "grok-negative-after-25": grok_negative_after_25,
    "activated-parameters": activated_parameters,
    "bench-averages": bench_averages,
    "decline-with-depth": decline_with_depth,
    "total-parameters": total_parameters,
    "figure10-margins": figure10_margins,
    "figure10-effect-sizes": figure10_effect_sizes,
    "figure10-diagonal": figure10_diagonal,
}


def run_audits() -> list[Audit]:
    """All audits on the published numbers, in order."""
    return [audit() for audit in AUDITS.values()]
