"""Inference over sequences: the sequence is the unit of every flip, resample and interval."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import copysign, inf
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, test_against
from moe_claims.stats.quantiles import OPEN_LEVELS, t_quantiles
from moe_claims.types import Interval, NullDistribution

_CHUNK = 2_000
_FLOATS = 16_000_000
"""Means of resamples that are alive at once (128 MB): statistics of very many sums get fewer resamples at a time."""
_ENUMERATE = 13
"""Up to 2¹³ = 8,192 sign patterns are enumerated."""


def sign_flips(sums: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> TestResult:
    """Tests whether the contributions of sequences add up to more, or less, than 0 by flipping the sign of each.

    Under the null a sequence is as likely to contribute c as −c. The statistic is the sum
    of the contributions.

    Args:
        sums: (S,) contribution of each sequence.
        rng: seeded generator.
        resamples: Monte Carlo flips; up to 13 sequences are enumerated instead.

    Raises:
        ValueError: fewer than 2 sequences, or numbers that are not finite.
    """
    values = np.asarray(sums, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"sign flips need one value for each of at least 2 sequences, not shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("sign flips need finite values for every sequence")
    exact = len(values) <= _ENUMERATE
    if exact:
        signs = np.asarray(list(product((1.0, -1.0), repeat=len(values))))
    else:
        signs = rng.choice(np.array([-1.0, 1.0]), size=(resamples, len(values)))
    return test_against(float(values.sum()), signs @ values, exact=exact)


def _checked(sums: ArrayLike, counts: ArrayLike) -> tuple[Floats, Floats]:
    totals, sizes = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if totals.ndim != 2 or sizes.shape != totals.shape[:1] or len(sizes) < 2:
        raise ValueError(f"sums {totals.shape} and counts {sizes.shape} must be (S, K) and (S,) with S of 2 or more")
    if not (sizes > 0).all() or not np.isfinite(sizes).all() or not np.isfinite(totals).all():
        raise ValueError("every sequence needs finite sums and at least one token")
    return totals, sizes


def cluster_bootstrap(
    sums: ArrayLike,
    counts: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    levels: tuple[float, ...] = (0.95, 0.90),
    resamples: int = RESAMPLES,
    method: str = "BCa",
) -> tuple[Interval, ...]:
    """Intervals of a statistic of token means, whole sequences resampled.

    With few sequences a bootstrap interval is too short, because the resamples vary less
    than new samples would; the normal quantiles are therefore expanded to
    t quantiles times √(S/(S − 1)) (Hesterberg 2015, section 4.5), which vanishes as S grows.

    Args:
        sums: (S, K) sums over the tokens of each sequence.
        counts: (S,) tokens of each sequence.
        statistic: vectorised, from means over tokens (B, K) to (B,).
        rng: seeded generator.
        levels: coverages asked for, one interval each.
        resamples: bootstrap samples.
        method: ``BCa`` (Efron 1987) for smooth statistics, ``percentile`` for those with
            few values, such as rank correlations over layers.

    Raises:
        ValueError: shapes that do not fit, fewer than 2 sequences, a sequence without tokens,
            numbers that are not finite, or another method.
    """
    from scipy.stats import norm, t

    totals, sizes = _checked(sums, counts)
    if method not in ("BCa", "percentile"):
        raise ValueError(f"bootstrap method '{method}' is neither BCa nor percentile")
    count = len(sizes)
    draws = np.empty(resamples)
    chunk = max(1, min(_CHUNK, _FLOATS // totals.shape[1]))
    for start in range(0, resamples, chunk):
        part = slice(start, min(start + chunk, resamples))
        weights = rng.multinomial(count, np.full(count, 1 / count), size=part.stop - part.start)
        draws[part] = statistic(weights @ totals / (weights @ sizes)[:, None])
    observed = float(statistic(totals.sum(axis=0)[None] / sizes.sum())[0])
    if not np.isfinite(draws).all() or not np.isfinite(observed):
        raise ValueError("the statistic is not finite on every resample of the sequences")
    label = f"{method} bootstrap over sequences"
    if np.ptp(draws) <= 1e-12 * max(abs(observed), float(np.abs(draws).max())):
        # Sequences that are all alike differ by rounding alone, which has no bias to correct.
        return tuple(Interval(observed, observed, level, label) for level in levels)
    shift, acceleration = 0.0, 0.0
    if method == "BCa":
        below = (draws < observed).mean() + 0.5 * (draws == observed).mean()
        shift = float(norm.ppf(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
        rest = (totals.sum(axis=0) - totals) / (sizes.sum() - sizes)[:, None]
        spread = statistic(rest)
        spread = spread.mean() - spread
        cubed = float((spread**2).sum()) ** 1.5
        acceleration = float((spread**3).sum()) / (6 * cubed) if cubed > 0 else 0.0
    intervals = []
    for level in levels:
        reach = float(t.ppf(0.5 + level / 2, count - 1)) * (count / (count - 1)) ** 0.5
        ends = shift + np.array([-reach, reach])
        quantiles = norm.cdf(shift + ends / np.maximum(1 - acceleration * ends, 1e-3))
        low, high = np.quantile(draws, quantiles)
        intervals.append(Interval(float(low), float(high), level, label))
    return tuple(intervals)


@final
@dataclass(frozen=True)
class SequenceJackknife:
    """A statistic of token means against a bound, with its error over sequences."""

    estimate: float
    """Mean of the pseudo-values: the statistic less its small-sample bias."""
    plain: float
    """The statistic of all tokens, bias included."""
    standard_error: float
    """Standard error of the estimate over sequences, in the unit of the statistic."""
    p_greater: float
    """One-sided p of a statistic above the bound."""
    p_less: float
    """One-sided p of a statistic below the bound."""
    degrees: float
    """Degrees of freedom of Student's t: the effective number of sequences less 1."""
    bound: float
    """The value that the statistic was tested against."""

    def interval(self, level: float = 0.95, *, ceiling: float = inf) -> Interval:
        """Symmetric t interval; cut at ``ceiling``, the largest value that the statistic can have."""
        from scipy.stats import t

        reach = float(t.ppf(0.5 + level / 2, self.degrees)) * self.standard_error
        low, high = (min(ceiling, self.estimate + side * reach) for side in (-1, 1))
        return Interval(low, high, level, "jackknife over sequences")

    def null_distribution(self) -> NullDistribution:
        """Where the estimate would lie if the truth were the bound; the claim is that it lies above."""
        return NullDistribution(
            method="Student t over sequences (jackknife)",
            statistic=None,
            observed=self.estimate,
            tail="upper",
            levels=OPEN_LEVELS,
            quantiles=t_quantiles(self.bound, self.standard_error, self.degrees),
            draws=None,
            exact=False,
        )


