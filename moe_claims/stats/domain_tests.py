"""Statistics of expert loads with the domain of text as the unit.

Loads are shares of choices by domain, layer and expert, shape (D, layers, E); they sum to 1 over experts.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from math import copysign, inf, sqrt

import numpy as np
import numpy.typing as npt

from moe_claims.stats.permutation import TestResult, test_against
from moe_claims.stats.proportions import Alternative, sign_quantiles, sign_test
from moe_claims.stats.quantiles import LEVELS, OPEN_LEVELS, t_quantiles
from moe_claims.types import Interval, NullDistribution

Loads = npt.NDArray[np.float64]


def normalised_entropy(load: Loads) -> float:
    """Entropy of one load (E,) over its largest value log E: 0 if one expert takes all, 1 if all are used alike."""
    used = load[load > 0]
    return float(-(used * np.log(used)).sum() / np.log(load.size))


def total_variation(one: Loads, other: Loads) -> float:
    """Share of choices that would have to move to turn one load into the other, averaged over layers; 0 to 1."""
    return float(np.abs(one - other).sum(axis=-1).mean() / 2)


def t_interval(values: Sequence[float] | Loads, level: float) -> Interval:
    """Interval of the mean of ``values`` (D,) by Student's t over domains."""
    reach = _t_quantile(level, len(values)) * _standard_error(values)
    mean = float(np.mean(values))
    return Interval(mean - reach, mean + reach, level, "Student t over domains")


def t_test(values: Sequence[float] | Loads, bound: float) -> float:
    """One-sided p of a mean of ``values`` (D,) above ``bound``; 1 minus it is the p of a mean below."""
    from scipy.stats import t

    difference, error = float(np.mean(values)) - bound, _standard_error(values)
    if error == 0.0:  # domains without spread leave no doubt, unless they lie on the bound
        statistic = copysign(inf, difference) if difference else 0.0
        return float(t.sf(statistic, len(values) - 1))
    return float(t.sf(difference / error, len(values) - 1))


def t_null(values: Sequence[float] | Loads, bound: float) -> NullDistribution:
    """The null of ``t_test``: where the mean of ``values`` would lie if the truth were the bound."""
    return NullDistribution(
        method="Student t over domains",
        statistic=None,
        observed=float(np.mean(values)),
        tail="upper",
        levels=OPEN_LEVELS,
        quantiles=t_quantiles(bound, _standard_error(values), len(values) - 1),
        draws=None,
        exact=False,
    )


def sign_p(values: Loads, alternative: Alternative) -> float:
    """Sign test of ``values`` (D,) over domains, zeros dropped: its p-value; 1 if nothing is left."""
    signs = np.sign(values[values != 0.0])
    return sign_test(int(np.sum(signs > 0)), signs.size, alternative=alternative) if signs.size else 1.0


def sign_null(values: Loads, statistic: str) -> NullDistribution:
    """The null of ``sign_p`` for ``less``: the number of values above 0, each as likely above as below."""
    signs = np.sign(values[values != 0.0])
    return NullDistribution(
        method="signs of domains, each as likely up as down",
        statistic=statistic,
        observed=float(np.sum(signs > 0)),
        tail="lower",
        levels=LEVELS,
        quantiles=sign_quantiles(signs.size),
        draws=2**signs.size,
        exact=True,
    )


def label_test(against_even: Loads, expert: int) -> TestResult:
    """Exact test of one expert's mean over domains and layers when experts are relabelled in every layer.

    ``against_even`` (D, layers, E). One relabelling of a layer serves all domains, and layers are
    relabelled independently: all E**layers choices of which expert is meant are enumerated.
    """
    by_layer = against_even.mean(axis=0)
    sums = reduce(np.add.outer, by_layer)
    return test_against(float(by_layer[:, expert].sum()), sums.ravel(), exact=True)


def same_label_test(against_even: Loads, expert: int) -> TestResult:
    """Exact test as ``label_test``, with one relabelling for all layers: E choices, and no p below 1/E."""
    sums = against_even.mean(axis=0).sum(axis=0)
    return test_against(float(sums[expert]), sums, exact=True)


def domain_distances(base: Loads) -> dict[tuple[int, int], float]:
    """Total variation between the loads of every two domains, by their numbers."""
    return {(a, b): total_variation(base[a], base[b]) for a, b in combinations(range(len(base)), 2)}


def kept_part(moved: float, base: Loads) -> float:
    """Part of the mean distance between domains that a distance ``moved`` leaves uncovered; 1 is no move at all."""
    return 1.0 - moved / float(np.mean(list(domain_distances(base).values())))


def kept_interval(moved: float, base: Loads, level: float) -> Interval:
    """Interval of ``kept_part``, leaving out one domain of the base model at a time; ``moved`` is taken as known."""
    domains = len(base)
    left_out = [kept_part(moved, np.delete(base, domain, axis=0)) for domain in range(domains)]
    reach = _t_quantile(level, domains) * sqrt((domains - 1) * float(np.var(left_out)))
    effect = kept_part(moved, base)
    return Interval(effect - reach, effect + reach, level, "jackknife over domains, Student t")


def _t_quantile(level: float, domains: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1.0 + level) / 2.0, domains - 1))


def _standard_error(values: Sequence[float] | Loads) -> float:
    return float(np.std(values, ddof=1)) / sqrt(len(values))
