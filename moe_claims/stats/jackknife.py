"""Delete-one-expert jackknife of a statistic averaged over layers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from moe_claims.stats.permutation import Floats, Labels
from moe_claims.types import Interval


@final
@dataclass(frozen=True)
class JackknifeResult:
    """A mean over layers and its standard error over experts within layers."""

    estimate: float
    """The statistic of all experts, averaged over layers."""
    standard_error: float
    """Its standard error, in the same unit."""
    degrees: float
    """Degrees of freedom (Welch–Satterthwaite): E − 1 if one layer has all the variance, L(E − 1) if all are alike."""

    def interval(self, level: float = 0.95) -> Interval:
        """Symmetric t interval."""
        from scipy.stats import t

        reach = float(t.ppf(0.5 + level / 2, self.degrees)) * self.standard_error
        return Interval(self.estimate - reach, self.estimate + reach, level, "jackknife over experts within layers")


def jackknife(statistic: Callable[[Labels], Floats], experts: int) -> JackknifeResult:
    """Leaves every expert of every layer out once.

    Which expert carries which number is arbitrary and has nothing to do with the same
    number in another layer, so layers are strata: the variance of the mean over L layers
    is the sum of the layers' jackknife variances over L².

    Args:
        statistic: from kept expert indices, (E,) or (E − 1,), to one value per layer, (L,).
        experts: E.

    Raises:
        ValueError: fewer than 4 experts, or a statistic that is not one finite number per layer.

    Source: Efron and Stein 1981; for networks Snijders and Borgatti 1999, whose smaller
    factor (E − 2)/(2E) assumes independent dyads; experts are not, so the full one is used.
    """
    if experts < 4:
        raise ValueError(f"a jackknife over experts needs at least 4, not {experts}")
    everyone = np.arange(experts)
    whole = np.asarray(statistic(everyone), dtype=np.float64)
    left_out = np.stack([statistic(np.delete(everyone, e)) for e in range(experts)])  # (E, L)
    if whole.ndim != 1 or not np.isfinite(whole).all() or not np.isfinite(left_out).all():
        raise ValueError("the statistic must be one finite number per layer, with every expert left out in turn")
    variance = (experts - 1) / experts * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    layers = len(whole)
    # Layers differ in variance, so L(E − 1) degrees would be too many (coverage 91 % where one layer has it all).
    share = variance / variance.sum() if variance.sum() > 0 else np.full(layers, 1 / layers)
    degrees = float((experts - 1) / (share**2).sum())
    return JackknifeResult(float(whole.mean()), float(np.sqrt(variance.sum()) / layers), degrees)
