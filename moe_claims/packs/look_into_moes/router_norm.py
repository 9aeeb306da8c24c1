"""Claims that the router prefers experts with larger output norms (paper, section 5.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement
from moe_claims.packs.look_into_moes.audits.figure_10 import BARS, MODEL, figure10_effects
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.association import (
    CrossTable,
    centre_across_sequences,
    centred_ranks,
    cross_table,
    label_test,
)
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.types import Companion, Finding, Interval


def association(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Spearman ρ of norms and scores over the experts of a token: in total, or the token-specific part.

    The total includes experts that always have large norms and are always chosen. The token-specific part
    is computed after subtracting each expert's mean (over the other sequences) from norms and logits.
    Both must be significant under relabelling of experts AND over
    sequences, because a fixed random pattern is repeated by every sequence.
    """
    routed = measured.routed
    experts = routed.router_logits.shape[-1]
    if experts < 3:
        raise NotComparableError(f"ranks within a token need at least 3 experts; this model has {experts}")
    norms: Floats = routed.output_norms
    logits: Floats = routed.router_logits
    if variant == "token-specific":
        norms, logits = (specific_to_tokens(values, routed.sequence_of) for values in (norms, logits))
    table = cross_table(centred_ranks(norms), centred_ranks(logits), routed.sequence_of)
    labels, flips = label_test(table, rng=rng), sign_flips(table.by_sequence, rng=rng)
    interval, equivalence = _over_sequences(table, rng)
    details: dict[str, float | int | str | bool | None] = {
        "rho_lowest_layer": float(table.by_layer.min()),
        "rho_highest_layer": float(table.by_layer.max()),
        "p_labels": labels.p_greater,
        "p_sign_flips": flips.p_greater,
    }
    companions: dict[str, Companion] = {}
    if variant == "total":
        details |= chosen_by_norm(routed)
        companions = at_the_top(routed, rng)
    return Finding(
        effect=table.mean,
        interval=interval,
        equivalence=equivalence,
        p_value=max(labels.p_greater, flips.p_greater),
        p_opposite=max(labels.p_less, flips.p_less),
        smallest_p=max(labels.smallest_p, flips.smallest_p),
        n_units=len(table.counts),
        details=details,
        companions=companions,
        null_distribution=of_largest_p(
            (labels.p_greater, labels.null_distribution(LABELS)),
            (flips.p_greater, flips.null_distribution(SIGNS, per=table.counts.sum())),
        ),
    )


def specific_to_tokens(values: Floats, sequence_of: NDArray[np.integer[Any]]) -> Floats:
    """(L, T, E) values without static patterns: each token standardised over its experts, then each expert centred.

    Tokens differ in the size of all their norms and in the spread of all their logits. A static
    pattern multiplied by both would not be removed by centring experts alone, and would
    look like a token-specific association.
    """
    wide = values.astype(np.float64)
    wide -= wide.mean(axis=-1, keepdims=True)
    spread = wide.std(axis=-1, keepdims=True)
    np.divide(wide, spread, out=wide, where=spread > 0)
    return centre_across_sequences(wide, sequence_of)


def _over_sequences(table: CrossTable, rng: np.random.Generator) -> tuple[Interval, ...]:
    return cluster_bootstrap(table.by_sequence[:, None], table.counts, lambda means: means[:, 0], rng=rng)


def chosen_by_norm(routed: RoutedMeasurement) -> dict[str, float]:
    """How well norms alone predict the chosen experts: top-k overlap, its value by chance, and AUC."""
    experts, k = routed.router_logits.shape[-1], routed.chosen.shape[-1]
    ranks = routed.output_norms.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
    ranks_of_chosen = np.take_along_axis(ranks, routed.chosen.astype(np.int64), axis=-1)
    overlap = float((ranks_of_chosen >= experts - k).mean())
    # Mann–Whitney: rank sum of the chosen experts minus its minimum, over the number of pairs.
    pairs = k * (experts - k)
    auc = float((ranks_of_chosen.sum(axis=-1) - k * (k - 1) / 2).mean() / pairs) if pairs else 0.5
    return {"top_k_overlap": overlap, "top_k_overlap_by_chance": k / experts, "auc_of_norm_for_chosen": auc}


def at_the_top(routed: RoutedMeasurement, rng: np.random.Generator) -> dict[str, Companion]:
    """Agreement of norms and scores on the top experts, mean over tokens and layers; 95 % intervals over sequences.

    ``top-1 agreement``: the expert with the largest norm has the highest score. ``top-k overlap``:
    share of the chosen experts among the k largest norms. Tied norms count fractionally.
    """
    k, layers = routed.chosen.shape[-1], len(routed.layers)
    counts = np.asarray(routed.lengths)
    shares = {"top-1 agreement": np.zeros(counts.sum()), "top-k overlap": np.zeros(counts.sum())}
    # Layer by layer: the norms of all layers, sorted, would be as large as the measurement.
    for norms, logits, chosen in zip(routed.output_norms, routed.router_logits, routed.chosen, strict=True):
        shares["top-1 agreement"] += _among_largest(norms, logits.argmax(axis=-1)[:, None], 1)
        shares["top-k overlap"] += _among_largest(norms, chosen, k)
    companions = {}
    for name, by_token in shares.items():
        sums = np.add.reduceat(by_token / layers, np.cumsum(counts) - counts)
        (interval,) = cluster_bootstrap(sums[:, None], counts, lambda means: means[:, 0], rng=rng, levels=(0.95,))
        companions[name] = Companion(float(sums.sum() / counts.sum()), interval)
    return companions


