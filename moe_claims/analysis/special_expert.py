"""Experts whose weights stand apart from the others' ('dark crosses'; paper, 4.1.1, Appendices C and I)."""

from math import ceil, isqrt

import numpy as np

from moe_claims.analysis.expert_similarity import role_of
from moe_claims.analysis.measured import Measured
from moe_claims.errors import NotComparableError
from moe_claims.measure.measurement import DenseWeights, Floats, RoutedMeasurement
from moe_claims.models.families import ROLES
from moe_claims.stats.clusters import cluster_bootstrap, sign_flips
from moe_claims.stats.density import dbscan, principal_plane
from moe_claims.stats.esd import chance_of, generalized_esd
from moe_claims.stats.marks import Marks, marked_mean, most_marked
from moe_claims.stats.proportions import clopper_pearson
from moe_claims.types import Finding, Interval

ALPHA = 0.05
"""Chance, about, of finding an expert that stands apart in a layer that has none."""
FEWEST_EXPERTS = 7
"""Of fewer, an expert must lie more than four standard deviations of the others below them to be found."""
REACH = 0.5
"""Experts are neighbours in the plane within this share of the root mean square distance from its centre. The
paper's 50 is in units of one model's weights, and says nothing of another width or number of experts."""
NEIGHBOURS = 3
"""Points that make a cluster's core: one more than the dimensions (Sander, Ester, Kriegel and Xu 1998)."""


def _enough(experts: int) -> None:
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"to stand apart from the others takes at least {FEWEST_EXPERTS} experts; this model has {experts}"
        )


def _most(experts: int) -> int:
    """Experts of a layer that may stand apart: one or few, so no more than the root of their number."""
    return isqrt(experts)


def flags(similarity: Floats, alpha: float = ALPHA) -> Marks:
    """(L, E, E) cosines → (L, E) experts whose mean similarity to the others is a low outlier.

    Generalized ESD test of every layer, on the low side alone, with all of ``alpha`` there.
    """
    experts = similarity.shape[-1]
    diagonal = np.diagonal(similarity, axis1=1, axis2=2)
    to_others = (similarity.sum(axis=-1) - diagonal) / (experts - 1)
    return generalized_esd(to_others, _most(experts), alpha=alpha, alternative="less").outliers


def stands_apart(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Whether one and the same expert is a low outlier in many layers.

    Two explanations by chance have to be ruled out, so the p-value is the larger of two:
    outliers may be no more frequent than the outlier test finds where there are none; and
    however many there are, they may fall on any expert, as labels are arbitrary and have
    nothing to do with each other in different layers. Both count the most frequent
    expert, whichever it is; the interval takes that expert as given.
    """
    marked = flags(measured.weights.matrix[role_of(variant)])
    layers, experts = marked.shape
    _enough(experts)
    result = most_marked(marked, chance_of(experts, _most(experts), ALPHA, "less"), rng=rng)
    tests = (result.by_chance, result.given_numbers)
    interval, equivalence = (_over_layers(clopper_pearson(result.count, layers, level=level)) for level in (0.95, 0.90))
    return Finding(
        effect=result.count / layers,
        interval=interval,
        equivalence=equivalence,
        p_value=max(test.p_greater for test in tests),
        p_opposite=max(test.p_less for test in tests),
        smallest_p=max(test.smallest_p for test in tests),
        n_units=layers,
        details={
            "expert": result.expert if result.count else None,
            "layers_of_that_expert": result.count,
            "layers_with_any": int(marked.any(axis=1).sum()),
            "outliers": int(marked.sum()),
            "layers": layers,
            "p_by_chance": result.by_chance.p_greater,
            "p_given_numbers": result.given_numbers.p_greater,
        },
    )


def _over_layers(interval: Interval) -> Interval:
    return Interval(interval.low, interval.high, interval.level, "Clopper–Pearson over layers")


def _often_enough(similarity: Floats) -> Marks:
    """The experts that stand apart, in a model that has one in a quarter of its layers.

    Raises:
        NotComparableError: too few experts, or too few layers with one that stands apart.
    """
    _enough(similarity.shape[-1])
    marked = flags(similarity)
    layers, some = len(marked), int(marked.any(axis=1).sum())
    if some < ceil(layers / 4):
        raise NotComparableError(
            f"an expert stands apart in {some} of {layers} layers, and this claim needs one in a quarter of them"
        )
    return marked
