"""The claims' records: complete, consistent, each with its estimator beside it and a test that users run."""

import re
from collections import Counter
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import pytest

from moe_claims.judge.claim import Claim
from moe_claims.judge.registry import record
from moe_claims.packs.look_into_moes import paper
from moe_claims.packs.look_into_moes.pack import COUNTED, HEADLINE, LIVE, PACK, SECONDARY, TRAINED
from moe_claims.packs.look_into_moes.routing_counts import PUBLIC_MODELS

CLAIMS = {**LIVE, **TRAINED}

SMALLEST = {
    "neuron-experts": 0.10,
    "neuron-experts-sign": 0.20,
    "router-norm": 0.10,
    "router-norm-diagonal": 0.05,
    "router-norm-extremes": 0.10,
    "diversity-depth": -0.30,
    "last-layer-outlier": 3.0,
    "weight-diversity-depth": -0.30,
    "weight-last-layer-outlier": 3.0,
    "matrices-agree": 0.20,
    "expert-similarity-level": 0.20,
    "neuron-order": 0.30,
    "special-expert": 0.25,
    "mean-mirrors-matrix": 0.10,
    "pca-clusters": 0.30,
    "gate-act-opposite-trends": 0.60,
    "gate-last-layer": 3.0,
    "dense-reference": 0.05,
    "weights-mirror-outputs": 0.20,
    "chosen-alike": 0.02,
    "top1-confidence": 0.18,
    "norm-grows-with-depth": 0.30,
    "last-layer-norm-spread": 3.0,
    "activation-ratio": 0.95,
    "same-index-neurons": 0.10,
    "activation-grows-with-depth": 0.30,
    "balanced-routing": 0.95,
    "routing-runs": 0.05,
    "tuning-keeps-routing": 0.50,
    "special-expert-chosen-less": -0.10,
    "corpus-robust": 1.0,
}
"""Fixed before any model was measured; a change needs a reason beside it in the record."""


def claims_folder() -> Path:
    """Where the claims are: in the installed wheel, or in the clone."""
    spec = find_spec("moe_claims.claims")
    return Path(spec.origin).parent if spec is not None and spec.origin else Path(__file__).parents[3] / "claims"


def marked() -> Counter[tuple[str, str]]:
    """How many tests that users run carry the marker, by evidence and claim."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in claims_folder().rglob("test_*.py"))
    found = re.findall(r'@pytest\.mark\.moe_claim\("([^"]+)"(?:, evidence="([^"]+)")?\)', text)
    assert len(found) == text.count("mark.moe_claim")
    return Counter((evidence or "live", claim) for claim, evidence in found)


def named(claim: Claim) -> object:
    """What the record's ``code`` names."""
    module, _, function = claim.code.partition(":")
    return getattr(import_module(module), function)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_every_record_is_complete(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id)
    assert claim.statement.endswith(".") and claim.statement[0].isupper()
    assert all((claim.null, claim.unit, claim.effect, claim.section, claim.applies))
    assert claim.direction == (1 if claim.smallest > 0 else -1)
    assert len(set(claim.variants)) == len(claim.variants)
    assert claim.variants == (None,) or None not in claim.variants
    assert set(claim.on_text) <= set(claim.variants)
    assert set(claim.estimands) <= set(claim.variants)


@pytest.mark.parametrize("claim", LIVE.values(), ids=list(LIVE))
def test_every_estimator_takes_what_all_do_and_is_found_by_its_code(claim: Claim) -> None:
    assert list(signature(claim.estimator).parameters)[-3:] == ["variant", "measured", "rng"]
    function = named(claim)
    assert claim.estimator is function or (isinstance(claim.estimator, partial) and claim.estimator.func is function)
    assert claim.code.startswith("moe_claims.packs.look_into_moes.")


@pytest.mark.parametrize("claim", COUNTED.values(), ids=list(COUNTED))
def test_claims_on_published_counts_are_records_of_live_claims_too(claim: Claim) -> None:
    assert claim.estimator is named(claim)
    live = LIVE[claim.id]
    assert (claim.needs, claim.family, claim.unit) == ("counts", "public", "domain")
    assert claim.applies == ", ".join(PUBLIC_MODELS[claim.id])
    assert (claim.statement, claim.section, claim.smallest) == (live.statement, live.section, live.smallest)
    assert record(PACK.key(claim.id), "public") is claim
    assert record(PACK.key(claim.id), "live") is live


@pytest.mark.parametrize("claim", TRAINED.values(), ids=list(TRAINED))
def test_claims_on_trainings_are_judged_over_seeds(claim: Claim) -> None:
    assert claim.estimator is named(claim)
    assert list(signature(claim.estimator).parameters) == ["variant", "document"]
    assert (claim.needs, claim.family, claim.unit, claim.rule) == ("trainings", "trained", "seed", "difference")
    assert record(PACK.key(claim.id), "trained") is claim
    assert record(PACK.key(claim.id), "live") is None


