"""Claim that only the few largest norms get the highest scores (paper, section 5.2 and Appendix G)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.packs.look_into_moes.audits.figure_10 import BARS, MODEL
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.association import CrossTable, centred_ranks, cross_table, label_test
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.stats.permutation import Floats
from moe_claims.stats.ranks import rank_weights
from moe_claims.types import Finding

FEWEST_EXPERTS = 8
"""Fewest experts from which a few largest norms can be told from a middle half."""
FLAT = 0.10
"""Spearman ρ from which scores count as following norms among the other experts too; as in ``router-norm``."""


def largest_norms(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean score rank (0 to 1) of a token's largest norms, minus that of the middle half of norm ranks.

    The paper names the 5 largest of 64 experts; for other numbers of experts the same share is used, at
    least one. The paper says 'only': if scores follow norms among the other experts as well, the claim falls
    short. It must be significant under relabelling of experts, which keeps static patterns, and over
    sequences.
    """
    routed = measured.routed
    experts = routed.router_logits.shape[-1]
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"the few largest norms and the middle half need at least {FEWEST_EXPERTS} experts; "
            f"this model has {experts}"
        )
    top = largest(experts)
    table = _contrast(routed, top)
    labels, flips = label_test(table, rng=rng), sign_flips(table.by_sequence, rng=rng)
    interval, equivalence = cluster_bootstrap(
        table.by_sequence[:, None], table.counts, lambda means: means[:, 0], rng=rng
    )
    rest = _rho_of_the_rest(routed, top)
    short = None
    if abs(rest) >= FLAT:
        short = f"among the other experts scores follow norms too (ρ = {rest:.2f})"
    return Finding(
        effect=table.mean,
        interval=interval,
        equivalence=equivalence,
        p_value=max(labels.p_greater, flips.p_greater),
        p_opposite=max(labels.p_less, flips.p_less),
        smallest_p=max(labels.smallest_p, flips.smallest_p),
        n_units=len(table.counts),
        falls_short=short,
        details={"largest_norms": top, "rho_rest": rest, "rho": _rho(routed)},
        null_distribution=of_largest_p(
            (labels.p_greater, labels.null_distribution(LABELS)),
            (flips.p_greater, flips.null_distribution(SIGNS, per=table.counts.sum())),
        ),
    )


def largest(experts: int) -> int:
    """Number of norms that count as the few largest: 5 of 64, or the same share of other numbers of experts."""
    return max(1, round(5 * experts / 64))


def _contrast(routed: RoutedMeasurement, top: int) -> CrossTable:
    """Cross table of norm rank weights (largest − middle half, each a mean) and score ranks from 0 to 1."""
    experts = routed.router_logits.shape[-1]
    quarter = experts // 4
    weights = np.zeros(experts)
    weights[experts - top :] = 1 / top
    weights[quarter : experts - quarter] -= 1 / (experts - 2 * quarter)
    scaled = np.linspace(0.0, 1.0, experts)
    # Layer by layer: the ranks of all layers at once would need several times the memory of the measurement.
    tables = [
        cross_table(rank_weights(norms[None], weights), rank_weights(logits[None], scaled), routed.sequence_of)
        for norms, logits in zip(routed.output_norms, routed.router_logits, strict=True)
    ]
    return CrossTable(np.concatenate([table.sums for table in tables], axis=1), tables[0].counts)


def _spearman(norms: Floats, logits: Floats) -> float:
    """Spearman ρ of (T, E) norms and logits within a token, mean over tokens."""
    return float((centred_ranks(norms) * centred_ranks(logits)).sum(axis=-1).mean())


def _rho(routed: RoutedMeasurement) -> float:
    return float(np.mean([_spearman(*layer) for layer in zip(routed.output_norms, routed.router_logits, strict=True)]))


def _rho_of_the_rest(routed: RoutedMeasurement, top: int) -> float:
    """Spearman ρ within a token among all experts but those of its largest norms, mean over tokens and layers."""
    by_layer = []
    for norms, logits in zip(routed.output_norms, routed.router_logits, strict=True):
        others = norms.argsort(axis=-1, kind="stable")[:, :-top]
        by_layer.append(
            _spearman(np.take_along_axis(norms, others, axis=-1), np.take_along_axis(logits, others, axis=-1))
        )
    return float(np.mean(by_layer))


def _printed_extremes(model: str, variant: str | None) -> Printed | None:
    if model != MODEL:
        return None
    facts = published()
    bars = facts["figure10_rank_counts_mixtral_8x7b_read_from_bars_approx"]
    ranks = range(1, facts["models"][model]["routed_experts"] + 1)
    return Printed(extremes_of(np.array([bars[str(rank)] for rank in ranks], dtype=np.float64)), "Figure 10", BARS)


def extremes_of(counts: Floats) -> float:
    """The effect of ``router-norm-extremes`` from (E, E) counts by norm rank and score rank, smallest first."""
    experts = len(counts)
    score_rank = counts @ np.linspace(0.0, 1.0, experts) / counts.sum(axis=1)
    quarter = experts // 4
    return float(score_rank[experts - largest(experts) :].mean() - score_rank[quarter : experts - quarter].mean())


ROUTER_NORM_EXTREMES = Claim(
    id="router-norm-extremes",
    statement="Only the few largest norms get the highest scores (DeepSeek: the 5 largest of 64).",
    section="5.2 and Appendix G, Figure 10",
    family="headline",
    needs="text",
    effect="mean score rank (0 to 1) of the largest norms − of the middle half",
    smallest=0.10,
    null="expert labels of the norms permuted per layer; and signs of whole sequences flipped (the larger p)",
    unit=f"{EXPERT_WITHIN_LAYER}; sequence (signs, interval)",
    estimator=largest_norms,
    printed=_printed_extremes,
    applies="8 experts or more",
    paper_says={"grok-1": "opposite"},
)
