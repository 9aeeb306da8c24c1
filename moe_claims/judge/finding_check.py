"""What an estimator returned, checked and with plain numbers, before anything is decided on it.

Estimators are written by third parties too: a p-value beyond 1, an interval without ends or a NumPy scalar that no
results file can hold is a fault of the estimator, and is said of its claim alone.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from moe_claims.types import Companion, Finding, Interval, NullDistribution, Scalar


class NotAFindingError(ValueError):
    """The message is the end of a sentence that begins with the estimator's name."""


def checked(found: object) -> Finding:
    """The finding with Python's own numbers.

    Raises:
        NotAFindingError: it is no ``Finding``, or one of its numbers cannot be.
    """
    if not isinstance(found, Finding):
        raise NotAFindingError(f"returned a {type(found).__name__} and not a Finding")
    effect = _number("effect", found.effect)
    if math.isnan(effect):
        raise NotAFindingError("returned an effect that is not a number (NaN)")
    return replace(
        found,
        effect=effect,
        interval=_interval("interval", found.interval),
        equivalence=_interval("equivalence", found.equivalence),
        p_value=_share("p_value", found.p_value),
        p_opposite=_share("p_opposite", found.p_opposite),
        smallest_p=_share("smallest_p", found.smallest_p),
        n_units=_count("n_units", found.n_units),
        details=scalars(found.details),
        companions={str(name): _companion(str(name), one) for name, one in found.companions.items()},
        null_distribution=_null(found.null_distribution),
    )


def scalars(values: Mapping[str, object]) -> dict[str, Scalar]:
    """Details or values with Python's own scalars; numbers that are not finite become None where they are shown.

    Raises:
        NotAFindingError: one is neither a number, a text, a bool nor None.
    """
    found: dict[str, Scalar] = {}
    for name, value in values.items():
        plain: Any = value.item() if isinstance(value, np.generic) else value
        if plain is not None and not isinstance(plain, bool | int | float | str):
            raise NotAFindingError(f"returned '{name}' as a {type(value).__name__}: give a number, a text or None")
        found[str(name)] = plain
    return found


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise NotAFindingError(f"returned {name} as a {type(value).__name__}: give a number")
    return float(value)


def _share(name: str, value: object) -> float:
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise NotAFindingError(f"returned {name} {number:g}, which does not lie between 0 and 1")
    return number


def _count(name: str, value: object) -> int:
    number = _number(name, value)
    if number != int(number) or number < 0:
        raise NotAFindingError(f"returned {name} {number:g}: give how many there are")
    return int(number)


def _interval(name: str, value: object) -> Interval:
    if not isinstance(value, Interval):
        raise NotAFindingError(f"returned {name} as a {type(value).__name__}: give an Interval")
    low, high = _number(f"{name}.low", value.low), _number(f"{name}.high", value.high)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise NotAFindingError(f"returned the {name} [{low:g}, {high:g}]: give finite ends, the lower first")
    return replace(value, low=low, high=high, level=_share(f"{name}.level", value.level))


def _companion(name: str, value: object) -> Companion:
    if not isinstance(value, Companion):
        raise NotAFindingError(f"returned the companion '{name}' as a {type(value).__name__}: give a Companion")
    return replace(value, value=_number(name, value.value), interval=_interval(name, value.interval))


def _null(value: object) -> NullDistribution | None:
    if value is None:
        return None
    if not isinstance(value, NullDistribution):
        raise NotAFindingError(f"returned null_distribution as a {type(value).__name__}")
    return replace(
        value,
        observed=_number("null_distribution.observed", value.observed),
        levels=tuple(_number("a level", one) for one in value.levels),
        quantiles=tuple(_number("a quantile", one) for one in value.quantiles),
    )
