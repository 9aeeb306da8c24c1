"""Claims on the neurons of experts: how many are active, and whether their index matters (paper, appendix H)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, jackknife_over_sequences
from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, mean_over_layers, test_against
from moe_claims.types import Finding

_ENUMERATE = 40_320
"""Largest number of combinations of steps that is enumerated; with more, combinations are drawn at random."""


def active_share(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Share of activations with |σ(W_act x)| > 0.001 over all layers, experts, neurons and tokens, a claim of level."""
    routed = measured.routed
    sums = routed.active_sums.mean(axis=(0, 2))[:, None]  # (S, 1)
    found = jackknife_over_sequences(sums, routed.lengths, lambda means: means[:, 0], bound=ACTIVATION_RATIO.smallest)
    by_layer = routed.activation_share.mean(axis=-1)
    return Finding(
        effect=min(1.0, found.estimate),
        interval=found.interval(0.95, ceiling=1.0),
        equivalence=found.interval(0.90, ceiling=1.0),
        p_value=found.p_greater,
        p_opposite=found.p_less,
        smallest_p=0.0,
        n_units=len(sums),
        details={
            "lowest_layer": float(by_layer.min()),
            "highest_layer": float(by_layer.max()),
            "lowest_expert": float(routed.activation_share.min()),
        },
        null_distribution=found.null_distribution(),
    )


def same_index(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Pearson r over neuron indices between the activations of two experts; mean over tokens, pairs and layers.

    The p-value tests whether the similarity depends on the index (``shift_test``); the interval is over
    sequences.
    """
    routed = measured.routed
    experts = routed.router_logits.shape[-1]
    if experts < 2:
        raise NotComparableError("neurons of the same index need at least 2 experts; this model has 1")
    sums = routed.index_sums.mean(axis=0)[:, None]  # (S, 1)
    interval, equivalence = cluster_bootstrap(sums, routed.lengths, lambda means: means[:, 0], rng=rng)
    test = shift_test(routed.index_shifted, rng=rng)
    by_layer = routed.index_sums.sum(axis=1) / routed.lengths.sum()
    return Finding(
        effect=float(by_layer.mean()),
        interval=interval,
        equivalence=equivalence,
        p_value=test.p_greater,
        p_opposite=test.p_less,
        smallest_p=test.smallest_p,
        n_units=len(sums),
        details={
            "r_lowest_layer": float(by_layer.min()),
            "r_highest_layer": float(by_layer.max()),
            "r_mean_over_steps": float(routed.index_shifted.mean()),
        },
        null_distribution=test.null_distribution("neurons of every expert shifted in a circle"),
    )


def shift_test(by_step: Floats, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> TestResult:
    """Permutation test of whether a statistic is larger in the actual order of neurons than after circular shifts.

    Null: the order of each expert's neurons is arbitrary, independently of the other experts. Then a
    fixed reordering of every expert leaves the distribution of the data unchanged. Shifting the neurons
    of expert e circularly by e · s is such a reordering for every step s, and the m steps
    form a group (s after t is s + t), also with a separate step in every layer. The observed
    order is therefore one of its m^L equally likely shifted copies, and
    its rank among them is an exact p-value (Lehmann and Romano 2005, section 15.2). This
    small group of reorderings is enough for a valid test, and the test needs only the statistic
    for every step, so nothing else must be stored per token. Steps that share a factor with
    m leave some pairs of experts aligned, which costs power but keeps the level.

    Args:
        by_step: (L, m) statistic of each layer by step; step 0 is the actual order.
        rng: seeded generator.
        resamples: combinations of steps, one step per layer; up to 40,320 are enumerated.

    Raises:
        ValueError: numbers are not finite.
    """
    layers, steps = by_step.shape
    observed = float(by_step[:, 0].mean())
    exact = steps**layers <= _ENUMERATE
    if exact:
        null = mean_over_layers(list(by_step), exact=True)
    else:
        null = np.zeros(resamples)
        for layer in by_step:
            null += layer[rng.integers(0, steps, resamples)] / layers
    return test_against(observed, null, exact=exact)


def _printed_share(model: str, variant: str | None) -> Printed | None:
    share = published()["text_values"]["activation_ratio_abs_gt_1e-3"].get(model)
    return None if share is None else Printed(share, "Appendix H", "printed share")


ACTIVATION_RATIO = Claim(
    id="activation-ratio",
    statement="Nearly all neurons of every expert are active (SiLU: 99.6 %); under GELU a quarter is (Grok-1).",
    section="Appendix H",
    family="secondary",
    needs="text",
    effect="share of |σ(W_act x)| > 0.001",
    smallest=0.95,
    rule="level",
    null="a share of at most 0.95 (jackknife t over sequences)",
    unit="sequence",
    estimator=active_share,
    printed=_printed_share,
    paper_says={"grok-1": "opposite"},
)


SAME_INDEX_NEURONS = Claim(
    id="same-index-neurons",
    statement="Neurons of the same index fire alike in all experts (Mixtral); not when trained from scratch.",
    section="Appendix H",
    family="secondary",
    needs="text",
    effect="mean over tokens, pairs and layers of Pearson r of two experts' activations over neuron indices",
    smallest=0.10,
    null="neuron indices of every expert shifted in a circle, by its number times a random step, in every layer",
    unit="order of an expert's neurons (p); sequence (interval)",
    estimator=same_index,
    applies="2 experts or more",
    paper_says={"deepseek-moe-16b": "absent"},
)
