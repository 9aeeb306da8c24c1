"""Claims on the similarity of router rows over depth (paper, Appendix E)."""

import numpy as np

from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import CURVES, CURVES_WITHOUT_TREND, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.depth import enough_layers, last, unit_of_spread
from moe_claims.stats.opposite_trends import diverging_trends
from moe_claims.stats.outlier import block_bootstrap_in_mads
from moe_claims.stats.permutation import off_diagonal
from moe_claims.types import Finding


def gate_last_layer(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Deviation of the last layer's mean cosine of router rows from the line through the other layers."""
    enough_layers(len(measured.weights.layers))
    values = off_diagonal(measured.weights.router).mean(axis=-1)
    unit_of_spread(values)
    return last(values, block_bootstrap_in_mads(values, rng=rng), rng)


def opposite_trends(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Trend over all layers of the similarity of mean neurons of W_act, minus that of router rows; both are tested."""
    enough_layers(len(measured.weights.layers))
    act, gate = (off_diagonal(m).mean(axis=-1) for m in (measured.weights.mean["act"], measured.weights.router))
    result = diverging_trends(act, gate, rng=rng)
    interval, equivalence = result.intervals
    rises, falls = result.rising.autoregressive, result.falling.autoregressive
    return Finding(
        effect=result.difference,
        interval=interval,
        equivalence=equivalence,
        p_value=result.p_value,
        p_opposite=result.p_opposite,
        smallest_p=result.smallest_p,
        n_units=len(gate),
        details={
            "tau_act": result.rising.tau,
            "tau_gate": result.falling.tau,
            "p_act_rises": rises.p_greater,
            "p_gate_falls": falls.p_less,
            "phi_act": result.rising.phi,
            "phi_gate": result.falling.phi,
        },
        null_distribution=of_largest_p(
            (rises.p_greater, rises.null_distribution(CURVES, "Kendall τ of depth and mean S_act")),
            (falls.p_less, falls.null_distribution(CURVES, "Kendall τ of depth and mean S_g", tail="lower")),
        ),
    )


GATE_ACT_OPPOSITE_TRENDS = Claim(
    id="gate-act-opposite-trends",
    statement="Router rows grow less alike with depth while mean neurons of W_act grow more alike (DeepSeek).",
    section="Appendix E",
    family="secondary",
    needs="weights",
    effect="Kendall τ of depth and mean S_act less that of depth and mean S_g",
    smallest=0.60,
    null=f"{CURVES_WITHOUT_TREND}; both trends must pass (the larger p)",
    unit="layer",
    estimator=opposite_trends,
    applies="6 MoE layers or more",
)


GATE_LAST_LAYER = Claim(
    id="gate-last-layer",
    statement="Router rows of the last layer are far more alike than the trend foretells (Mixtral).",
    section="Appendix E",
    family="secondary",
    needs="weights",
    effect="residual of the last layer, in median absolute deviations of the others'",
    smallest=3.0,
    null=CURVES_WITHOUT_TREND,
    unit="layer",
    estimator=gate_last_layer,
    applies="6 MoE layers or more",
)
