"""Claim that neurons matched one to one keep their order (paper, section 4.1.2, Table 2)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER
from moe_claims.measure.measured import Measured
from moe_claims.models.families.table import ROLES, Role
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.jackknife import jackknife
from moe_claims.stats.neuron_order import FEWEST_NEURONS, order_test
from moe_claims.stats.permutation import Floats, Labels, off_diagonal
from moe_claims.types import Finding

FEWEST_EXPERTS = 4
"""Fewest experts: the jackknife leaves one out, and the others must have pairs that share no expert."""


def order(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean Kendall τ between the optimal matching of two experts' neurons and their original order.

    The paper also argues with the small gain in similarity from matching. That gain is in the details, together
    with the gain on random matrices of the same shape and neuron norms.

    Raises:
        NotComparableError: too few experts or neurons.
    """
    role: Role = next(known for known in measured.matched if known == variant)
    matched, whole = measured.matched[role], measured.weights
    experts, neurons = matched.permutation.shape[1], matched.permutation.shape[-1]
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(f"pairs of experts need at least {FEWEST_EXPERTS} of them; this model has {experts}")
    if neurons < FEWEST_NEURONS:
        raise NotComparableError(f"an order needs at least {FEWEST_NEURONS} neurons; these experts have {neurons}")

    def mean_tau(keep: Labels) -> Floats:
        return np.asarray(off_diagonal(matched.tau[:, keep][:, :, keep]).mean(axis=-1))

    spread = jackknife(mean_tau, experts)
    chance = order_test(matched.tau, neurons)
    before = whole.matrix[role][np.searchsorted(whole.layers, matched.layers)]
    gain = float(off_diagonal(matched.similarity - before).mean())
    by_chance = float(matched.null_gain.mean())
    return Finding(
        effect=chance.mean,
        interval=spread.interval(0.95),
        equivalence=spread.interval(0.90),
        p_value=chance.p_greater,
        p_opposite=chance.p_less,
        smallest_p=chance.smallest_p,
        n_units=len(matched.layers) * experts,
        details={
            "similarity_gain": gain,
            "similarity_gain_of_random_matrices": by_chance,
            "gain_over_random_gain": gain / by_chance if by_chance > 0 else None,
            "tau_lowest_layer": float(mean_tau(np.arange(experts)).min()),
            "tau_highest_layer": float(mean_tau(np.arange(experts)).max()),
            "tau_standard_deviation_by_chance": chance.standard_deviation,
            "layers_matched": ", ".join(map(str, matched.layers)),
        },
        null_distribution=chance.null_distribution(),
    )


def _printed_order(model: str, variant: str | None) -> Printed | None:
    row = published()["table2_reordering"].get(model)
    if row is None:
        return None
    return Printed(row["kendall_tau_mean"], "Table 2", "one mean is printed for all three matrices")


NEURON_ORDER = Claim(
    id="neuron-order",
    statement="Matching neurons one to one keeps their order (Mixtral); trained from scratch, it shuffles them.",
    section="4.1.2, Table 2",
    family="secondary",
    needs="weights",
    effect="mean Kendall τ between the optimal matching and the original order of the neurons",
    smallest=0.30,
    negligible=0.05,
    null="every expert's neurons in random order: exact mean and variance of τ over independent orders",
    unit=f"{EXPERT_WITHIN_LAYER} (interval); order of an expert's neurons (p)",
    estimator=order,
    printed=_printed_order,
    variants=ROLES,
    applies="4 experts of 8 neurons or more, in layers whose neurons were matched (--moe-layers)",
    paper_says={"deepseek-moe-16b": "absent", "grok-1": "absent"},
)
