"""The secondary claims on which experts are chosen, and on whether all of it holds on other text."""

from moe_claims.judge.claim import Claim
from moe_claims.packs.look_into_moes.records_headline import EXPERTS

ROUTING = (
    Claim(
        id="balanced-routing",
        statement="Experts are chosen fairly evenly.",
        section="Appendix I",
        family="secondary",
        needs="text",
        effect="normalised entropy of loads less its small-sample bias, mean over layers",
        smallest=0.95,
        rule="level",
        null="an entropy of at most 0.95 (jackknife t over sequences)",
        unit="sequence",
        analysis="moe_claims.packs.look_into_moes.routing:balanced",
        applies="top-k smaller than the number of experts",
    ),
    Claim(
        id="routing-runs",
        statement="Runs of more than four tokens to the same expert are common.",
        section="Appendix I",
        family="secondary",
        needs="text",
        effect="share of choices in runs of more than four tokens, less that in shuffled order",
        smallest=0.05,
        null="order of the tokens of every sequence shuffled, alike in all layers; and signs of whole sequences "
        "flipped (the larger p)",
        unit="token within sequence (order); sequence (signs, interval)",
        analysis="moe_claims.packs.look_into_moes.routing:runs",
        applies="top-k smaller than the number of experts, sequences of 5 tokens or more",
    ),
    Claim(
        id="tuning-keeps-routing",
        statement="Routing after instruction tuning is almost that of the base model.",
        section="Appendix I",
        family="secondary",
        needs="text",
        effect="agreement of the two models' chosen experts beyond what their loads give (κ), mean over layers",
        smallest=0.50,
        null="expert labels of the second model's choices permuted, independently in every layer (statistic: "
        "correlation over tokens of the two models' choices of an expert)",
        unit=f"{EXPERTS}; sequence (interval)",
        analysis="moe_claims.packs.look_into_moes.routing:tuning_keeps",
        applies="models with a second model of the same shape and tokenizer (--moe-second-model)",
    ),
    Claim(
        id="special-expert-chosen-less",
        statement="The expert whose weights stand apart is chosen less than the others (Mixtral).",
        section="Appendix I",
        family="secondary",
        needs="text",
        effect="load of experts that stand apart over the even share, less 1",
        smallest=-0.10,
        null="which expert of a layer stands apart: labels permuted, independently in every layer; and signs of whole "
        "sequences flipped (the larger p)",
        unit=f"{EXPERTS}; sequence (interval)",
        analysis="moe_claims.packs.look_into_moes.special_expert:chosen_less",
        applies="models with an expert that stands apart in a quarter of the layers",
    ),
    Claim(
        id="corpus-robust",
        statement="The claims on behaviour hold on encyclopaedic, mathematical and code text alike.",
        section="Appendix F",
        family="secondary",
        needs="texts",
        effect="smallest over texts of the effect, in units of that claim's smallest effect of interest",
        smallest=1.0,
        null="that of the claim, on every text (the largest p)",
        unit="that of the claim",
        analysis="moe_claims.packs.look_into_moes.corpora:robust",
        variants=("router-norm", "diversity-depth", "last-layer-outlier", "chosen-alike"),
        applies="runs with two texts or more (--moe-text)",
    ),
)
