"""Exact statistics of counts: the Clopper–Pearson interval and the sign test.

Nothing is approximated: bounds are quantiles of the beta distribution, and p-values are sums
of binomial coefficients over a power of two. SciPy's ``binomtest(...).proportion_ci("exact")`` is
the same interval, found by a root search that stops within 2e-12 of it: a bound near 0, as of 1
in 100,000, then has six correct digits at most. The quantiles here have all of them, and there are one-sided bounds.
"""

from fractions import Fraction
from itertools import accumulate
from math import comb
from typing import Literal

from moe_claims.stats.quantiles import LEVELS
from moe_claims.types import Interval

Alternative = Literal["greater", "less", "two-sided"]


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Exact two-sided interval of a proportion, with at least the coverage ``level``.

    Raises ValueError unless 0 ≤ successes ≤ trials, trials ≥ 1 and 0 < level < 1.
    Source: Clopper and Pearson, Biometrika 26 (1934) 404–413.
    """
    _check_counts(successes, trials)
    _check_level(level)
    one_sided = (1.0 + level) / 2.0
    return Interval(
        low=one_sided_lower(successes, trials, level=one_sided),
        high=one_sided_upper(successes, trials, level=one_sided),
        level=level,
        method="Clopper–Pearson (exact binomial)",
    )


def one_sided_upper(successes: int, trials: int, *, level: float = 0.95) -> float:
    """Exact upper bound of a proportion: the true one lies below it with at least probability ``level``.

    Raises ValueError as ``clopper_pearson`` does.
    """
    _check_counts(successes, trials)
    _check_level(level)
    if successes == trials:
        return 1.0
    return _beta_quantile(level, successes + 1, trials - successes)


def one_sided_lower(successes: int, trials: int, *, level: float = 0.95) -> float:
    """Exact lower bound of a proportion: the true one lies above it with at least probability ``level``.

    Raises ValueError as ``clopper_pearson`` does.
    """
    _check_counts(successes, trials)
    _check_level(level)
    if successes == 0:
        return 0.0
    return _beta_quantile(1.0 - level, successes, trials - successes + 1)


def sign_test(positive: int, trials: int, *, alternative: Alternative = "two-sided") -> float:
    """Exact binomial p-value of ``positive`` signs among ``trials``, each as likely up as down.

    Zeros carry no sign: the caller drops them, so that ``trials`` counts non-zero values alone.
    The smallest p that can be reached is 2**-trials one-sided, twice that two-sided.

    Raises ValueError unless 0 ≤ positive ≤ trials, trials ≥ 1 and the alternative is known.
    """
    _check_counts(positive, trials)
    if alternative == "greater":
        return _upper_tail(positive, trials)
    if alternative == "less":
        return _upper_tail(trials - positive, trials)
    if alternative == "two-sided":
        # The null is symmetric, so the two tails are one tail doubled.
        return min(1.0, 2.0 * _upper_tail(max(positive, trials - positive), trials))
    raise ValueError(f"alternative must be 'greater', 'less' or 'two-sided', not {alternative!r}")


def sign_quantiles(trials: int) -> tuple[float, ...]:
    """Quantiles, at ``LEVELS``, of the number of positive signs among ``trials``, each as likely up as down.

    Raises ValueError for a negative number of trials.
    """
    if trials < 0:
        raise ValueError(f"trials must be 0 or more, not {trials}")
    orders = list(accumulate(comb(trials, count) for count in range(trials + 1)))
    return tuple(
        float(next(count for count, below in enumerate(orders) if below >= Fraction(level) * 2**trials))
        for level in LEVELS
    )


def _upper_tail(positive: int, trials: int) -> float:
    """P(X ≥ positive) for X binomial(trials, 1/2), summed in integers and divided once."""
    orders = sum(comb(trials, count) for count in range(positive, trials + 1))
    return orders / (1 << trials)


def _beta_quantile(probability: float, a: int, b: int) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, probability))


def _check_counts(successes: int, trials: int) -> None:
    if trials < 1:
        raise ValueError(f"trials must be at least 1, not {trials}: without a trial there is nothing to test")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and the {trials} trials, not {successes}")


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, such as 0.95, not {level}")
