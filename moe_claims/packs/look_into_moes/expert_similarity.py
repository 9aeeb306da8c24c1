"""Claims on the similarity of experts' weights, and on the agreement of their matrices (paper, 4.1.1, Appendix D)."""

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, LABELS_OF_ONE_SIDE
from moe_claims.measure.measured import Measured
from moe_claims.models.families.table import ROLES, Role
from moe_claims.packs.look_into_moes.neuron_experts import FEWEST_EXPERTS
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.cadm import concordance
from moe_claims.stats.jackknife import jackknife
from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import Floats, Labels, off_diagonal
from moe_claims.stats.student import StudentResult, student
from moe_claims.types import Finding

NEARLY_EQUAL = 0.05
"""Largest mean difference of cosines at which mean neurons count as being as similar as matrices. It is also the bound
of equivalence to no similarity in ``expert-similarity-level``."""


def _enough(experts: int) -> None:
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"similarities over pairs need at least {FEWEST_EXPERTS} experts; this model has {experts}"
        )


def role_of(variant: str | None) -> Role:
    """The matrix kind that a variant names."""
    return next(role for role in ROLES if role == variant)


def matrices_agree(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean Pearson r between the similarity patterns of W_up, W_act and W_down."""
    matrix = measured.weights.matrix
    layers, experts, _ = matrix["act"].shape
    _enough(experts)
    result = concordance(matrix["act"], matrix["up"], matrix["down"], rng=rng)

    def mean_r(keep: Labels) -> Floats:
        act, up, down = (off_diagonal(matrix[role][:, keep][:, :, keep]) for role in ("act", "up", "down"))
        return np.asarray((pearson(up, act) + pearson(up, down) + pearson(act, down)) / 3)

    spread = jackknife(mean_r, experts)
    up_act, act_down, up_down = result.r.mean(axis=0)
    least, smallest = min(up_act, act_down, up_down), MATRICES_AGREE.smallest
    short = None if least >= smallest else f"two of the three agree less than that (r = {least:.2f})"
    return Finding(
        effect=result.mean_r.statistic,
        interval=spread.interval(0.95),
        equivalence=spread.interval(0.90),
        p_value=result.mean_r.p_greater,
        p_opposite=result.mean_r.p_less,
        smallest_p=result.mean_r.smallest_p,
        n_units=layers * experts,
        falls_short=short,
        details={"mean_r_up_act": float(up_act), "mean_r_up_down": float(up_down), "mean_r_act_down": float(act_down)},
        null_distribution=result.mean_r.null_distribution(LABELS),
    )


def similarity_level(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean cosine of the experts' matrices.

    Independently drawn matrices have cosines of 0 on average, whatever their sizes. For these the jackknife
    estimates about twice the true variance, because leaving out an expert removes pairs
    that are independent of each other; the test is then conservative.
    """
    matrix = measured.weights.matrix[role_of(variant)]
    layers, experts, _ = matrix.shape
    _enough(experts)
    spread = jackknife(lambda keep: off_diagonal(matrix[:, keep][:, :, keep]).mean(axis=-1), experts)
    test = StudentResult(spread.estimate, spread.standard_error, spread.degrees)
    by_layer = off_diagonal(matrix).mean(axis=-1)
    return Finding(
        effect=spread.estimate,
        interval=spread.interval(0.95),
        equivalence=spread.interval(0.90),
        p_value=test.p_greater,
        p_opposite=test.p_less,
        smallest_p=0.0,
        n_units=layers * experts,
        details={
            "lowest_layer": int(measured.weights.layers[by_layer.argmin()]),
            "lowest_layer_cosine": float(by_layer.min()),
            "highest_layer": int(measured.weights.layers[by_layer.argmax()]),
            "highest_layer_cosine": float(by_layer.max()),
        },
        null_distribution=test.null_distribution("experts within layers (jackknife)"),
    )


def mean_mirrors_matrix(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Cosine of mean neurons minus cosine of matrices, for W_act; for W_up and W_down the two must be nearly equal.

    A mean neuron has d numbers, so its cosines have noise of about 1/√d that the cosines of
    matrices do not have. It increases the root mean square of mean − matrix, by an amount that
    cannot be derived from cosines, but not the mean. 'Nearly equal' is therefore tested on the
    mean differences of W_up and of W_down; the root mean squares are in the details.

    The part that the experts of a layer share adds common noise to all pairs of that layer, which
    a jackknife over experts does not see (it rejects in 8 to 23 % of cases without a
    difference, with 8 experts in 16 layers that share 30 to 80 %). This noise is independent
    between layers, so the layer is the unit.
    """
    weights = measured.weights
    layers, experts, _ = weights.router.shape
    _enough(experts)
    if layers < 2:
        raise NotComparableError("differences are compared over layers; this model has 1 MoE layer")
    apart = {role: off_diagonal(weights.mean[role] - weights.matrix[role]) for role in ROLES}
    by_layer = {role: pairs.mean(axis=-1) for role, pairs in apart.items()}
    test = student(by_layer["act"] - (by_layer["up"] + by_layer["down"]) / 2)
    unequal = [
        f"{float(by_layer[role].mean()):+.2f} (W_{role})" for role in ("up", "down") if not _nearly(by_layer[role])
    ]
    details: dict[str, float | int | str | bool | None] = {}
    for role in ROLES:
        details[f"difference_{role}"] = float(by_layer[role].mean())
        details[f"rms_{role}"] = float(np.sqrt((apart[role] ** 2).mean()))
    return Finding(
        effect=test.estimate,
        interval=test.interval(0.95, "layers"),
        equivalence=test.interval(0.90, "layers"),
        p_value=test.p_greater,
        p_opposite=test.p_less,
        smallest_p=0.0,
        n_units=layers,
        falls_short=f"mean neurons differ from the matrices by {' and '.join(unequal)}" if unequal else None,
        details=details,
        null_distribution=test.null_distribution("layers"),
    )


def _nearly(differences: Floats) -> bool:
    return abs(float(differences.mean())) <= NEARLY_EQUAL


MATRICES_AGREE = Claim(
    id="matrices-agree",
    statement="The similarity heat maps of W_up, W_act and W_down share one pattern.",
    section="4.1.1, Figure 1",
    family="secondary",
    needs="weights",
    effect="mean over layers of the mean Pearson r of the three pairs of matrix-level similarities",
    smallest=0.20,
    null=LABELS_OF_ONE_SIDE.replace("one side", "two of the three matrices"),
    unit=EXPERT_WITHIN_LAYER,
    estimator=matrices_agree,
    applies="5 experts or more",
)


def _printed_level(model: str, variant: str | None) -> Printed | None:
    said = published()["text_values"]["matrix_similarity"].get(model)
    if said is None:
        return None
    if "mean_about" in said:
        low, high = said["expert_expert"]
        return Printed(
            said["mean_about"], "section 4.1.1", f"'about', with a range of {low} to {high}; of no one matrix"
        )
    return Printed(said["expert_expert_about"], "section 4.1.1", "'about'; of no one matrix")


EXPERT_SIMILARITY_LEVEL = Claim(
    id="expert-similarity-level",
    statement="Matrices of experts have cosines of 0.2 to 0.4 (Mixtral); trained from scratch, about 0.",
    section="4.1.1, Figure 1",
    family="secondary",
    needs="weights",
    effect="mean over layers and pairs of the matrix-level cosine",
    smallest=0.20,
    negligible=0.05,
    null="none at all: jackknife t over experts within layers",
    unit=EXPERT_WITHIN_LAYER,
    estimator=similarity_level,
    printed=_printed_level,
    variants=ROLES,
    applies="5 experts or more",
    paper_says={"deepseek-moe-16b": "absent", "grok-1": "absent"},
)


MEAN_MIRRORS_MATRIX = Claim(
    id="mean-mirrors-matrix",
    statement="Mean neurons of W_up and W_down are as alike as the matrices; those of W_act are much more alike.",
    section="Appendix D",
    family="secondary",
    needs="weights",
    effect="mean of S_act mean − S_act matrix, less the mean of the same for W_up and W_down",
    smallest=0.10,
    null="none at all: Student t over layers",
    unit="layer",
    estimator=mean_mirrors_matrix,
    applies="5 experts and 2 MoE layers or more",
)
