"""Claims on experts whose weights stand apart from the others' ('dark crosses'; paper, 4.1.1, Appendices C and I)."""

from math import ceil, isqrt

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, MARKS, SIGNS, of_largest_p
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import DenseWeights, Floats, Integers, RoutedMeasurement
from moe_claims.models.families.table import ROLES
from moe_claims.packs.look_into_moes.expert_similarity import role_of
from moe_claims.packs.look_into_moes.routing import loads_by_sequence
from moe_claims.stats.association import CrossTable, label_test
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.stats.esd import chance_of, generalized_esd
from moe_claims.stats.label_flags import Flags, flagged_difference, flagged_mean, most_flagged
from moe_claims.stats.pca_dbscan import NOISE, dbscan, principal_plane
from moe_claims.stats.proportions import clopper_pearson
from moe_claims.types import Finding, Interval

ALPHA = 0.05
"""Approximate probability of finding an expert that stands apart in a layer without one."""
FEWEST_EXPERTS = 7
"""Fewest experts: with fewer, an expert would be found only if more than 4 standard deviations below the others."""
REACH = 0.5
"""DBSCAN radius, as a fraction of the root mean square distance of the points from their centre. The paper's radius of
50 is in units of one model's weights, and does not carry over to other widths or numbers of experts."""
NEIGHBOURS = 3
"""DBSCAN's smallest number of points around a core point, itself included: the dimensions plus one. With two, any
neighbours would form a chain."""


def _enough(experts: int) -> None:
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"to stand apart from the others takes at least {FEWEST_EXPERTS} experts; this model has {experts}"
        )


def _most(experts: int) -> int:
    """Largest number of experts of a layer that may stand apart: the square root of their number."""
    return isqrt(experts)


def flags(similarity: Floats, alpha: float = ALPHA) -> Flags:
    """(L, E, E) cosines → (L, E) True for experts whose mean similarity to the others is a low outlier.

    One-sided generalized ESD test in every layer at level ``alpha``.
    """
    experts = similarity.shape[-1]
    diagonal = np.diagonal(similarity, axis1=1, axis2=2)
    to_others = (similarity.sum(axis=-1) - diagonal) / (experts - 1)
    return generalized_esd(to_others, _most(experts), alpha=alpha, alternative="less").outliers


