"""Claims on the choice of experts: its balance, runs of tokens, and the effect of tuning (paper, appendix I)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement
from moe_claims.stats.association import CrossTable, label_test
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, jackknife_over_sequences, sign_flips
from moe_claims.stats.runs import SHORTEST, long_runs
from moe_claims.types import Finding

Integers = NDArray[np.integer[Any]]
_ORDER = "tokens of every sequence in random order"


def _some_are_left_out(routed: RoutedMeasurement) -> None:
    experts, k = routed.router_logits.shape[-1], routed.chosen.shape[-1]
    if k >= experts:
        raise NotComparableError(f"every token chooses all {experts} experts, so there is no choice to look at")


def loads_by_sequence(routed: RoutedMeasurement) -> Floats:
    """(S, L, E) number of times each sequence chooses each expert; over E they sum to tokens × k."""
    layers, tokens, k = routed.chosen.shape
    experts, sequences = routed.router_logits.shape[-1], len(routed.lengths)
    cell = np.repeat(routed.sequence_of * experts, k).reshape(tokens, k)
    counts = [np.bincount((cell + layer).ravel(), minlength=sequences * experts) for layer in routed.chosen]
    return np.asarray(counts, dtype=np.float64).reshape(layers, sequences, experts).swapaxes(0, 1)


def normalised_entropy(loads: Floats) -> Floats:
    """(…, E) loads, of any sum → (…) their entropy over log E; 1 if all experts are chosen equally often."""
    share = loads / loads.sum(axis=-1, keepdims=True)
    log = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(-(share * log).sum(axis=-1) / np.log(loads.shape[-1]))


def balanced(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Normalised entropy of the loads, mean over layers, a claim of level.

    The entropy of observed loads is biased downwards: by (E − 1)/(2N ln E) for N independent choices,
    which is negligible with thousands of them, and by about 1/S of the difference between
    sequences if these have different topics, which is not. The jackknife removes both.
    """
    routed = measured.routed
    _some_are_left_out(routed)
    counts = loads_by_sequence(routed)
    shape = counts.shape[1:]

    def evenness(means: Floats) -> Floats:
        return np.asarray(normalised_entropy(means.reshape(-1, *shape)).mean(axis=-1))

    found = jackknife_over_sequences(
        counts.reshape(len(counts), -1), routed.lengths, evenness, bound=BALANCED_ROUTING.smallest
    )
    loads = counts.sum(axis=0)
    return Finding(
        effect=min(1.0, found.estimate),
        interval=found.interval(0.95, ceiling=1.0),
        equivalence=found.interval(0.90, ceiling=1.0),
        p_value=found.p_greater,
        p_opposite=found.p_less,
        smallest_p=0.0,
        n_units=len(counts),
        details={
            "entropy_without_correction": found.plain,
            "entropy_lowest_layer": float(normalised_entropy(loads).min()),
            "largest_load_over_mean_load": float((loads.max(axis=-1) / loads.mean(axis=-1)).max()),
            "smallest_load_over_mean_load": float((loads.min(axis=-1) / loads.mean(axis=-1)).min()),
        },
        null_distribution=found.null_distribution(),
    )


