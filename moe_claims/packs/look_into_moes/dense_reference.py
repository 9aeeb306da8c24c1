"""Claims on experts compared with a dense model of the same shape (paper, sections 4.1.1 and 5.1, appendix D)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, SIGNS, of_largest_p
from moe_claims.measure.dense import append_dense
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.models.families.table import ROLES, Role
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, sign_flips
from moe_claims.stats.permutation import Floats, off_diagonal
from moe_claims.stats.reference_point import OnePointResult, one_point
from moe_claims.types import Finding, Scalar

FEWEST_EXPERTS = 2
_ANY = "any expert of a layer in the dense model's place"


def compared(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Difference between the experts' similarity to the dense model and their similarity to each other.

    For matrices it is the former minus the latter; for the other variants, in which the paper finds
    experts to be less like the dense model, the latter minus the former.
    Null: the dense model is like one more expert, so that any of the E + 1 could be it,
    independently in every layer. On outputs the effect must also be significant over sequences.

    Args:
        variant: ``matrix up``, ``matrix act``, ``matrix down``, ``mean act`` or ``outputs``.
        measured: measurements that include a dense reference.
        rng: seeded generator.

    Raises:
        NotComparableError: no dense model of the same shape, or a single expert.
        MoeClaimsError: the dense model, or the text, could not be measured.
    """
    if variant == "outputs":
        return _outputs(measured, rng)
    level, _, name = str(variant).partition(" ")
    role: Role = next(role for role in ROLES if role == name)
    against = measured.against_dense
    if level == "matrix":
        experts, dense, sign = measured.weights.matrix[role], against.matrix[role], 1.0
    else:
        experts, dense, sign = measured.weights.mean[role], against.mean[role], -1.0
    result = one_point(sign * _joined(experts, dense), rng=rng)
    return Finding(
        effect=result.test.statistic,
        interval=result.interval(0.95),
        equivalence=result.interval(0.90),
        p_value=result.test.p_greater,
        p_opposite=result.test.p_less,
        smallest_p=result.test.smallest_p,
        n_units=dense.size + len(dense),
        details=_details(experts, dense, result),
        null_distribution=result.test.null_distribution(_ANY),
    )


def _joined(experts: Floats, dense: Floats) -> Floats:
    """(L, E, E) similarities of experts and (L, E) with the dense model → (L, E + 1, E + 1), the dense model last."""
    number = experts.shape[-1]
    if number < FEWEST_EXPERTS:
        raise NotComparableError(f"experts are compared with each other: {FEWEST_EXPERTS} are needed, not {number}")
    return append_dense(experts, dense)


def _details(experts: Floats, dense: Floats, result: OnePointResult) -> dict[str, Scalar]:
    return {
        "mean_expert_dense": float(dense.mean()),
        "mean_expert_expert": float(off_diagonal(experts).mean()),
        "layers_as_claimed": int((result.by_layer > 0).sum()),
        "layers": len(result.by_layer),
    }


def _outputs(measured: Measured, rng: np.random.Generator) -> Finding:
    """Angular similarity of outputs on the same tokens; tested by relabelling and by sign flips of sequences."""
    routed = measured.routed
    experts, dense = _output_means(routed, measured)
    labels = one_point(-_joined(experts, dense), rng=rng)
    assert routed.dense_sums is not None  # checked by _output_means
    counts = np.asarray(routed.lengths, dtype=np.float64)
    sums = (off_diagonal(routed.angular_sums).mean(axis=-1) - routed.dense_sums.mean(axis=-1)).mean(axis=0)
    flips = sign_flips(sums, rng=rng)
    interval, equivalence = cluster_bootstrap(sums[:, None], counts, lambda means: means[:, 0], rng=rng)
    return Finding(
        effect=float(sums.sum() / counts.sum()),
        interval=interval,
        equivalence=equivalence,
        p_value=max(labels.test.p_greater, flips.p_greater),
        p_opposite=max(labels.test.p_less, flips.p_less),
        smallest_p=max(labels.test.smallest_p, flips.smallest_p),
        n_units=len(counts),
        details=_details(experts, dense, labels) | {"p_labels": labels.test.p_greater, "p_sign_flips": flips.p_greater},
        null_distribution=of_largest_p(
            (labels.test.p_greater, labels.test.null_distribution(_ANY)),
            (flips.p_greater, flips.null_distribution(SIGNS, per=counts.sum())),
        ),
    )


def _output_means(routed: RoutedMeasurement, measured: Measured) -> tuple[Floats, Floats]:
    """(L, E, E) and (L, E) angular similarities, averaged over tokens."""
    if routed.dense_sums is None:
        assert measured.against_dense  # raises if there is no dense reference
        raise NotComparableError("the outputs of the dense model were not measured on this text")
    return routed.angular_mean, np.asarray(routed.dense_sums.sum(axis=1) / routed.lengths.sum())


def _printed_distance(model: str, variant: str | None) -> Printed | None:
    said = published()["text_values"]["matrix_similarity"].get(model, {})
    if "expert_dense_reference" not in said or not str(variant).startswith("matrix"):
        return None
    value = said["expert_dense_reference"] - said["mean_about"]
    return Printed(value, "section 4.1.1", "difference of two values said to be 'about' so much; of no one matrix")


DENSE_REFERENCE = Claim(
    id="dense-reference",
    statement="Experts' matrices are more like the dense model's than each other's; W_act means and outputs less.",
    section="4.1.1, 5.1 and Appendix D",
    family="secondary",
    needs="weights",
    effect="difference of expert–dense and expert–expert similarity, in the claimed direction",
    smallest=0.05,
    null="the dense model is one more expert: any of the E + 1 could be it, independently in every layer; on "
    "outputs also signs of whole sequences flipped (the larger p)",
    unit=f"{EXPERT_WITHIN_LAYER}; sequence (outputs)",
    estimator=compared,
    printed=_printed_distance,
    variants=("matrix up", "matrix act", "matrix down", "mean act", "outputs"),
    on_text=("outputs",),
    applies="models with a dense model of the same shape (--moe-dense-reference)",
)