def stands_apart(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Share of layers in which one and the same expert is a low outlier.

    Two explanations by chance must be ruled out, so the p-value is the larger of two:
    the outlier test also finds outliers where there are none, at its error rate; and
    the outliers that there are may fall on any expert, as labels are arbitrary and
    unrelated between layers. The statistic of both is the count of the most frequent
    expert, whichever it is; the interval takes that expert as given.
    """
    similarity = measured.weights.matrix[role_of(variant)]
    layers, experts, _ = similarity.shape
    _enough(experts)
    marked = flags(similarity)
    result = most_flagged(marked, chance_of(experts, _most(experts), ALPHA, "less"), rng=rng)
    tests = (result.by_chance, result.given_numbers)
    interval, equivalence = (_over_layers(clopper_pearson(result.count, layers, level=level)) for level in (0.95, 0.90))
    return Finding(
        effect=result.count / layers,
        interval=interval,
        equivalence=equivalence,
        p_value=max(test.p_greater for test in tests),
        p_opposite=max(test.p_less for test in tests),
        smallest_p=max(test.smallest_p for test in tests),
        n_units=layers,
        details={
            "expert": result.expert if result.count else None,
            "layers_of_that_expert": result.count,
            "layers_with_any": int(marked.any(axis=1).sum()),
            "outliers": int(marked.sum()),
            "layers": layers,
            "p_by_chance": result.by_chance.p_greater,
            "p_given_numbers": result.given_numbers.p_greater,
        },
        null_distribution=of_largest_p(
            (
                result.by_chance.p_greater,
                result.by_chance.null_distribution("outliers where no expert stands apart", per=layers),
            ),
            (result.given_numbers.p_greater, result.given_numbers.null_distribution(MARKS, per=layers)),
        ),
    )


def _over_layers(interval: Interval) -> Interval:
    return Interval(interval.low, interval.high, interval.level, "Clopper–Pearson over layers")


def _often_enough(similarity: Floats) -> Flags:
    """``flags`` of a model in which an expert stands apart in at least a quarter of the layers.

    Raises:
        NotComparableError: too few experts, or too few layers with one that stands apart.
    """
    _enough(similarity.shape[-1])
    marked = flags(similarity)
    layers, some = len(marked), int(marked.any(axis=1).sum())
    if some < ceil(layers / 4):
        raise NotComparableError(
            f"an expert stands apart in {some} of {layers} layers, and this claim needs one in a quarter of them"
        )
    return marked


def pca_clusters(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Agreement of the experts that stand apart with those outside the cluster in two principal components.

    Both are computed from the same cosines: an expert unlike all others has a low mean similarity
    and lies far out in the plane. The claim shows that the two descriptions name the same
    experts; it is no independent evidence that such experts exist. If no expert is special, those
    that stand apart by chance are usually outside the cluster too, but rarely in a quarter of
    the layers (with 8 experts: in 14 % of models of 8 layers, in 4 % of 16), and otherwise
    the claim does not apply; 0.2 % of such models replicated it.

    The paper standardises every weight over the experts; here each expert's matrix is scaled to
    unit length instead, so that the components follow from the cosines. In the paper the dense model is
    one more point of the plane; here the plane is computed from the experts alone, because a dense model that
    is far from all of them would leave no cluster, and the verdict should not depend on the choice of the
    dense model. The number of experts that cluster with it is in the details.
    """
    role = role_of(variant)
    similarity = measured.weights.matrix[role]
    layers, experts, _ = similarity.shape
    marked = _often_enough(similarity)
    some = int(marked.any(axis=1).sum())
    if some < 2:
        raise NotComparableError("an expert stands apart in 1 layer alone, and to compare layers takes 2 of them")
    outside = _outside(similarity)
    test = flagged_mean(outside, marked, rng=rng)
    difference = flagged_difference(outside, marked)
    near_dense = None
    if isinstance(measured.dense, DenseWeights):
        near_dense = float(1 - _outside(similarity, measured.dense.matrix[role]).mean())
    return Finding(
        effect=difference.estimate,
        interval=difference.interval(0.95, "layers (jackknife)"),
        equivalence=difference.interval(0.90, "layers (jackknife)"),
        p_value=test.p_greater,
        p_opposite=test.p_less,
        smallest_p=test.smallest_p,
        n_units=some * experts,
        details={
            "outside_of_those_apart": test.statistic,
            "outside_of_the_others": test.statistic - difference.estimate,
            "share_in_cluster": float(1 - outside.mean()),
            "share_in_cluster_of_dense": near_dense,
            "layers_with_expert_apart": some,
            "layers": layers,
        },
        null_distribution=test.null_distribution(MARKS, "share of outliers among experts that stand apart"),
    )


def _outside(similarity: Floats, dense: Floats | None = None) -> Flags:
    """(L, E, E) cosines → (L, E) True for experts outside the largest cluster of their layer's plane.

    If the (L, E) cosines to a dense model are given, it is one more point, and its cluster is used
    instead of the largest.
    """
    experts = similarity.shape[-1]
    points = similarity if dense is None else _with_point(similarity, dense)
    outside = []
    for plane in principal_plane(points):
        spread = float(np.sqrt((plane**2).sum(axis=1).mean()))
        labels = dbscan(plane, REACH * spread, NEIGHBOURS)
        home = _largest(plane, labels) if dense is None else int(labels[-1])
        outside.append((labels[:experts] != home) | (home == NOISE))
    return np.stack(outside)


def _with_point(similarity: Floats, point: Floats) -> Floats:
    """(L, E, E) similarities and (L, E) similarities to one more point → (L, E + 1, E + 1), that point last."""
    layers, experts, _ = similarity.shape
    wider = np.ones((layers, experts + 1, experts + 1))
    wider[:, :-1, :-1] = similarity
    wider[:, -1, :-1] = wider[:, :-1, -1] = point
    return wider


def _largest(plane: Floats, labels: Integers) -> int:
    """Label of the largest cluster; of equally large ones, the nearest to the centre of all points."""
    clusters = [int(label) for label in np.unique(labels) if label != NOISE]
    if not clusters:
        return NOISE

    def rank(label: int) -> tuple[int, float]:
        members = plane[labels == label]
        return -len(members), float(np.linalg.norm(members.mean(axis=0)))

    return min(clusters, key=rank)


def chosen_less(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Load of the experts whose weights stand apart, relative to the even share, minus 1.

    These experts are determined from the average similarity of the three matrices, without
    any text. Some expert is always chosen less, similarly in every sequence, so
    the p-value is the larger of two: against other experts of the same layers instead of
    these, and against sign flips of whole sequences. If an index meant the same expert in
    all layers, for weights and for loads, the layers would not be independent;
    the p of one relabelling for all layers, which cannot be far below 1/E, is therefore
    in the details.
    """
    weights, routed = measured.weights, measured.routed
    layers, experts, _ = weights.router.shape
    _enough(experts)
    marked = _often_enough(np.mean([weights.matrix[role] for role in ROLES], axis=0))
    k = routed.chosen.shape[-1]
    if k >= experts:
        raise NotComparableError(f"every token chooses all {experts} experts, so none is chosen less")
    loads = loads_by_sequence(routed) * (experts / k)  # (S, L, E), in even shares of a token
    over_even = loads.sum(axis=0) / routed.lengths.sum() - 1  # (L, E)
    labels = flagged_mean(over_even, marked, rng=rng)
    alike = label_test(CrossTable((marked.T @ over_even)[None, None], np.ones(1, dtype=np.int64)), rng=rng)
    apart = (loads * marked).sum(axis=(1, 2)) / marked.sum() - routed.lengths  # (S,)
    flips = sign_flips(apart, rng=rng)
    interval, equivalence = cluster_bootstrap(apart[:, None], routed.lengths, lambda means: means[:, 0], rng=rng)
    least = (over_even.argmin(axis=1)[:, None] == np.arange(experts)) & marked
    return Finding(
        effect=labels.statistic,
        interval=interval,
        equivalence=equivalence,
        p_value=max(labels.p_less, flips.p_less),
        p_opposite=max(labels.p_greater, flips.p_greater),
        smallest_p=max(labels.smallest_p, flips.smallest_p),
        n_units=len(routed.lengths),
        details={
            "score_rank": _score_rank(routed, marked),
            "experts_apart": int(marked.sum()),
            "experts_apart_that_are_chosen_least": int(least.sum()),
            "layers_with_expert_apart": int(marked.any(axis=1).sum()),
            "layers": layers,
            "p_labels": labels.p_less,
            "p_labels_same_in_all_layers": alike.p_less,
            "p_sign_flips": flips.p_less,
        },
        null_distribution=of_largest_p(
            (labels.p_less, labels.null_distribution(MARKS, tail="lower")),
            (flips.p_less, flips.null_distribution(SIGNS, tail="lower", per=routed.lengths.sum())),
        ),
    )


def _score_rank(routed: RoutedMeasurement, marked: Flags) -> float:
    """Mean score rank of the marked experts within a token, 0 (lowest) to 1, over tokens; ties have their mean rank."""
    others, ranks = marked.shape[1] - 1, []
    for layer, expert in np.argwhere(marked):
        logits = routed.router_logits[layer]
        own = logits[:, expert, None]
        below, level = (logits < own).sum(axis=1), (logits == own).sum(axis=1) - 1
        ranks.append(float((below + level / 2).mean()) / others)
    return float(np.mean(ranks))


SPECIAL_EXPERT = Claim(
    id="special-expert",
    statement="One expert stands apart from the others, most often the same one in every layer.",
    section="4.1.1, Figure 1",
    family="secondary",
    needs="weights",
    effect="share of layers in which one and the same expert is a low outlier of mean similarity",
    smallest=0.25,
    null="outliers at the test's own level by chance, each any expert: simulated count of the most frequent one, "
    "and the same given how many there were (the larger p)",
    unit="layer",
    estimator=stands_apart,
    variants=ROLES,
    applies="7 experts or more",
)


PCA_CLUSTERS = Claim(
    id="pca-clusters",
    statement="In two principal components half the experts cluster and the rest are outliers, the special ones.",
    section="Appendix C",
    family="secondary",
    needs="weights",
    effect="share of outliers among experts that stand apart − among the others",
    smallest=0.30,
    null="expert labels of the outliers permuted, independently in every layer",
    unit=f"{EXPERT_WITHIN_LAYER}; layer (interval)",
    estimator=pca_clusters,
    variants=ROLES,
    applies="models with an expert that stands apart in a quarter of the layers",
)


SPECIAL_EXPERT_CHOSEN_LESS = Claim(
    id="special-expert-chosen-less",
    statement="The expert whose weights stand apart is chosen less than the others (Mixtral).",
    section="Appendix I",
    family="secondary",
    needs="text",
    effect="load of experts that stand apart over the even share, less 1",
    smallest=-0.10,
    null="which expert of a layer stands apart: labels permuted, independently in every layer; and signs of whole "
    "sequences flipped (the larger p)",
    unit=f"{EXPERT_WITHIN_LAYER}; sequence (interval)",
    estimator=chosen_less,
    applies="models with an expert that stands apart in a quarter of the layers",
)
