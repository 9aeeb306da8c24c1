"""Claim on the router's confidence: the gap between its two highest scores (paper, section 5.2)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.stats.top_gap import top_gap
from moe_claims.types import Finding


def top1_confidence(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Log ratio of first to second softmax score, minus that of Gaussian logits with the token's variance.

    The log ratio of two softmax scores is the difference of their logits. Two tests must reject: one
    against logits rotated at random over the experts, which keep static patterns and repeated tokens,
    and one over sequences, which alone would find a single fixed pattern significant.
    """
    routed = measured.routed
    experts = routed.router_logits.shape[-1]
    if experts < 3:
        raise NotComparableError(f"a gap beyond that of chance needs at least 3 experts; this model has {experts}")
    result = top_gap(routed.router_logits, rng=rng)
    counts = routed.lengths
    excess = (result.gaps - result.expected).mean(axis=0)
    sums = np.add.reduceat(excess, np.cumsum(counts) - counts)
    flips = sign_flips(sums, rng=rng)
    interval, equivalence = cluster_bootstrap(sums[:, None], counts, lambda means: means[:, 0], rng=rng)
    with np.errstate(over="ignore"):  # a ratio that overflows is infinite
        mean_ratio, median_ratio = float(np.exp(result.gaps).mean()), float(np.exp(np.median(result.gaps)))
    return Finding(
        effect=result.rotations.statistic,
        interval=interval,
        equivalence=equivalence,
        p_value=max(result.rotations.p_greater, flips.p_greater),
        p_opposite=max(result.rotations.p_less, flips.p_less),
        smallest_p=max(result.rotations.smallest_p, flips.smallest_p),
        n_units=len(counts),
        details={
            "mean_log_ratio": float(result.gaps.mean()),
            "mean_log_ratio_of_gaussian": float(result.expected.mean()),
            "mean_ratio": mean_ratio,
            "median_ratio": median_ratio,
            "p_rotations": result.rotations.p_greater,
            "p_sign_flips": flips.p_greater,
        },
        null_distribution=of_largest_p(
            (
                result.rotations.p_greater,
                result.rotations.null_distribution("logits rotated at random over the experts of every layer"),
            ),
            (flips.p_greater, flips.null_distribution(SIGNS, per=counts.sum())),
        ),
    )


TOP1_CONFIDENCE = Claim(
    id="top1-confidence",
    statement="The first expert's score is far above the second's.",
    section="5.2, Figure 10",
    family="secondary",
    needs="text",
    effect="mean log ratio of first to second softmax score, less that of Gaussian logits of the same variance",
    smallest=0.18,
    null="logits rotated at random over the experts, one rotation per layer; and signs of whole sequences flipped "
    "(the larger p)",
    unit="rotation of a layer's logits (p); sequence (signs, interval)",
    estimator=top1_confidence,
    applies="3 experts or more",
)