def _among_largest(norms: Floats, experts: NDArray[np.integer[Any]], count: int) -> Floats:
    """(T, E) norms and (T, n) expert indices → (T,) share of these experts among the ``count`` largest norms."""
    last = np.partition(norms, -count, axis=-1)[:, -count, None]
    above, at = norms > last, norms == last
    chance_of_tied = (count - above.sum(axis=-1, keepdims=True)) / at.sum(axis=-1, keepdims=True)
    return np.asarray(np.take_along_axis(above + at * chance_of_tied, experts, axis=-1).mean(axis=-1))


def diagonal(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Share of expert–token pairs whose norm rank equals their score rank, minus 1/E.

    The paper says 'for every i': if the same rank is more frequent on average but is not the mode of
    every norm rank, the claim falls short (direction-only).
    """
    routed = measured.routed
    experts = routed.router_logits.shape[-1]
    if experts < 3:
        raise NotComparableError(f"ranks within a token need at least 3 experts; this model has {experts}")
    table = _same_rank(routed)
    chance = 1 / experts
    labels = label_test(table, rng=rng)
    flips = sign_flips(table.by_sequence - chance * table.counts, rng=rng)
    interval, equivalence = _over_sequences(table, rng)
    counts = routed.rank_counts().sum(axis=0)
    by_norm = int((counts.argmax(axis=0) == np.arange(experts)).sum())
    by_score = int((counts.argmax(axis=1) == np.arange(experts)).sum())
    short = None
    if by_norm < experts:
        short = f"the modal score rank is its own for {by_norm} of {experts} norm ranks, not for every one"
    return Finding(
        effect=table.mean - chance,
        interval=_shift(interval, chance),
        equivalence=_shift(equivalence, chance),
        p_value=max(labels.p_greater, flips.p_greater),
        p_opposite=max(labels.p_less, flips.p_less),
        smallest_p=max(labels.smallest_p, flips.smallest_p),
        n_units=len(table.counts),
        falls_short=short,
        details={
            "ranks_with_own_mode_by_norm": by_norm,
            "ranks_with_own_mode_by_score": by_score,
            "experts": experts,
            "top1_agreement": float(counts[-1, -1] / counts[-1].sum()),
        },
        null_distribution=of_largest_p(
            (labels.p_greater, labels.null_distribution(LABELS, origin=chance)),
            (flips.p_greater, flips.null_distribution(SIGNS, per=table.counts.sum())),
        ),
    )


def _shift(interval: Interval, by: float) -> Interval:
    return Interval(interval.low - by, interval.high - by, interval.level, interval.method)


def _same_rank(routed: RoutedMeasurement) -> CrossTable:
    """Cross table whose entry (i, j) adds 1/E whenever the norm rank of i equals the score rank of j."""

    def ranks(values: Floats) -> NDArray[np.int64]:
        return values.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")

    norm, score = ranks(routed.output_norms), ranks(routed.router_logits)
    layers, _, experts = norm.shape
    counts = np.asarray(routed.lengths)
    ends = np.cumsum(counts)
    sums = np.zeros((len(counts), layers, experts, experts))
    for sequence, (start, stop) in enumerate(zip(ends - counts, ends, strict=True)):
        for rank in range(experts):
            a = (norm[:, start:stop] == rank).astype(np.float64)
            b = (score[:, start:stop] == rank).astype(np.float64)
            sums[sequence] += np.swapaxes(a, 1, 2) @ b
    return CrossTable(sums / experts, counts)


def _printed_association(model: str, variant: str | None) -> Printed | None:
    if model != MODEL or variant != "total":
        return None
    facts = published()
    effects, of = figure10_effects(facts), facts["models"][model]
    experts, chosen = of["routed_experts"], of["top_k"]
    companions = {
        "top-1 agreement": Printed(effects.top1_agreement, "Figure 10", BARS, none=1 / experts),
        "top-k overlap": Printed(effects.top2_overlap, "Figure 10", BARS, none=chosen / experts),
    }
    return Printed(effects.mean_spearman, "Figure 10", BARS, companions=companions)


def _printed_diagonal(model: str, variant: str | None) -> Printed | None:
    if model != MODEL:
        return None
    facts = published()
    value = figure10_effects(facts).diagonal_mass - 1 / facts["models"][model]["routed_experts"]
    return Printed(value, "Figure 10", BARS)


ROUTER_NORM = Claim(
    id="router-norm",
    statement="The router gives higher scores to experts with larger output norms.",
    section="5.2, Figure 10",
    family="headline",
    needs="text",
    effect="mean Spearman ρ of norms and scores within a token",
    smallest=0.10,
    null="expert labels of the norms permuted per layer; and signs of whole sequences flipped (the larger p)",
    unit="expert within layer (labels); sequence (signs, intervals)",
    estimator=association,
    printed=_printed_association,
    variants=("total", "token-specific"),
    paper_says={"grok-1": "opposite"},
    applies="3 experts or more",
)


ROUTER_NORM_DIAGONAL = Claim(
    id="router-norm-diagonal",
    statement="For every i, the expert with the i-th largest norm most often gets the i-th highest score.",
    section="5.2, Figure 10",
    family="headline",
    needs="text",
    effect="diagonal mass of the rank table − 1/E",
    smallest=0.05,
    null="expert labels of the norms permuted per layer; and signs of whole sequences flipped (the larger p)",
    unit=f"{EXPERT_WITHIN_LAYER}; sequence (signs, interval)",
    estimator=diagonal,
    printed=_printed_diagonal,
    applies="3 experts or more",
)
