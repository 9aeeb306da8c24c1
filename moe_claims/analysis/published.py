"""The paper's value of a claim for a model, and the four replication criteria against it."""

from collections.abc import Mapping
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from moe_claims import paper
from moe_claims.analysis.audits_figure10 import figure10_effects
from moe_claims.analysis.claim import Claim
from moe_claims.stats.replication import Z95, criteria
from moe_claims.types import Finding

PAPER_SEQUENCES = 10
"""Sequences of the paper's long input (its section 3)."""


def paper_model(hub_id: str | None) -> str | None:
    """The paper's key of a model on the hub; None if the paper does not treat it."""
    for key, facts in paper.published()["models"].items():
        if hub_id is not None and facts["hub"] == hub_id:
            return str(key)
    return None


def published_value(claim: Claim, variant: str | None, hub_id: str | None) -> dict[str, Any] | None:
    """What the paper prints for this claim and this very model, or None.

    ``standard_error`` is None where nothing printed gives one.
    """
    model = paper_model(hub_id)
    if model is None:
        return None
    values = paper.published()
    found: tuple[float, float | None, str, str] | None = None
    if claim.id == "neuron-experts" and model in values["table3_r2_avg"]:
        r2 = values["table3_r2_avg"][model]
        found = r2["act"] - max(r2["up"], r2["down"]), None, "Table 3", "difference of printed R²_avg"
    elif claim.id == "neuron-experts-sign" and model in values["table5_r_gate_act_by_layer"]:
        r = list(values["table5_r_gate_act_by_layer"][model].values())
        found = mean(r), stdev(r) / len(r) ** 0.5, "Table 5", "mean of printed r; error from their spread over layers"
    elif model == "mixtral-8x7b" and claim.id == "router-norm" and variant == "total":
        found = figure10_effects().mean_spearman, None, "Figure 10", "implied by the bars, read by eye"
    elif model == "mixtral-8x7b" and claim.id == "router-norm-diagonal":
        effects = figure10_effects()
        experts = paper.published()["models"][model]["routed_experts"]
        found = effects.diagonal_mass - 1 / experts, None, "Figure 10", "implied by the bars, read by eye"
    if found is None:
        return None
    value, error, place, note = found
    return {"model": model, "value": value, "standard_error": error, "place": place, "note": note}


def against_published(finding: Finding, published: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The four criteria, with the origin of the published standard error said."""
    if published is None:
        return None
    half = (finding.interval.high - finding.interval.low) / 2
    our_se = half / Z95
    if our_se <= 0:
        return {"reason": "our interval has no width, so the criteria cannot be computed"}
    error, origin = published["standard_error"], "from the paper's figures"
    if error is None and finding.interval.method.endswith("over sequences"):
        error = our_se * (finding.n_units / PAPER_SEQUENCES) ** 0.5
        origin = f"not published: ours scaled to the paper's {PAPER_SEQUENCES} sequences"
    elif error is None:
        error, origin = our_se, "not published: taken to equal ours"
    four = criteria(finding.effect, our_se, finding.interval, float(published["value"]), float(error))
    return {**asdict(four), "published_standard_error": error, "standard_error_origin": origin}
