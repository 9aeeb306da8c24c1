"""All claims, by the evidence that they are tested on. Imports nothing heavy."""

from collections.abc import Mapping

from moe_claims.judge.claim import Claim
from moe_claims.packs.look_into_moes.records_headline import HEADLINE
from moe_claims.packs.look_into_moes.records_outputs import OUTPUTS
from moe_claims.packs.look_into_moes.records_public import PUBLIC, PUBLIC_MODELS
from moe_claims.packs.look_into_moes.records_routing import ROUTING
from moe_claims.packs.look_into_moes.records_weights import WEIGHTS
from moe_claims.packs.look_into_moes.trained.records_trained import TRAINED_CLAIMS

__all__ = ["CLAIMS", "COUNTED", "HEADLINE", "LIVE", "PUBLIC", "PUBLIC_MODELS", "SECONDARY", "TRAINED", "record"]

SECONDARY = (*WEIGHTS, *OUTPUTS, *ROUTING)
"""Corrected together by Benjamini–Hochberg; the headline claims by Holm."""

LIVE: Mapping[str, Claim] = {claim.id: claim for claim in (*HEADLINE, *SECONDARY)}
"""Claims measured on a model that runs here."""

COUNTED: Mapping[str, Claim] = {claim.id: claim for claim in PUBLIC}
"""Some of the same claims, on published counts: another unit, null and variants."""

TRAINED: Mapping[str, Claim] = {claim.id: claim for claim in TRAINED_CLAIMS}
"""Claims on trainings of our own, corrected together by Holm."""

CLAIMS: Mapping[str, Claim] = {**COUNTED, **LIVE, **TRAINED}
"""Every claim once; the record of the live test where there are two."""


def record(claim: str, evidence: str) -> Claim | None:
    """The record that a row of results was judged by: its claim's id and its evidence, live, public or trained.

    None for a claim that this version does not know.
    """
    return {"public": COUNTED, "trained": TRAINED}.get(evidence, LIVE).get(claim)
