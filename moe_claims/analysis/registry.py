"""The claims of arXiv 2406.18219 that can be tested so far. Imports nothing heavy.

Smallest effects of interest were fixed before any model was measured; a change needs a
reason beside it here, and never comes after a look at a model.
"""

from collections.abc import Mapping

from moe_claims.analysis.claim import Claim

_LABELS = "expert labels of one side permuted, independently in every layer"
_SMOOTH = "AR(1) curves over depth without trend, as smooth as the data allow (φ bias-corrected, its uncertainty kept)"
_EXPERTS = "expert within layer"

HEADLINE = (
    Claim(
        id="neuron-experts",
        statement="The similarity pattern of router rows follows that of W_act, more than that of W_up or W_down.",
        section="4.2, Tables 3 and 5",
        family="headline",
        needs="weights",
        effect="mean over layers of r²(act) − max(r²(up), r²(down))",
        smallest=0.10,
        null=f"residual of S_act given S_up and S_down relabeled (MRQAP): {_LABELS}; and jackknife interval above 0",
        unit=_EXPERTS,
        analysis="moe_claims.analysis.neuron_experts:unique_association",
    ),
    Claim(
        id="neuron-experts-sign",
        statement="The association of router rows and W_act is positive in nearly all layers (Mixtral, DeepSeek).",
        section="4.2 and Appendix B, Table 5",
        family="headline",
        needs="weights",
        effect="mean over layers of Pearson r",
        smallest=0.20,
        null=_LABELS,
        unit=_EXPERTS,
        analysis="moe_claims.analysis.neuron_experts:sign",
    ),
    Claim(
        id="router-norm",
        statement="The router gives higher scores to experts with larger output norms.",
        section="5.2, Figure 10",
        family="headline",
        needs="text",
        effect="mean Spearman ρ of norms and scores within a token",
        smallest=0.10,
        null="total: expert labels of the norms permuted per layer; token-specific: signs of whole sequences flipped, "
        "and labels permuted (the larger p)",
        unit="expert within layer (total); sequence (token-specific, intervals)",
        analysis="moe_claims.analysis.router_norm:association",
        variants=("total", "token-specific"),
    ),
    Claim(
        id="router-norm-diagonal",
        statement="For every i, the expert with the i-th largest norm most often gets the i-th highest score.",
        section="5.2, Figure 10",
        family="headline",
        needs="text",
        effect="diagonal mass of the rank table − 1/E",
        smallest=0.05,
        null="expert labels of the norms permuted per layer",
        unit=f"{_EXPERTS}; sequence (interval)",
        analysis="moe_claims.analysis.router_norm:diagonal",
    ),
    Claim(
        id="diversity-depth",
        statement="Expert outputs grow less alike with depth, the last layer left out.",
        section="5.1, Figures 2, 3 and 9",
        family="headline",
        needs="text",
        effect="Kendall τ_b of depth and mean output similarity",
        smallest=-0.30,
        null=_SMOOTH,
        unit="layer; sequence (interval)",
        analysis="moe_claims.analysis.depth:output_diversity",
    ),
    Claim(
        id="last-layer-outlier",
        statement="Expert outputs of the last layer are far more alike than the trend of the others foretells.",
        section="5.1, Figures 2 and 3",
        family="headline",
        needs="text",
        effect="residual of the last layer, in median absolute deviations of the others'",
        smallest=3.0,
        null=_SMOOTH,
        unit="layer; sequence (interval)",
        analysis="moe_claims.analysis.depth:output_last_layer",
    ),
    Claim(
        id="weight-diversity-depth",
        statement="Weights of experts grow less alike with depth, the last layer left out (Mixtrals).",
        section="4.1.1, Figure 1",
        family="headline",
        needs="weights",
        effect="Kendall τ_b of depth and mean matrix similarity",
        smallest=-0.30,
        null=_SMOOTH,
        unit="layer",
        analysis="moe_claims.analysis.depth:weight_diversity",
        variants=("up", "act", "down"),
    ),
    Claim(
        id="weight-last-layer-outlier",
        statement="Weights of experts in the last layer are far more alike than the trend foretells (Mixtrals).",
        section="4.1.1, Figure 1",
        family="headline",
        needs="weights",
        effect="residual of the last layer, in median absolute deviations of the others'",
        smallest=3.0,
        null=_SMOOTH,
        unit="layer",
        analysis="moe_claims.analysis.depth:weight_last_layer",
        variants=("up", "act", "down"),
    ),
)

PUBLIC = (
    Claim(
        id="balanced-routing",
        statement="Experts are chosen fairly evenly.",
        section="Appendix I",
        family="public",
        needs="counts",
        effect="normalised entropy of loads, mean over domains",
        smallest=0.95,
        null="mean over domains of at most 0.95 (one-sided t)",
        unit="domain",
        analysis="moe_claims.analysis.loads:balanced_routing",
        variants=("layer 0", "layer 7", "layer 15"),
    ),
    Claim(
        id="special-expert-chosen-less",
        statement="The expert whose weights stand apart is chosen less than the others (Mixtral).",
        section="Appendix I",
        family="public",
        needs="counts",
        effect="load of the special expert over the even share, less 1",
        smallest=-0.10,
        null="sign test over domains, and expert labels permuted in every layer, alike in all domains (the larger p)",
        unit="domain",
        analysis="moe_claims.analysis.loads:special_expert_chosen_less",
    ),
    Claim(
        id="tuning-keeps-routing",
        statement="Routing after instruction tuning is almost that of the base model.",
        section="Appendix I",
        family="public",
        needs="counts",
        effect="1 − distance of base and tuned loads / mean distance between domains",
        smallest=0.5,
        null="rank of the distance among those between the base model's domains",
        unit="domain",
        analysis="moe_claims.analysis.loads:tuning_keeps_routing",
        variants=("against SFT", "against Instruct"),
    ),
)

PUBLIC_MODELS: Mapping[str, tuple[str, ...]] = {
    "balanced-routing": ("mistralai/Mixtral-8x7B-v0.1", "allenai/OLMoE-1B-7B-0924"),
    "special-expert-chosen-less": ("mistralai/Mixtral-8x7B-v0.1",),
    "tuning-keeps-routing": ("allenai/OLMoE-1B-7B-0924",),
}
"""Models whose published counts a claim is tested on."""

LIVE: Mapping[str, Claim] = {claim.id: claim for claim in HEADLINE}
"""Claims measured on a model that runs here."""

CLAIMS: Mapping[str, Claim] = {claim.id: claim for claim in (*HEADLINE, *PUBLIC)}
