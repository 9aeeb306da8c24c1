"""Claims on expert diversity over depth: it rises, except in the last layer (paper, sections 4.1.1 and 5.1)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import CURVES, CURVES_WITHOUT_TREND
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.models.families.table import ROLES, Role
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap
from moe_claims.stats.outlier import block_bootstrap_in_mads, last_layer, others_mad, residual_in_mads
from moe_claims.stats.permutation import Floats, off_diagonal
from moe_claims.stats.trend import FEWEST_LAYERS, block_bootstrap_tau, kendall_tau, trend
from moe_claims.types import Finding, Interval


def enough_layers(layers: int) -> None:
    """Requires as many layers as a trend and an outlier need.

    Raises:
        NotComparableError: fewer than 6 MoE layers.
    """
    if layers <= FEWEST_LAYERS:
        raise NotComparableError(
            f"a trend over depth needs at least {FEWEST_LAYERS + 1} MoE layers; this model has {layers}"
        )


def unit_of_spread(values: Floats) -> None:
    """Requires that the layers before the last deviate from a line, since their deviations are the unit of the effect.

    Raises:
        NotComparableError: the layers before the last lie exactly on a line.
    """
    if others_mad(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        raise NotComparableError("the layers before the last lie exactly on one line, so deviations have no unit")


def _role(variant: str | None) -> Role:
    return next(role for role in ROLES if role == variant)


def output_similarity(routed: RoutedMeasurement) -> tuple[Floats, Floats]:
    """(S, L) sums over tokens of the mean pairwise angular similarity of expert outputs, and (S,) numbers of tokens."""
    return off_diagonal(routed.angular_sums).mean(axis=-1).T, np.asarray(routed.lengths, dtype=np.float64)


def output_diversity(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Trend of the output similarity over all layers but the last; the interval is over sequences."""
    enough_layers(len(measured.routed.layers))
    sums, counts = output_similarity(measured.routed)

    def tau(means: Floats) -> Floats:
        return kendall_tau(means[:, :-1])

    intervals = cluster_bootstrap(sums, counts, tau, rng=rng, method="percentile")
    return diversity(sums.sum(axis=0) / counts.sum(), intervals, rng)


def weight_diversity(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Trend of the matrix-level similarity over all layers but the last."""
    enough_layers(len(measured.weights.layers))
    values = off_diagonal(measured.weights.matrix[_role(variant)]).mean(axis=-1)
    return diversity(values, block_bootstrap_tau(values[:-1], rng=rng), rng)


def diversity(values: Floats, intervals: tuple[Interval, ...], rng: np.random.Generator) -> Finding:
    """The finding on the trend of (L,) similarities without the last layer, given its 95 and 90 % intervals."""
    result = trend(values[:-1], rng=rng)
    interval, equivalence = intervals
    return Finding(
        effect=result.tau,
        interval=interval,
        equivalence=equivalence,
        p_value=result.autoregressive.p_less,
        p_opposite=result.autoregressive.p_greater,
        smallest_p=result.autoregressive.smallest_p,
        n_units=len(values) - 1,
        details={
            "theil_sen_change": result.change,
            "first_layer": float(values[0]),
            "last_but_one_layer": float(values[-2]),
            "last_layer": float(values[-1]),
            "phi": result.phi,
            "p_permutation_lenient": result.permutation.p_less,
            "p_mann_kendall_lenient": result.mann_kendall,
        },
        null_distribution=result.autoregressive.null_distribution(CURVES, tail="lower"),
    )


def output_last_layer(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Deviation of the last layer's output similarity from the line through the other layers."""
    enough_layers(len(measured.routed.layers))
    sums, counts = output_similarity(measured.routed)
    values = sums.sum(axis=0) / counts.sum()
    unit_of_spread(values)
    intervals = cluster_bootstrap(sums, counts, residual_in_mads, rng=rng, method="percentile")
    return last(values, intervals, rng)


def weight_last_layer(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Deviation of the last layer's matrix-level similarity from the line through the other layers."""
    enough_layers(len(measured.weights.layers))
    values = off_diagonal(measured.weights.matrix[_role(variant)]).mean(axis=-1)
    unit_of_spread(values)
    return last(values, block_bootstrap_in_mads(values, rng=rng), rng)


def last(values: Floats, intervals: tuple[Interval, ...], rng: np.random.Generator) -> Finding:
    """The finding on the last of (L,) values against the line through the others, given its 95 and 90 % intervals."""
    result = last_layer(values, rng=rng)
    interval, equivalence = intervals
    return Finding(
        effect=result.in_mads,
        interval=interval,
        equivalence=equivalence,
        p_value=result.studentised.p_greater,
        p_opposite=result.studentised.p_less,
        smallest_p=result.studentised.smallest_p,
        n_units=len(values),
        details={
            "residual": result.residual,
            "studentised_residual": result.studentised.statistic,
            "phi": result.phi,
            "p_conformal_lenient": result.conformal_p,
        },
        null_distribution=result.studentised.null_distribution(
            CURVES, "externally studentised residual of the last layer"
        ),
    )


DIVERSITY_DEPTH = Claim(
    id="diversity-depth",
    statement="Expert outputs grow less alike with depth, the last layer left out.",
    section="5.1, Figures 2, 3 and 9",
    family="headline",
    needs="text",
    effect="Kendall τ_b of depth and mean output similarity",
    smallest=-0.30,
    null=CURVES_WITHOUT_TREND,
    unit="layer; sequence (interval)",
    estimator=output_diversity,
    applies="6 MoE layers or more",
)


LAST_LAYER_OUTLIER = Claim(
    id="last-layer-outlier",
    statement="Expert outputs of the last layer are far more alike than the trend of the others foretells.",
    section="5.1, Figures 2 and 3",
    family="headline",
    needs="text",
    effect="residual of the last layer, in median absolute deviations of the others'",
    smallest=3.0,
    null=CURVES_WITHOUT_TREND,
    unit="layer; sequence (interval)",
    estimator=output_last_layer,
    applies="6 MoE layers or more",
)


WEIGHT_DIVERSITY_DEPTH = Claim(
    id="weight-diversity-depth",
    statement="Weights of experts grow less alike with depth, the last layer left out (Mixtrals).",
    section="4.1.1, Figure 1",
    family="headline",
    needs="weights",
    effect="Kendall τ_b of depth and mean matrix similarity",
    smallest=-0.30,
    null=CURVES_WITHOUT_TREND,
    unit="layer",
    estimator=weight_diversity,
    variants=("up", "act", "down"),
    applies="6 MoE layers or more",
)


WEIGHT_LAST_LAYER_OUTLIER = Claim(
    id="weight-last-layer-outlier",
    statement="Weights of experts in the last layer are far more alike than the trend foretells (Mixtrals).",
    section="4.1.1, Figure 1",
    family="headline",
    needs="weights",
    effect="residual of the last layer, in median absolute deviations of the others'",
    smallest=3.0,
    null=CURVES_WITHOUT_TREND,
    unit="layer",
    estimator=weight_last_layer,
    variants=("up", "act", "down"),
    applies="6 MoE layers or more",
)