def runs(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Share of choices in runs of more than four tokens, minus the share for the same tokens in random order.

    Random order keeps every expert's load in every sequence, so an expert or topic that is frequent does
    not count as an effect. Runs end with the sequence.
    """
    routed = measured.routed
    _some_are_left_out(routed)
    if (routed.lengths >= SHORTEST).sum() < 2:
        raise NotComparableError(f"runs of {SHORTEST} tokens need at least 2 sequences that are as long")
    found = long_runs(routed.chosen, routed.lengths, routed.router_logits.shape[-1], rng=rng)
    excess, choices = found.in_runs - found.expected, float(found.choices.sum())
    flips = sign_flips(excess, rng=rng)
    interval, equivalence = cluster_bootstrap(excess[:, None], found.choices, lambda means: means[:, 0], rng=rng)
    return Finding(
        effect=found.excess,
        interval=interval,
        equivalence=equivalence,
        p_value=max(found.order.p_greater, flips.p_greater),
        p_opposite=max(found.order.p_less, flips.p_less),
        smallest_p=max(found.order.smallest_p, flips.smallest_p),
        n_units=len(excess),
        details={
            "share_in_runs": float(found.in_runs.sum() / found.choices.sum()),
            "share_in_random_order": float(found.expected.sum() / found.choices.sum()),
            "p_order": found.order.p_greater,
            "p_sign_flips": flips.p_greater,
        },
        null_distribution=of_largest_p(
            (found.order.p_greater, found.order.null_distribution(_ORDER, origin=found.expected.sum(), per=choices)),
            (flips.p_greater, flips.null_distribution(SIGNS, per=choices)),
        ),
    )


def tuning_keeps(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Agreement κ of two models on the experts chosen for the same tokens, corrected for chance.

    κ of a layer is (agreement − chance)/(1 − chance): agreement is the share of a token's k
    experts that both models choose, chance the expected share for independent choices with the same
    loads. The effect is the mean over layers.
    """
    first, second = measured.routed, measured.second_routed
    _comparable(first, second)
    _some_are_left_out(first)
    layers, tokens, k = first.chosen.shape
    both = _in_both(first.chosen, second.chosen)
    starts = np.cumsum(first.lengths) - first.lengths
    agree = np.add.reduceat(both, starts, axis=1).T / k  # (S, L)
    loads = [loads_by_sequence(routed).reshape(len(starts), -1) for routed in (first, second)]
    sums = np.concatenate([agree, *loads], axis=1)

    def kappa(means: Floats) -> Floats:
        agreement, chance = _agreement_and_chance(means, layers, k)
        room = 1 - chance
        # Without room above chance (both models always choose the same experts) κ is 0.
        by_layer = np.divide(agreement - chance, room, out=np.zeros_like(room), where=room > 1e-12)
        return np.asarray(by_layer.mean(axis=1))

    means = sums.sum(axis=0)[None] / tokens
    interval, equivalence = cluster_bootstrap(sums, first.lengths, kappa, rng=rng)
    test = label_test(_co_choices(first, second), rng=rng)
    agreement, chance = _agreement_and_chance(means, layers, k)
    return Finding(
        effect=float(kappa(means)[0]),
        interval=interval,
        equivalence=equivalence,
        p_value=test.p_greater,
        p_opposite=test.p_less,
        smallest_p=test.smallest_p,
        n_units=len(starts),
        details={
            "agreement": float(agreement.mean()),
            "agreement_by_chance": float(chance.mean()),
            "agreement_lowest_layer": float(agreement.min()),
            "top1_agreement": float((first.chosen[..., 0] == second.chosen[..., 0]).mean()),
        },
        null_distribution=test.null_distribution(
            LABELS, "correlation over tokens of both models' choice of an expert, summed over experts, mean over layers"
        ),
    )


def _comparable(first: RoutedMeasurement, second: RoutedMeasurement) -> None:
    """Requires the same tokens, layers, experts and k of two models."""
    sizes = [(len(r.layers), r.router_logits.shape[-1], r.chosen.shape[-1]) for r in (first, second)]
    if sizes[0] != sizes[1]:
        said = [f"{layers} MoE layers, top {k} of {experts}" for layers, experts, k in sizes]
        raise NotComparableError(f"the second model has {said[1]}, this one {said[0]}: no expert has a counterpart")
    if not np.array_equal(first.lengths, second.lengths):
        raise NotComparableError("the second model read the text as other tokens, so no choice has a counterpart")


def _in_both(first: Integers, second: Integers) -> Integers:
    """(L, T, k) chosen experts of two models → (L, T) number of experts that both choose."""
    return np.asarray(sum((first == second[..., rank, None]).sum(axis=-1) for rank in range(second.shape[-1])))


def _agreement_and_chance(means: Floats, layers: int, k: int) -> tuple[Floats, Floats]:
    """(B, L + 2LE) means of agreement and both loads → (B, L) agreement, and (B, L) agreement by chance."""
    one, other = np.split(means[:, layers:].reshape(len(means), 2 * layers, -1), 2, axis=1)
    return means[:, :layers], np.einsum("ble,ble->bl", one, other) / k


def _co_choices(first: RoutedMeasurement, second: RoutedMeasurement) -> CrossTable:
    """(1, L, E, E) correlations over tokens between choosing expert i in one model and j in the other.

    Correlations are used instead of counts because under independent choices they all have the same variance, so
    an expert that both models choose often does not dominate the relabellings.
    """
    layers, tokens, _ = first.chosen.shape
    experts = first.router_logits.shape[-1]
    table = np.zeros((layers, experts, experts))
    for layer in range(layers):
        one, other = (routed.chosen[layer].astype(np.int64) for routed in (first, second))
        pairs = (one[:, :, None] * experts + other[:, None, :]).ravel()
        together = np.bincount(pairs, minlength=experts**2).reshape(experts, experts) / tokens
        loads = [np.bincount(side.ravel(), minlength=experts) / tokens for side in (one, other)]
        spread = np.sqrt(np.outer(*(load * (1 - load) for load in loads)))
        covariance = together - np.outer(*loads)
        np.divide(covariance, spread, out=table[layer], where=spread > 1e-12)
    return CrossTable(tokens * table[None], np.asarray([tokens]))


BALANCED_ROUTING = Claim(
    id="balanced-routing",
    statement="Experts are chosen fairly evenly.",
    section="Appendix I",
    family="secondary",
    needs="text",
    effect="normalised entropy of loads less its small-sample bias, mean over layers",
    smallest=0.95,
    rule="level",
    null="an entropy of at most 0.95 (jackknife t over sequences)",
    unit="sequence",
    estimator=balanced,
    applies="top-k smaller than the number of experts",
)


ROUTING_RUNS = Claim(
    id="routing-runs",
    statement="Runs of more than four tokens to the same expert are common.",
    section="Appendix I",
    family="secondary",
    needs="text",
    effect="share of choices in runs of more than four tokens, less that in shuffled order",
    smallest=0.05,
    null="order of the tokens of every sequence shuffled, alike in all layers; and signs of whole sequences "
    "flipped (the larger p)",
    unit="token within sequence (order); sequence (signs, interval)",
    estimator=runs,
    applies="top-k smaller than the number of experts, sequences of 5 tokens or more",
)


TUNING_KEEPS_ROUTING = Claim(
    id="tuning-keeps-routing",
    statement="Routing after instruction tuning is almost that of the base model.",
    section="Appendix I",
    family="secondary",
    needs="text",
    effect="agreement of the two models' chosen experts beyond what their loads give (κ), mean over layers",
    smallest=0.50,
    null="expert labels of the second model's choices permuted, independently in every layer (statistic: "
    "correlation over tokens of the two models' choices of an expert)",
    unit=f"{EXPERT_WITHIN_LAYER}; sequence (interval)",
    estimator=tuning_keeps,
    applies="models with a second model of the same shape and tokenizer (--moe-second-model)",
)
