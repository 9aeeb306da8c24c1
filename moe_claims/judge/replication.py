"""The paper's value of a claim for a model, and the four replication criteria against it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import mean, stdev
from typing import Any, final

import numpy as np
import numpy.typing as npt

from moe_claims.judge.claim import Claim, PaperSays
from moe_claims.packs.look_into_moes import paper
from moe_claims.packs.look_into_moes.audits.figure_10 import MODEL as FIGURE10_MODEL
from moe_claims.packs.look_into_moes.audits.figure_10 import figure10_effects
from moe_claims.packs.look_into_moes.audits.rounding import Paper
from moe_claims.packs.look_into_moes.router_norm_extremes import largest
from moe_claims.stats.replication import Z95, criteria
from moe_claims.types import Finding, Interval

PAPER_SEQUENCES = 10
"""Sequences of the paper's long input (its section 3)."""
BARS = "implied by the bars, read by eye"


@final
@dataclass(frozen=True)
class Printed:
    """What the paper prints, in the unit and orientation of a claim's effect."""

    value: float
    place: str
    """Table, figure or section."""
    note: str
    """How the value follows from what is printed."""
    standard_error: float | None = None
    """None where nothing printed gives one."""
    none: float = 0.0
    """The value that stands for no effect."""
    companions: Mapping[str, "Printed"] = field(default_factory=dict)
    """Of the finding's companions, by their names; these have none of their own."""


def _neuron_experts(model: str, variant: str | None, facts: Paper) -> Printed | None:
    r2 = facts["table3_r2_avg"].get(model)
    if r2 is None:
        return None
    return Printed(r2["act"] - max(r2["up"], r2["down"]), "Table 3", "difference of printed R²_avg")


def _neuron_experts_sign(model: str, variant: str | None, facts: Paper) -> Printed | None:
    by_layer = facts["table5_r_gate_act_by_layer"].get(model)
    if by_layer is None:
        return None
    r = list(by_layer.values())
    note = "mean of printed r; error from their spread over layers"
    return Printed(mean(r), "Table 5", note, standard_error=stdev(r) / len(r) ** 0.5)


def _router_norm(model: str, variant: str | None, facts: Paper) -> Printed | None:
    if model != FIGURE10_MODEL or variant != "total":
        return None
    effects, of = figure10_effects(facts), facts["models"][model]
    experts, chosen = of["routed_experts"], of["top_k"]
    companions = {
        "top-1 agreement": Printed(effects.top1_agreement, "Figure 10", BARS, none=1 / experts),
        "top-k overlap": Printed(effects.top2_overlap, "Figure 10", BARS, none=chosen / experts),
    }
    return Printed(effects.mean_spearman, "Figure 10", BARS, companions=companions)


def _router_norm_diagonal(model: str, variant: str | None, facts: Paper) -> Printed | None:
    if model != FIGURE10_MODEL:
        return None
    value = figure10_effects(facts).diagonal_mass - 1 / facts["models"][model]["routed_experts"]
    return Printed(value, "Figure 10", BARS)


def _router_norm_extremes(model: str, variant: str | None, facts: Paper) -> Printed | None:
    if model != FIGURE10_MODEL:
        return None
    bars = facts["figure10_rank_counts_mixtral_8x7b_read_from_bars_approx"]
    ranks = range(1, facts["models"][model]["routed_experts"] + 1)
    return Printed(extremes_of(np.array([bars[str(rank)] for rank in ranks], dtype=np.float64)), "Figure 10", BARS)


def extremes_of(counts: npt.NDArray[np.floating[Any]]) -> float:
    """(E, E) counts by norm rank and score rank, smallest first → the effect of ``router-norm-extremes``."""
    experts = len(counts)
    score_rank = counts @ np.linspace(0.0, 1.0, experts) / counts.sum(axis=1)
    quarter = experts // 4
    return float(score_rank[experts - largest(experts) :].mean() - score_rank[quarter : experts - quarter].mean())


def _similarity_level(model: str, variant: str | None, facts: Paper) -> Printed | None:
    said = facts["text_values"]["matrix_similarity"].get(model)
    if said is None:
        return None
    if "mean_about" in said:
        low, high = said["expert_expert"]
        return Printed(
            said["mean_about"], "section 4.1.1", f"'about', with a range of {low} to {high}; of no one matrix"
        )
    return Printed(said["expert_expert_about"], "section 4.1.1", "'about'; of no one matrix")