def jackknife_over_sequences(
    sums: ArrayLike, counts: ArrayLike, statistic: Callable[[Floats], Floats], *, bound: float = 0.0
) -> SequenceJackknife:
    """Whether a statistic of token means lies above or below a bound, one sequence left out at a time.

    For claims of level, where a biased statistic would decide wrongly: the entropy of observed
    loads is below that of the true ones, and by 1/S where sequences differ in topic. Tried at
    an entropy of exactly 0.95 (8 experts, 26 sequences of their own topics, 16 layers), the
    plain statistic is found below it in 82 % of runs and its BCa interval covers it in 1 %;
    with the jackknife's bias taken out it is 5 % and 95 %. Sequences of unequal length are
    worth fewer of equal length, (Σn)²/Σn² (Kish 1965), and so are the degrees of freedom.
    Still too short with few sequences that are very skew (an exponential tail: 90 % with 10).

    Args:
        sums: (S, K) sums over the tokens of each sequence.
        counts: (S,) tokens of each sequence.
        statistic: vectorised, from means over tokens (B, K) to (B,).
        bound: the value that the statistic is tested against.

    Raises:
        ValueError: shapes that do not fit, fewer than 2 sequences, a sequence without tokens,
            or numbers that are not finite.

    Source: Quenouille 1956; Tukey 1958; Miller 1974.
    """
    from scipy.stats import t

    totals, sizes = _checked(sums, counts)
    count = len(sizes)
    plain = float(statistic(totals.sum(axis=0)[None] / sizes.sum())[0])
    left_out = statistic((totals.sum(axis=0) - totals) / (sizes.sum() - sizes)[:, None])
    if not np.isfinite(plain) or not np.isfinite(left_out).all():
        raise ValueError("the statistic is not finite with every sequence left out in turn")
    pseudo = count * plain - (count - 1) * left_out
    estimate, error = float(pseudo.mean()), float(pseudo.std(ddof=1)) / count**0.5
    degrees = max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1)
    rounding = 1e-12 * count * max(abs(plain), abs(bound))
    distance = 0.0 if abs(estimate - bound) <= rounding else estimate - bound
    if error <= rounding:  # sequences that are all alike leave no doubt, unless they lie on the bound
        estimate, error, distance = plain, 0.0, copysign(inf, distance) if distance else 0.0
    else:
        distance /= error
    return SequenceJackknife(
        estimate, plain, error, float(t.sf(distance, degrees)), float(t.cdf(distance, degrees)), degrees, bound
    )
