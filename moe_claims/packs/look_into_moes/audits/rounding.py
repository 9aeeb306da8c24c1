"""Printed numbers: their rounding error, and how the audits format them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from moe_claims.types import Scalar

Paper = Mapping[str, Any]
"""The published numbers as ``moe_claims.packs.look_into_moes.paper.published`` returns them."""

TWO_DIGITS = 0.005
"""Rounding error of a number printed with two decimals (Tables 3, 5 and 6)."""
ALPHA = 0.05
"""Error level of every audit that runs a statistical test."""


def rounding_error(printed: float) -> float:
    """Half a unit of the last printed digit: 0.05 for 12.9, 0.5 for 39.

    The data file does not keep a final zero (0.40). Where the number of digits of a table is
    known, its audit uses a constant instead of this function.

    Raises:
        ValueError: the number is not finite.
    """
    exponent = Decimal(str(printed)).as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"a printed number must be finite, not {printed}")
    return float(Decimal(5).scaleb(exponent - 1))


def paper_name(facts: Paper, model: str) -> str:
    """Name that the paper gives a model, such as ``Mixtral-22``."""
    printed: str = facts["models"][model]["paper_name"]
    return printed


def by_model(facts: Paper, values: Mapping[str, float], spec: str) -> str:
    """Text such as ``Mixtral 0.33, Grok 0.15``; ``spec`` is a format such as ``".2f"``."""
    return ", ".join(f"{paper_name(facts, model)} {value:{spec}}" for model, value in values.items())


def columns(**by_row: Mapping[str, float]) -> dict[str, Scalar]:
    """Flattens columns over rows for an audit's ``values``: ``{"grok-1 printed": 0.15, …}``."""
    return {f"{row} {column}": value for column, values in by_row.items() for row, value in values.items()}