def _neuron_order(model: str, variant: str | None, facts: Paper) -> Printed | None:
    row = facts["table2_reordering"].get(model)
    if row is None:
        return None
    return Printed(row["kendall_tau_mean"], "Table 2", "one mean is printed for all three matrices")


def _activation_ratio(model: str, variant: str | None, facts: Paper) -> Printed | None:
    share = facts["text_values"]["activation_ratio_abs_gt_1e-3"].get(model)
    return None if share is None else Printed(share, "Appendix H", "printed share")


def _dense_reference(model: str, variant: str | None, facts: Paper) -> Printed | None:
    said = facts["text_values"]["matrix_similarity"].get(model, {})
    if "expert_dense_reference" not in said or not str(variant).startswith("matrix"):
        return None
    value = said["expert_dense_reference"] - said["mean_about"]
    return Printed(value, "section 4.1.1", "difference of two values said to be 'about' so much; of no one matrix")


_LOOKUPS: Mapping[str, Callable[[str, str | None, Paper], Printed | None]] = {
    "neuron-experts": _neuron_experts,
    "neuron-experts-sign": _neuron_experts_sign,
    "router-norm": _router_norm,
    "router-norm-diagonal": _router_norm_diagonal,
    "router-norm-extremes": _router_norm_extremes,
    "expert-similarity-level": _similarity_level,
    "neuron-order": _neuron_order,
    "activation-ratio": _activation_ratio,
    "dense-reference": _dense_reference,
}
"""By claim, from the paper's key of a model and the claim's variant. What is not here, the paper gives no number of."""


def paper_model(hub_id: str | None) -> str | None:
    """The paper's key of a model on the hub; None if the paper does not treat it."""
    for key, facts in paper.published()["models"].items():
        if hub_id is not None and facts["hub"] == hub_id:
            return str(key)
    return None


def published_value(claim: Claim, variant: str | None, hub_id: str | None) -> dict[str, Any] | None:
    """What the paper prints for this claim and this very model, or None.

    ``none`` is the value of no effect, ``paper_says`` whether the paper takes the claim to hold,
    ``standard_error`` None where nothing printed gives one. ``companions`` holds the same (less
    ``model`` and ``paper_says``) for further estimates.
    """
    model, lookup = paper_model(hub_id), _LOOKUPS.get(claim.id)
    printed = lookup(model, variant, paper.published()) if model is not None and lookup is not None else None
    if printed is None:
        return None
    found = as_published(printed, str(model), claim.paper_says.get(str(model), "holds"))
    return found | {"none": claim.smallest} if claim.rule == "level" else found


def as_published(printed: Printed, model: str, paper_says: PaperSays) -> dict[str, Any]:
    """A printed value as a row carries it: of which model, and whether the claim is said to hold there."""
    found = asdict(printed)
    for companion in found["companions"].values():
        del companion["companions"]
    return {"model": model, "paper_says": paper_says, **found}


def against_published(finding: Finding, published: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The four criteria, with the origin of the published standard error said; those of companions by their names.

    Where the paper finds no effect, small telescopes and the pooled estimate's difference from none
    have no published effect to speak of, and are None.
    """
    if published is None:
        return None
    four = _four(finding.effect, finding.interval, finding.n_units, published)
    if published["paper_says"] == "absent" and "reason" not in four:
        four |= {"small_telescope_passed": None, "small_telescope": None, "pooled_differs_from_none": None}
    companions = {
        name: _four(ours.value, ours.interval, finding.n_units, published["companions"][name])
        for name, ours in finding.companions.items()
        if name in published["companions"]
    }
    return {**four, "companions": companions}


def _four(effect: float, interval: Interval, sequences: int, published: Mapping[str, Any]) -> dict[str, Any]:
    """``sequences`` counts where the interval is over sequences."""
    our_se = (interval.high - interval.low) / 2 / Z95
    if our_se <= 0:
        return {"reason": "our interval has no width, so the criteria cannot be computed"}
    error, origin = published["standard_error"], "from the paper's figures"
    if error is None and interval.method.endswith("over sequences"):
        error = our_se * (sequences / PAPER_SEQUENCES) ** 0.5
        origin = f"not published: ours scaled to the paper's {PAPER_SEQUENCES} sequences"
    elif error is None:
        error, origin = our_se, "not published: taken to equal ours"
    four = criteria(effect, our_se, interval, float(published["value"]), float(error), none=published["none"])
    return {**asdict(four), "published_standard_error": error, "standard_error_origin": origin}
