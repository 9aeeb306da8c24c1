"""Claims that neurons act like fine-grained experts: router rows against mean neurons (paper, section 4.2)."""

from statistics import mean, stdev

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.combined_null import EXPERT_WITHIN_LAYER, LABELS, LABELS_OF_ONE_SIDE
from moe_claims.measure.measured import Measured
from moe_claims.models.families.table import Role
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.jackknife import jackknife
from moe_claims.stats.mantel import mantel, pearson
from moe_claims.stats.mrqap import mrqap
from moe_claims.stats.permutation import Floats, Labels, off_diagonal
from moe_claims.stats.proportions import sign_test
from moe_claims.stats.trend import theil_sen
from moe_claims.types import Finding

FEWEST_EXPERTS = 5
"""Fewest experts: with four, a jackknifed regression would have three pairs and one degree of freedom."""


def _enough(experts: int) -> None:
    if experts < FEWEST_EXPERTS:
        raise NotComparableError(
            f"patterns over pairs need at least {FEWEST_EXPERTS} experts; this model has {experts}"
        )


def layer_r(router: Floats, mean: Floats, keep: Labels | None = None) -> Floats:
    """(L, E, E) router and mean-neuron similarities → (L,) Pearson r over pairs of the experts in ``keep``."""
    if keep is not None:
        router, mean = router[:, keep][:, :, keep], mean[:, keep][:, :, keep]
    return pearson(off_diagonal(router), off_diagonal(mean))


def unique_association(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Association of router similarities S_g with S_act, beyond that with S_up and S_down.

    The p-value is that of S_act in a regression on S_act, S_up and S_down. If all three share one pattern
    the regression alone can be significant, so the jackknife interval of the difference of r²
    must lie above 0 as well.
    """
    weights = measured.weights
    _enough(weights.router.shape[1])
    mean = weights.mean

    def difference(keep: Labels) -> Floats:
        r2 = {role: layer_r(weights.router, mean[role], keep) ** 2 for role in mean}
        return np.asarray(r2["act"] - np.maximum(r2["up"], r2["down"]))

    spread = jackknife(difference, weights.router.shape[1])
    interval = spread.interval(0.95)
    regression = mrqap(weights.router, mean["act"], [mean["up"], mean["down"]], rng=rng).squared
    rivals = [mrqap(weights.router, mean[x], [mean["act"], mean[y]], rng=rng).squared for x, y in _RIVALS]
    unmet = None
    if interval.low <= 0:
        unmet = f"the jackknife interval of the difference reaches down to {interval.low:.2f}"
    # Evidence against the claim is another matrix that explains more, and is significant given the others.
    against = min(1.0, 2 * min(rival.p_greater for rival in rivals)) if interval.high < 0 else 1.0
    plain = mantel(weights.router, mean["act"], rng=rng)
    r2 = {role: float((layer_r(weights.router, mean[role]) ** 2).mean()) for role in mean}
    return Finding(
        effect=spread.estimate,
        interval=interval,
        equivalence=spread.interval(0.90),
        p_value=regression.p_greater,
        p_opposite=against,
        smallest_p=regression.smallest_p,
        n_units=weights.router.shape[0] * weights.router.shape[1],
        unmet=unmet,
        details={
            "r2_avg_act": r2["act"],
            "r2_avg_up": r2["up"],
            "r2_avg_down": r2["down"],
            "r2_avg_act_less_expected": r2["act"] - plain.expected_r2,
            "mean_partial_r2": regression.statistic,
            "mean_r_act": float(plain.r.mean()),
        },
        null_distribution=regression.null_distribution(
            "expert labels of what S_up and S_down leave of S_act permuted in every layer",
            "mean over layers of the squared partial correlation of S_g and S_act given S_up and S_down",
        ),
    )


_RIVALS: tuple[tuple[Role, Role], ...] = (("up", "down"), ("down", "up"))


def sign(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """Mean r(S_g, S_act) over layers, whose sign is the claim; the number of positive layers is in the details."""
    weights = measured.weights
    _enough(weights.router.shape[1])
    act = weights.mean["act"]
    result = mantel(weights.router, act, rng=rng)
    spread = jackknife(lambda keep: layer_r(weights.router, act, keep), weights.router.shape[1])
    positive, nonzero = int((result.r > 0).sum()), int((result.r != 0).sum())
    return Finding(
        effect=float(result.r.mean()),
        interval=spread.interval(0.95),
        equivalence=spread.interval(0.90),
        p_value=result.mean_r.p_greater,
        p_opposite=result.mean_r.p_less,
        smallest_p=result.mean_r.smallest_p,
        n_units=weights.router.shape[0] * weights.router.shape[1],
        details={
            "layers_positive": positive,
            "layers": len(result.r),
            "sign_test_p": sign_test(positive, nonzero) if nonzero else None,
            "slope_of_r_on_depth": float(theil_sen(result.r)[0]) if len(result.r) > 1 else None,
        },
        null_distribution=result.mean_r.null_distribution(LABELS),
    )


def _printed_difference(model: str, variant: str | None) -> Printed | None:
    r2 = published()["table3_r2_avg"].get(model)
    if r2 is None:
        return None
    return Printed(r2["act"] - max(r2["up"], r2["down"]), "Table 3", "difference of printed R²_avg")


def _printed_sign(model: str, variant: str | None) -> Printed | None:
    by_layer = published()["table5_r_gate_act_by_layer"].get(model)
    if by_layer is None:
        return None
    r = list(by_layer.values())
    note = "mean of printed r; error from their spread over layers"
    return Printed(mean(r), "Table 5", note, standard_error=stdev(r) / len(r) ** 0.5)


NEURON_EXPERTS = Claim(
    id="neuron-experts",
    statement="The similarity pattern of router rows follows that of W_act, more than that of W_up or W_down.",
    section="4.2, Tables 3 and 5",
    family="headline",
    needs="weights",
    effect="mean over layers of r²(act) − max(r²(up), r²(down))",
    smallest=0.10,
    null=f"residual of S_act given S_up and S_down relabeled (MRQAP): {LABELS_OF_ONE_SIDE}; and jackknife interval "
    "above 0",
    unit=EXPERT_WITHIN_LAYER,
    estimator=unique_association,
    printed=_printed_difference,
    applies="5 experts or more",
)


NEURON_EXPERTS_SIGN = Claim(
    id="neuron-experts-sign",
    statement="The association of router rows and W_act is positive in nearly all layers (Mixtral, DeepSeek).",
    section="4.2 and Appendix B, Table 5",
    family="headline",
    needs="weights",
    effect="mean over layers of Pearson r",
    smallest=0.20,
    null=LABELS_OF_ONE_SIDE,
    unit=EXPERT_WITHIN_LAYER,
    estimator=sign,
    printed=_printed_sign,
    paper_says={"grok-1": "absent"},
    applies="5 experts or more",
)
