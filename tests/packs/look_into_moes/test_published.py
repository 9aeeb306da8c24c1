"""The paper's values of the claims, for the very models that it prints them of."""

import numpy as np
import pytest

from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes import paper
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.router_norm_extremes import extremes_of, largest_norms

MIXTRAL, LARGE = "mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x22B-v0.1"
DEEPSEEK, GROK = "deepseek-ai/deepseek-moe-16b-base", "hpcai-tech/grok-1"

# Read from the paper by hand, not from the data file; a value implied by others is worked out beside it.
EXPECTED = {
    ("neuron-experts", None, MIXTRAL): 0.26,  # Table 3: 0.33 − 0.07
    ("neuron-experts", None, LARGE): 0.13,  # 0.26 − 0.13
    ("neuron-experts", None, DEEPSEEK): 0.40,  # 0.40 − 0.00
    ("neuron-experts", None, GROK): 0.11,  # 0.15 − 0.04
    ("neuron-experts-sign", None, MIXTRAL): 0.516,
    ("neuron-experts-sign", None, GROK): 0.002,
    ("router-norm", "total", MIXTRAL): 0.63,
    ("router-norm-diagonal", None, MIXTRAL): 0.18,
    ("router-norm-extremes", None, MIXTRAL): 0.43,  # norm rank 8 on 0.893 of the way, ranks 3 to 6 on 0.465
    ("expert-similarity-level", "up", MIXTRAL): 0.3,
    ("expert-similarity-level", "act", DEEPSEEK): 0.0,
    ("expert-similarity-level", "down", GROK): 0.0,
    ("neuron-order", "up", MIXTRAL): 0.75,
    ("neuron-order", "act", DEEPSEEK): -0.0002,
    ("neuron-order", "down", GROK): -0.0003,
    ("activation-ratio", None, MIXTRAL): 0.996,
    ("activation-ratio", None, DEEPSEEK): 0.997,
    ("activation-ratio", None, GROK): 0.253,
    ("dense-reference", "matrix act", MIXTRAL): 0.3,  # 0.6 − 0.3
}


@pytest.mark.parametrize(("claim", "variant", "hub"), EXPECTED, ids=[" ".join(map(str, key)) for key in EXPECTED])
def test_a_printed_value_is_found_for_its_claim_and_model(claim: str, variant: str | None, hub: str) -> None:
    found = PACK.published_value(LIVE[claim], variant, hub)
    assert found is not None
    assert found["value"] == pytest.approx(EXPECTED[claim, variant, hub], abs=0.005)
    assert paper.published()["models"][found["model"]]["hub"] == hub
    assert found["place"]
    assert found["note"]


@pytest.mark.parametrize(
    ("claim", "variant", "hub"),
    [
        ("router-norm", "token-specific", MIXTRAL),  # the bars do not tell the two parts apart
        ("router-norm", "total", DEEPSEEK),  # its bars were not read
        ("router-norm-diagonal", None, LARGE),
        ("router-norm-extremes", None, GROK),
        ("expert-similarity-level", "up", LARGE),
        ("neuron-order", "up", LARGE),
        ("activation-ratio", None, LARGE),
        ("dense-reference", "outputs", MIXTRAL),
        ("dense-reference", "mean act", MIXTRAL),
        ("dense-reference", "matrix up", DEEPSEEK),
        ("diversity-depth", None, MIXTRAL),  # described in words alone
        ("neuron-experts", None, "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("neuron-experts", None, "someone/else"),
        ("neuron-experts", None, None),
    ],
)
def test_nothing_is_made_up_where_the_paper_prints_nothing(claim: str, variant: str | None, hub: str | None) -> None:
    assert PACK.published_value(LIVE[claim], variant, hub) is None


def test_only_tables_with_a_spread_give_a_standard_error() -> None:
    signs = PACK.published_value(LIVE["neuron-experts-sign"], None, DEEPSEEK)
    assert signs is not None
    r = list(paper.published()["table5_r_gate_act_by_layer"]["deepseek-moe-16b"].values())
    assert signs["standard_error"] == pytest.approx(np.std(r, ddof=1) / np.sqrt(len(r)))
    for claim, variant, hub in EXPECTED:
        found = PACK.published_value(LIVE[claim], variant, hub)
        assert found is not None
        assert (found["standard_error"] is not None) == (claim == "neuron-experts-sign")


def test_no_effect_is_the_level_where_a_level_is_claimed_and_chance_for_a_share() -> None:
    ratio = PACK.published_value(LIVE["activation-ratio"], None, MIXTRAL)
    assert ratio is not None
    assert ratio["none"] == 0.95
    norms = PACK.published_value(LIVE["router-norm"], "total", MIXTRAL)
    assert norms is not None
    assert norms["none"] == 0.0
    near = {name: (found["value"], found["none"]) for name, found in norms["companions"].items()}
    # Chance: one of eight experts, two of eight places.
    assert near == {
        "top-1 agreement": (pytest.approx(0.68, abs=0.01), 1 / 8),
        "top-k overlap": (pytest.approx(0.70, abs=0.01), 2 / 8),
    }


def test_what_the_paper_says_of_the_model_stands_beside_its_value() -> None:
    says = {}
    for claim, variant, hub in EXPECTED:
        found = PACK.published_value(LIVE[claim], variant, hub)
        assert found is not None
        says[claim, hub] = found["paper_says"]
    assert {key for key, said in says.items() if said == "absent"} == {
        ("expert-similarity-level", DEEPSEEK),
        ("expert-similarity-level", GROK),
        ("neuron-order", DEEPSEEK),
        ("neuron-order", GROK),
        ("neuron-experts-sign", GROK),
    }
    assert {key for key, said in says.items() if said == "opposite"} == {("activation-ratio", GROK)}


def test_the_bars_give_the_effect_that_the_analysis_measures(made_up_routed) -> None:
    # The same contrast, once from rank counts as a figure shows them, once from tokens.
    for experts in (8, 12, 64):
        rng = np.random.default_rng(experts)
        norms = 1.0 + rng.random((3, 48, experts))
        logits = norms + 0.2 * rng.standard_normal(norms.shape)
        routed = made_up_routed(3, 4, 12, experts, router_logits=logits, output_norms=norms)
        measured = largest_norms(None, Measured(weights=None, text=routed), np.random.default_rng(0))
        assert extremes_of(routed.rank_counts().sum(axis=0).T) == pytest.approx(measured.effect)