def test_smallest_effects_on_trainings_are_those_fixed_beforehand() -> None:
    smallest = {v: claim.of(v).smallest for claim in TRAINED.values() for v in claim.variants}
    assert smallest == {
        "slope-total": 0.01, "last-total": -0.01, "slope-activated": 0.01, "last-activated": -0.01,
        "similarity": 0.2, "order": 0.375,
    }  # fmt: skip


def test_a_variant_with_an_estimand_of_its_own_keeps_all_else() -> None:
    claim = TRAINED["depth-needs-experts"]
    last = claim.of("last-total")
    assert claim.of("slope-total") is claim
    assert (last.direction, last.equivalence, last.null, last.id) == (-1, 0.01, claim.null, claim.id)
    assert list(claim.others().values()) == [("last-total", "last-activated")]
    assert all(live.of(variant) is live for live in LIVE.values() for variant in live.variants)


def test_all_claims_are_listed_once() -> None:
    assert (len(CLAIMS), len(LIVE), len(TRAINED)) == (33, 31, 2)
    assert not set(LIVE) & set(TRAINED)
    assert (len(HEADLINE), len(SECONDARY)) == (9, 22)
    assert list(LIVE) == [claim.id for claim in (*HEADLINE, *SECONDARY)]
    assert {claim.family for claim in HEADLINE} == {"headline"}
    assert {claim.family for claim in SECONDARY} == {"secondary"}
    assert list(PUBLIC_MODELS) == list(COUNTED)
    assert record("look_into_moes/of-another-version", "live") is None


def test_every_row_has_a_name_of_its_own() -> None:
    keys = [key for claim in LIVE.values() for key in claim.row_keys()]
    assert len(set(keys)) == len(keys)


def test_smallest_effects_are_those_fixed_beforehand() -> None:
    assert {claim.id: claim.smallest for claim in LIVE.values()} == SMALLEST


def test_a_bound_of_equivalence_is_smaller_than_the_smallest_effect() -> None:
    tighter = {claim.id: claim.negligible for claim in CLAIMS.values() if claim.negligible is not None}
    assert tighter == {"expert-similarity-level": 0.05, "neuron-order": 0.05}
    assert all(0 < claim.equivalence <= abs(claim.smallest) for claim in CLAIMS.values())


def test_claims_of_a_level_say_so_and_rise() -> None:
    # The rule compares with the level from below, and knows no bound of equivalence to none.
    levels = [claim for claim in LIVE.values() if claim.rule == "level"]
    assert {claim.id for claim in levels} == {"activation-ratio", "balanced-routing"}
    assert all(claim.smallest > 0 and claim.negligible is None for claim in levels)
    assert all(set(claim.paper_says.values()) <= {"opposite"} for claim in levels)


def test_the_paper_denies_claims_of_its_own_models_alone() -> None:
    models = set(paper.published()["models"])
    denied = {claim.id: dict(claim.paper_says) for claim in LIVE.values() if claim.paper_says}
    assert all(set(said) <= models for said in denied.values())
    assert {"router-norm-extremes", "norm-grows-with-depth", "activation-ratio"} <= set(denied)
    assert all(says in ("absent", "opposite") for said in denied.values() for says in said.values())


def test_claims_that_need_more_than_a_run_has_name_the_option() -> None:
    from moe_claims.settings import OPTIONS

    options = {f"--moe-{option.name}" for option in OPTIONS}
    named = {claim.id: re.findall(r"--moe-[a-z-]+", claim.applies) for claim in LIVE.values()}
    assert all(set(found) <= options for found in named.values())
    assert named["dense-reference"] == ["--moe-dense-reference"]
    assert named["tuning-keeps-routing"] == ["--moe-second-model"]
    assert named["corpus-robust"] == ["--moe-text"]


def test_every_claim_has_a_test_that_users_run_and_every_test_a_claim() -> None:
    assert marked() == Counter((evidence, PACK.key(claim.id)) for evidence, claim in PACK.records())
    assert [evidence for evidence, _ in PACK.records()] == ["live"] * 31 + ["public"] * 3 + ["trained"] * 2


def test_every_version_is_the_first_and_seeds_are_named_as_before_there_were_packs() -> None:
    assert {claim.version for _, claim in PACK.records()} == {1}
    names = [PACK.seed_name(claim.id, variant) for claim in LIVE.values() for variant in claim.variants]
    assert names == [key for claim in LIVE.values() for key in claim.row_keys()]


def test_the_pack_is_of_the_papers_models_and_evidence() -> None:
    assert dict(PACK.models()) == {facts["hub"]: key for key, facts in paper.published()["models"].items()}
    assert list(PACK.kinds) == ["live", "public", "trained"]
    assert (PACK.id, PACK.paper, PACK.sequences, len(PACK.audits)) == ("look_into_moes", "arXiv 2406.18219", 10, 14)
