"""The claims' records: complete, and each with an analysis that exists."""

from importlib import import_module

import pytest

from moe_claims.analysis.claim import Claim
from moe_claims.analysis.registry import CLAIMS, LIVE, PUBLIC, PUBLIC_MODELS


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_every_record_is_complete_and_its_analysis_exists(claim: Claim) -> None:
    module, _, function = claim.analysis.partition(":")
    assert callable(getattr(import_module(module), function))
    assert claim.statement.endswith(".")
    assert claim.smallest != 0
    assert claim.direction == (1 if claim.smallest > 0 else -1)
    assert all((claim.null, claim.unit, claim.effect, claim.section))


def test_live_and_public_claims_are_apart_and_all_listed() -> None:
    assert set(LIVE) | {claim.id for claim in PUBLIC} == set(CLAIMS)
    assert not set(LIVE) & set(PUBLIC_MODELS)
    assert list(PUBLIC_MODELS) == [claim.id for claim in PUBLIC]
    assert sum(len(claim.row_keys()) for claim in LIVE.values()) == 13


def test_smallest_effects_are_those_fixed_beforehand() -> None:
    # CLAIMS of the first version; a change needs a reason beside it in the registry.
    assert {claim.id: claim.smallest for claim in LIVE.values()} == {
        "neuron-experts": 0.10,
        "neuron-experts-sign": 0.20,
        "router-norm": 0.10,
        "router-norm-diagonal": 0.05,
        "diversity-depth": -0.30,
        "last-layer-outlier": 3.0,
        "weight-diversity-depth": -0.30,
        "weight-last-layer-outlier": 3.0,
    }
