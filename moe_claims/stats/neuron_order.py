"""Whether experts keep one order of their neurons: mean Kendall τ over pairs, against random orders.

Null: in every layer, each expert's neurons stand in an order of their own, all m! equally likely. The matching of
experts e and f then is σ_f ∘ π_ef ∘ σ_e⁻¹ with independent uniform σ, whatever matching π_ef the neurons themselves
have.
"""

from dataclasses import dataclass
from math import lgamma
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import as_layers, off_diagonal
from moe_claims.stats.quantiles import OPEN_LEVELS
from moe_claims.types import NullDistribution

FEWEST_NEURONS = 8
"""With fewer, τ takes so few values that the p-values below can be too small (6.5 % at a level of 5 %, 3 neurons)."""
_NEVER = float(np.finfo(np.float64).tiny)
"""A p-value that is too small for a number is not 0."""


@final
@dataclass(frozen=True)
class OrderResult:
    """Mean τ over pairs and layers, and where it stands among random orders."""

    mean: float
    """Mean τ over pairs and layers, −1 to 1."""
    standard_deviation: float
    """Standard deviation of the mean under the null; exact."""
    skewness: float
    """Largest absolute skewness that the mean can have under the null."""
    p_greater: float
    """One-sided p of a mean above 0."""
    p_less: float
    """One-sided p of a mean below 0."""
    smallest_p: float
    """The smallest p-value that the test can reach: where every matching keeps the order, τ = 1."""

    def null_distribution(self) -> NullDistribution:
        """The mean τ of random orders, as skew towards the claimed side as it can be."""
        from scipy.stats import pearson3

        return NullDistribution(
            method="random orders of every expert's neurons (Pearson III)",
            statistic=None,
            observed=self.mean,
            tail="upper",
            levels=OPEN_LEVELS,
            quantiles=tuple((self.standard_deviation * pearson3.ppf(OPEN_LEVELS, self.skewness)).tolist()),
            draws=None,
            exact=False,
        )


def order_test(tau: ArrayLike, neurons: int) -> OrderResult:
    """Tests the mean of τ over all pairs of experts and all layers.

    Any two pairs of a layer are independent under the null: given σ_e, both σ_f and σ_g make their matchings uniform.
    So the mean has expectation 0 and, with P pairs and L layers, exactly the variance of one τ over LP, which is
    2(2m + 5)/(9m(m − 1))/(LP).

    Three pairs among three experts are not independent, and skew the mean. τ of two orders is the inner product of
    their m(m − 1)/2 signs, over as many; the signs of a random order have covariance (m + 1)/3 in the m − 1 directions
    that scores of single neurons span, and 1/3 in all others. With λ those eigenvalues over m(m − 1)/2, Στ's variance
    is Σλ² per pair, and its third cumulant at most 6Σλ³ per three experts: as much if the neurons of all experts are
    the same ones (π_eg = π_fg ∘ π_ef), less otherwise, because |tr ΛUΛVΛW| ≤ tr Λ³ for orthogonal U, V, W. The
    p-values are those of the Pearson III distribution with that skewness towards the tested side, which is exact in
    its first three moments for the same neurons, and errs upwards for others. They never fall below the
    chance (1/m!)^(L(E − 1)) that orders of the same neurons agree everywhere.

    Args:
        tau: (L, E, E) or (E, E) symmetric, Kendall's τ of the matching of each pair of experts.
        neurons: m, the neurons of an expert.

    Raises:
        ValueError: fewer than 8 neurons or 2 experts, τ beyond ±1, not symmetric or not finite.
    """
    from scipy.stats import pearson3

    values = as_layers(tau, "τ")
    layers, experts, _ = values.shape
    if neurons < FEWEST_NEURONS or experts < 2:
        raise ValueError(f"an order needs at least {FEWEST_NEURONS} neurons of 2 experts, not {neurons} of {experts}")
    above = off_diagonal(values)
    if np.abs(above).max() > 1 + 1e-9:
        raise ValueError("Kendall's τ lies between −1 and 1")
    pairs = layers * above.shape[1]
    squared, cubed = _moments(neurons)
    deviation = (squared / pairs) ** 0.5
    skewness = layers * experts * (experts - 1) * (experts - 2) * cubed / pairs**3 / deviation**3
    floor = max(_NEVER, float(np.exp(-layers * (experts - 1) * lgamma(neurons + 1))))

    def beyond(mean: float) -> float:
        return max(floor, float(pearson3.sf(mean / deviation, skewness)))

    mean = float(above.mean())
    return OrderResult(mean, deviation, skewness, beyond(mean), beyond(-mean), beyond(1.0))


def _moments(neurons: int) -> tuple[float, float]:
    """Σλ² (the variance of τ) and Σλ³ for orders of m neurons."""
    signs = neurons * (neurons - 1) / 2
    scores, others = neurons - 1, (neurons - 1) * (neurons - 2) / 2
    high, low = (neurons + 1) / (3 * signs), 1 / (3 * signs)
    return scores * high**2 + others * low**2, scores * high**3 + others * low**3
