"""Claims on output norms and intermediate states over depth (paper, section 5.2 and Appendix H).

Norms and magnitudes are positive and differ between layers by factors, so lines are fitted to their
logarithms: a curve that grows by the same factor in every layer is straight. Kendall's τ is
computed on the values themselves, which gives the same result.
"""

from dataclasses import replace

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import CURVES, CURVES_WITHOUT_TREND
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.packs.look_into_moes.depth import enough_layers, last, unit_of_spread
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap
from moe_claims.stats.outlier import residual_in_mads
from moe_claims.stats.permutation import Floats
from moe_claims.stats.trend import kendall_tau, trend
from moe_claims.types import Finding


def norms_grow(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Trend of the mean output norm over all layers; the interval is over sequences."""
    routed = measured.routed
    enough_layers(len(routed.layers))
    by_token = [norms.mean(axis=-1, dtype=np.float64) for norms in routed.output_norms]
    return _grows(_by_sequence(by_token, routed), routed, "output norm", rng)


def activations_grow(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Trend of the mean |σ(W_act x)| over all layers; the interval is over sequences."""
    routed = measured.routed
    enough_layers(len(routed.layers))
    return _grows(routed.magnitude_sums.mean(axis=-1).T, routed, "activation", rng)


def _by_sequence(by_token: list[Floats], routed: RoutedMeasurement) -> Floats:
    """(T,) values of each layer → (S, L) sums over the tokens of each sequence."""
    starts = np.cumsum(routed.lengths) - routed.lengths
    return np.stack([np.add.reduceat(values, starts) for values in by_token], axis=1)


def _logs(sums: Floats, routed: RoutedMeasurement, what: str) -> Floats:
    """(S, L) sums over tokens → (L,) logarithms of their means."""
    means = sums.sum(axis=0) / routed.lengths.sum()
    if not (means > 0).all():
        raise NotComparableError(f"the mean {what} of layer {routed.layers[int(means.argmin())]} is zero")
    return np.asarray(np.log(means))


def _grows(sums: Floats, routed: RoutedMeasurement, what: str, rng: np.random.Generator) -> Finding:
    logs = _logs(sums, routed, what)
    result = trend(logs, rng=rng)
    interval, equivalence = cluster_bootstrap(sums, routed.lengths, kendall_tau, rng=rng, method="percentile")
    return Finding(
        effect=result.tau,
        interval=interval,
        equivalence=equivalence,
        p_value=result.autoregressive.p_greater,
        p_opposite=result.autoregressive.p_less,
        smallest_p=result.autoregressive.smallest_p,
        n_units=len(logs),
        details={
            "factor_by_theil_sen": float(np.exp(result.change)),
            "first_layer": float(np.exp(logs[0])),
            "last_layer": float(np.exp(logs[-1])),
            "phi": result.phi,
            "p_permutation_lenient": result.permutation.p_greater,
            "p_mann_kendall_lenient": result.mann_kendall,
        },
        null_distribution=result.autoregressive.null_distribution(CURVES),
    )


def last_layer_norm_spread(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Variation of a token's output norms between experts: deviation of the last layer from the others' line.

    The measure is the coefficient of variation over experts, mean over tokens; the line is fitted to its
    logarithm. The paper says 'most': if the last layer is above the line but not above every other layer,
    the claim falls short.
    """
    routed = measured.routed
    enough_layers(len(routed.layers))
    sums = _by_sequence([norm_variation(norms) for norms in routed.output_norms], routed)
    logs = _logs(sums, routed, "variation of output norms")
    unit_of_spread(logs)

    def in_mads(means: Floats) -> Floats:
        return residual_in_mads(np.log(means))

    intervals = cluster_bootstrap(sums, routed.lengths, in_mads, rng=rng, method="percentile")
    largest = int(logs.argmax())
    short = None
    if largest != len(logs) - 1:
        short = f"layer {routed.layers[largest]} varies more"
    found = last(logs, intervals, rng)
    variation = {"last_layer": float(np.exp(logs[-1])), "largest_of_the_others": float(np.exp(logs[:-1].max()))}
    return replace(found, falls_short=short, details={**found.details, **variation})


def norm_variation(norms: Floats) -> Floats:
    """(T, E) norms → (T,) coefficient of variation over experts; 0 where all are zero."""
    mean = norms.mean(axis=-1, dtype=np.float64)
    spread = norms.std(axis=-1, ddof=1, dtype=np.float64)
    return np.asarray(np.divide(spread, mean, out=np.zeros_like(mean), where=mean > 0))


NORM_GROWS_WITH_DEPTH = Claim(
    id="norm-grows-with-depth",
    statement="Output norms of experts grow with depth (Mixtral, DeepSeek).",
    section="5.2, Figure 4",
    family="secondary",
    needs="text",
    effect="Kendall τ_b of depth and mean output norm",
    smallest=0.30,
    null=CURVES_WITHOUT_TREND,
    unit="layer; sequence (interval)",
    estimator=norms_grow,
    applies="6 MoE layers or more",
    paper_says={"grok-1": "absent"},
)


LAST_LAYER_NORM_SPREAD = Claim(
    id="last-layer-norm-spread",
    statement="Output norms vary most between the experts of the last layer (DeepSeek).",
    section="5.2",
    family="secondary",
    needs="text",
    effect="residual of the last layer's coefficient of variation, in median absolute deviations of the others'",
    smallest=3.0,
    null=CURVES_WITHOUT_TREND,
    unit="layer; sequence (interval)",
    estimator=last_layer_norm_spread,
    applies="6 MoE layers or more",
)


ACTIVATION_GROWS_WITH_DEPTH = Claim(
    id="activation-grows-with-depth",
    statement="Intermediate states of experts grow in magnitude with depth.",
    section="Appendix H",
    family="secondary",
    needs="text",
    effect="Kendall τ_b of depth and mean |σ(W_act x)|",
    smallest=0.30,
    null=CURVES_WITHOUT_TREND,
    unit="layer; sequence (interval)",
    estimator=activations_grow,
    applies="6 MoE layers or more",
)
