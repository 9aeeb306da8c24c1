"""Claims tested on published counts of the real models. Imports nothing heavy."""

from collections.abc import Mapping

from moe_claims.judge.claim import Claim

PUBLIC = (
    Claim(
        id="balanced-routing",
        statement="Experts are chosen fairly evenly.",
        section="Appendix I",
        family="public",
        needs="counts",
        effect="normalised entropy of loads, mean over domains",
        smallest=0.95,
        rule="level",
        null="mean over domains of at most 0.95 (one-sided t)",
        unit="domain",
        analysis="moe_claims.packs.look_into_moes.routing_counts:balanced_routing",
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
        analysis="moe_claims.packs.look_into_moes.routing_counts:special_expert_chosen_less",
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
        analysis="moe_claims.packs.look_into_moes.routing_counts:tuning_keeps_routing",
        variants=("against SFT", "against Instruct"),
    ),
)

PUBLIC_MODELS: Mapping[str, tuple[str, ...]] = {
    "balanced-routing": ("mistralai/Mixtral-8x7B-v0.1", "allenai/OLMoE-1B-7B-0924"),
    "special-expert-chosen-less": ("mistralai/Mixtral-8x7B-v0.1",),
    "tuning-keeps-routing": ("allenai/OLMoE-1B-7B-0924",),
}
"""Models whose published counts a claim is tested on."""
