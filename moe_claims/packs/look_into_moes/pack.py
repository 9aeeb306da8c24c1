"""The pack of *A Closer Look into Mixture-of-Experts in Large Language Models* (arXiv 2406.18219)."""

from collections.abc import Callable

from moe_claims.judge.pack import Auditor, Pack
from moe_claims.packs.look_into_moes import (
    activations,
    confidence,
    corpora,
    dense_reference,
    depth,
    depth_norms,
    depth_router,
    expert_similarity,
    neuron_experts,
    neuron_order,
    outputs,
    router_norm,
    router_norm_extremes,
    routing,
    special_expert,
)
from moe_claims.packs.look_into_moes.audits import AUDITS
from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS
from moe_claims.packs.look_into_moes.paper import models
from moe_claims.packs.look_into_moes.routing_counts import PublicCounts
from moe_claims.packs.look_into_moes.trained.judging import Trainings
from moe_claims.settings import Settings
from moe_claims.types import Audit

HEADLINE = (
    neuron_experts.NEURON_EXPERTS,
    neuron_experts.NEURON_EXPERTS_SIGN,
    router_norm.ROUTER_NORM,
    router_norm.ROUTER_NORM_DIAGONAL,
    router_norm_extremes.ROUTER_NORM_EXTREMES,
    depth.DIVERSITY_DEPTH,
    depth.LAST_LAYER_OUTLIER,
    depth.WEIGHT_DIVERSITY_DEPTH,
    depth.WEIGHT_LAST_LAYER_OUTLIER,
)
"""Headline claims, corrected together by Holm. Their smallest effects of interest were fixed before any model was
measured; a change needs a stated reason that does not come from results on a model."""

SECONDARY = (
    expert_similarity.MATRICES_AGREE,
    expert_similarity.EXPERT_SIMILARITY_LEVEL,
    neuron_order.NEURON_ORDER,
    special_expert.SPECIAL_EXPERT,
    expert_similarity.MEAN_MIRRORS_MATRIX,
    special_expert.PCA_CLUSTERS,
    depth_router.GATE_ACT_OPPOSITE_TRENDS,
    depth_router.GATE_LAST_LAYER,
    dense_reference.DENSE_REFERENCE,
    outputs.WEIGHTS_MIRROR_OUTPUTS,
    outputs.CHOSEN_ALIKE,
    confidence.TOP1_CONFIDENCE,
    depth_norms.NORM_GROWS_WITH_DEPTH,
    depth_norms.LAST_LAYER_NORM_SPREAD,
    activations.ACTIVATION_RATIO,
    activations.SAME_INDEX_NEURONS,
    depth_norms.ACTIVATION_GROWS_WITH_DEPTH,
    routing.BALANCED_ROUTING,
    routing.ROUTING_RUNS,
    routing.TUNING_KEEPS_ROUTING,
    special_expert.SPECIAL_EXPERT_CHOSEN_LESS,
    corpora.corpus_robust(
        (router_norm.ROUTER_NORM, depth.DIVERSITY_DEPTH, depth.LAST_LAYER_OUTLIER, outputs.CHOSEN_ALIKE)
    ),
)
"""Secondary claims, corrected together by Benjamini–Hochberg."""


def _of_printed_numbers(audit: Callable[[], Audit]) -> Auditor:
    """Wraps an audit of printed numbers, which depends on no option, as an ``Auditor``."""

    def run(settings: Settings) -> Audit:
        return audit()

    return run


PACK = Pack(
    id="look_into_moes",
    title="A Closer Look into Mixture-of-Experts in Large Language Models",
    paper="arXiv 2406.18219",
    claims=(*HEADLINE, *SECONDARY),
    evidence=(PublicCounts(), Trainings()),
    audits={**{name: _of_printed_numbers(audit) for name, audit in AUDITS.items()}, **DEMONSTRATIONS},
    models=models,
    sequences=10,  # of its long input (section 3)
    tests="moe_claims.claims.look_into_moes",
    seed_prefix="",
)
"""The pack: claims, further evidence and audits of the paper."""

LIVE, COUNTED, TRAINED = (PACK.kinds[kind].claims for kind in ("live", "public", "trained"))
"""The claims by id: on models measured in the run, on published counts, and on trainings."""
