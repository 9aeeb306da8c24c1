"""Claims on the similarity of expert outputs: it mirrors the weights, and is higher among the chosen (section 5.1)."""

from dataclasses import dataclass
from typing import final

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, LABELS_OF_ONE_SIDE, SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.models.families.table import ROLES
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.stats.jackknife import jackknife
from moe_claims.stats.mantel import mantel, pearson
from moe_claims.stats.pairs import choice_contrast, pair_test
from moe_claims.stats.permutation import Floats, Labels, TestResult, off_diagonal
from moe_claims.types import Finding, Interval

FEWEST_EXPERTS = 5
"""Fewest experts: with four, a jackknifed correlation would have three pairs."""
_SIGNS_OF_LAYERS = "signs of whole layers flipped"


def weights_mirror(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Pearson r between average output similarity and matrix-level weight similarity, mean over layers."""
    role = next(role for role in ROLES if role == variant)
    routed = measured.routed
    matrix = measured.weights.matrix[role]
    layers, experts, _ = matrix.shape
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"patterns over pairs need at least {FEWEST_EXPERTS} experts; this model has {experts}"
        )
    outputs = routed.angular_mean
    result = mantel(outputs, matrix, rng=rng)

    def r(keep: Labels) -> Floats:
        return pearson(off_diagonal(outputs[:, keep][:, :, keep]), off_diagonal(matrix[:, keep][:, :, keep]))

    spread = jackknife(r, experts)
    means = mantel(outputs, measured.weights.mean[role], rng=rng)
    over_text = r_over_sequences(routed, matrix, rng)
    return Finding(
        effect=float(result.r.mean()),
        interval=spread.interval(0.95),
        equivalence=spread.interval(0.90),
        p_value=result.mean_r.p_greater,
        p_opposite=result.mean_r.p_less,
        smallest_p=result.mean_r.smallest_p,
        n_units=layers * experts,
        details={
            "layers_positive": int((result.r > 0).sum()),
            "layers": layers,
            "r_low_over_sequences": over_text.low,
            "r_high_over_sequences": over_text.high,
            "r_with_mean_neurons": means.mean_r.statistic,
            "p_with_mean_neurons": means.mean_r.p_greater,
        },
        null_distribution=result.mean_r.null_distribution(LABELS),
    )


def r_over_sequences(routed: RoutedMeasurement, matrix: Floats, rng: np.random.Generator) -> Interval:
    """95 % bootstrap interval over sequences of r between output similarities and (L, E, E) ``matrix``.

    The similarities of a resample are a weighted sum over sequences. Its r with a fixed pattern
    follows from the products of the sequences with the pattern and with each other, S and S² numbers
    per layer, whatever the number of experts; r does not depend on the number of tokens in the denominator.
    """
    products, squares = [], []
    for sums, pattern in zip(routed.angular_sums, off_diagonal(matrix), strict=True):
        pairs = off_diagonal(sums)
        pairs = pairs - pairs.mean(axis=1, keepdims=True)
        centred = pattern - pattern.mean()
        length = np.linalg.norm(centred)
        products.append(pairs @ centred / length if length > 0 else np.zeros(len(pairs)))
        squares.append(pairs @ pairs.T)

    def mean_r(weights: Floats) -> Floats:
        total = np.zeros(len(weights))
        for product, square in zip(products, squares, strict=True):
            length = np.sqrt(np.maximum(((weights @ square) * weights).sum(axis=1), 0.0))
            total += np.divide(weights @ product, length, out=np.zeros_like(length), where=length > 0)
        return total / len(products)

    return cluster_bootstrap(np.eye(len(routed.lengths)), routed.lengths, mean_r, rng=rng)[0]


@final
@dataclass(frozen=True, eq=False)
class _Contrast:
    """Angular similarity among the chosen experts minus that among the others, and its parts."""

    total: Floats
    """(L, S) difference, summed over the tokens of a sequence."""
    specific: Floats
    """(L, S) the same after subtracting from every pair's similarity its mean over the other sequences."""
    weights: Floats
    """(L, E, E) weight of a pair in the difference, mean over tokens."""


def chosen_alike(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean similarity among a token's chosen experts, minus that among its other experts.

    The total is the sum of two parts. The static part, mean similarity times mean choice summed over
    pairs, is large if pairs that are similar on average are chosen together. Its p-value relabels the
    experts of the mean similarities in every layer; the token-specific part does not depend on these means
    and is unchanged by relabelling. The total must also be significant over sequences. The token-specific
    part is large if pairs are chosen together on tokens on which they are more similar than on average. It
    must be significant over sequences AND over layers: if labels are arbitrary, the contribution of a layer
    is as likely to be −c as c, but it is repeated by every sequence.
    """
    routed = measured.routed
    counts, experts, k = routed.lengths, routed.router_logits.shape[-1], routed.chosen.shape[-1]
    if k < 2 or experts - k < 2:
        raise NotComparableError(
            f"there is no pair to compare on both sides: this model chooses {k} of {experts} experts"
        )
    if variant == "token-specific" and len(routed.layers) < 2:
        raise NotComparableError("one MoE layer cannot show whether its pairs do so by accident: 2 or more are needed")
    parts = _contrast(routed)
    specific = parts.specific.mean(axis=0)
    if variant == "token-specific":
        sums, tests = specific, _over_sequences_and_layers(parts.specific, rng)
        per = counts.sum() * len(parts.specific)
        nulls = [tests[0].null_distribution(SIGNS, per=per), tests[1].null_distribution(_SIGNS_OF_LAYERS, per=per)]
    else:
        sums = parts.total.mean(axis=0)
        tests = [pair_test(parts.weights, routed.angular_mean, rng=rng), sign_flips(sums, rng=rng)]
        nulls = [
            tests[0].null_distribution(LABELS, "mean similarity times mean choice, summed over pairs: the static part"),
            tests[1].null_distribution(SIGNS, per=counts.sum()),
        ]
    interval, equivalence = cluster_bootstrap(sums[:, None], counts, lambda means: means[:, 0], rng=rng)
    among = routed.chosen_similarity.sum(axis=1).mean(axis=0) / counts.sum()
    token_specific = float(specific.sum() / counts.sum())
    static = float(among[0] - among[1]) - token_specific
    short = None
    # The p-value of the total is that of its static part, so a small static part makes the claim fall short.
    if variant == "total" and abs(static) < CHOSEN_ALIKE.smallest:
        short = f"pairs that are alike on average make only {static:.3f} of it"
    return Finding(
        effect=float(sums.sum() / counts.sum()),
        interval=interval,
        equivalence=equivalence,
        p_value=max(test.p_greater for test in tests),
        p_opposite=max(test.p_less for test in tests),
        smallest_p=max(test.smallest_p for test in tests),
        n_units=len(counts),
        falls_short=short,
        details={
            "among_chosen": float(among[0]),
            "among_others": float(among[1]),
            "static_part": static,
            "token_specific_part": token_specific,
        },
        null_distribution=of_largest_p(*zip((test.p_greater for test in tests), nulls, strict=True)),
    )


def _over_sequences_and_layers(specific: Floats, rng: np.random.Generator) -> list[TestResult]:
    """Sign-flip tests of (L, S) contributions: of whole sequences, and of whole layers."""
    return [sign_flips(specific.sum(axis=axis), rng=rng) for axis in (0, 1)]


def _contrast(routed: RoutedMeasurement) -> _Contrast:
    """The contrast, computed one layer at a time to limit memory: pair weights by sequence are (S, E, E) per layer."""
    counts = np.asarray(routed.lengths, dtype=np.float64)
    experts = routed.router_logits.shape[-1]
    static, weights = [], []
    for sums, chosen in zip(routed.angular_sums, routed.chosen, strict=True):
        by_sequence = choice_contrast(chosen, routed.sequence_of, experts)
        elsewhere = (sums.sum(axis=0) - sums) / (counts.sum() - counts)[:, None, None]
        static.append((off_diagonal(by_sequence) * off_diagonal(elsewhere)).sum(axis=1))
        weights.append(by_sequence.sum(axis=0) / counts.sum())
    total = routed.chosen_similarity[..., 0] - routed.chosen_similarity[..., 1]
    return _Contrast(total, total - np.asarray(static), np.asarray(weights))


WEIGHTS_MIRROR_OUTPUTS = Claim(
    id="weights-mirror-outputs",
    statement="Average output similarity shows the pattern of weight similarity.",
    section="5.1, Figure 3",
    family="secondary",
    needs="text",
    effect="mean over layers of Pearson r of S_out and the matrix-level similarity",
    smallest=0.20,
    null=LABELS_OF_ONE_SIDE,
    unit=EXPERT_WITHIN_LAYER,
    estimator=weights_mirror,
    variants=ROLES,
    applies="5 experts or more",
)


CHOSEN_ALIKE = Claim(
    id="chosen-alike",
    statement="Outputs of the chosen experts are more alike than those of the others.",
    section="5.1, Figure 2",
    family="secondary",
    needs="text",
    effect="angular similarity among chosen − among other experts of a token, mean over tokens and layers",
    smallest=0.02,
    null="total: expert labels of the mean similarities permuted per layer, and signs of whole sequences flipped; "
    "token-specific (each pair's mean over the other sequences taken out): signs of whole sequences flipped, "
    "and of whole layers (the larger p)",
    unit=f"{EXPERT_WITHIN_LAYER} (total); sequence (signs, intervals), and layer (token-specific)",
    estimator=chosen_alike,
    variants=("total", "token-specific"),
    applies="top-k of 2 or more that leaves 2 or more experts out; 2 MoE layers or more (token-specific)",
)
