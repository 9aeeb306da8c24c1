"""The claims as text: every one of them, once, and its whole record."""

import re

import pytest

from moe_claims.errors import UsageError
from moe_claims.judge.registry import resolve
from moe_claims.packs.look_into_moes.pack import COUNTED, LIVE, PACK, TRAINED
from moe_claims.packs.look_into_moes.routing_counts import PUBLIC_MODELS
from moe_claims.report import claims

CLAIMS = {**LIVE, **TRAINED}


def entries() -> dict[str, str]:
    """By claim, its block of the listing, in one line."""
    found = {}
    for block in claims.listing([PACK]).split("\n\n"):
        head = re.match(r"([a-z0-9-]+)( †)? · ", block)
        if head:
            assert head[1] not in found
            found[head[1]] = " ".join(block.split())
    return found


def test_every_claim_is_listed_once_with_all_that_it_needs() -> None:
    listed = entries()
    assert set(listed) == set(CLAIMS)
    assert len(listed) == 33
    assert "33 claims." in claims.listing([PACK])
    for claim in CLAIMS.values():
        text = listed[claim.id]
        assert claim.statement in text
        assert claim.section in text
        assert f"needs {claims.needs(claim)}" in text
        assert re.search(rf"(smallest effect|must reach) {re.escape(f'{claim.smallest:g}')}(;|$)", text)
        assert all(variant in text for variant in claim.variants if variant)
        assert ("†" in text) == (claim.id in COUNTED)


@pytest.mark.parametrize("width", [80, 120])
def test_the_listing_keeps_to_its_width(width: int) -> None:
    assert max(len(line) for line in claims.listing([PACK], width).splitlines()) <= width


def test_headline_claims_come_first() -> None:
    families = [CLAIMS[name].family for name in entries()]
    assert families == sorted(families, key=["headline", "secondary", "trained"].index)


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("neuron-experts", "weights"),
        ("router-norm", "a text"),
        ("corpus-robust", "two texts or more (--moe-text)"),
        ("tuning-keeps-routing", "a text (--moe-second-model)"),
        ("dense-reference", "weights, and a text for outputs (--moe-dense-reference)"),
        (
            "training-scheme",
            "no model, but results of trainings, which are part of the package (--moe-experiments)",
        ),
    ],
)
def test_what_a_claim_needs_is_said_with_its_option(name: str, needed: str) -> None:
    assert claims.needs(CLAIMS[name]) == needed


@pytest.mark.parametrize("name", CLAIMS)
def test_the_whole_record_holds_every_field(name: str) -> None:
    text = " ".join(claims.full(PACK, name).split())
    for record in (CLAIMS[name], *([COUNTED[name]] if name in COUNTED else [])):
        for part in (record.statement, record.section, record.effect, record.null, record.unit, record.code):
            assert part in text
    assert CLAIMS[name].applies in text
    assert f"pack look_into_moes: {PACK.title} (arXiv 2406.18219)" in text
    assert text.count(f"{name} on published counts") == (name in COUNTED)
    assert text.count(f"{name} on trainings") == (name in TRAINED)
    if name in COUNTED:
        assert f"applies to {', '.join(PUBLIC_MODELS[name])}" in text


def test_the_rule_of_a_record_is_said_in_its_bounds() -> None:
    similarity = " ".join(claims.full(PACK, "expert-similarity-level").split())
    assert "is 0.2 or more; absent if the 90 % interval lies within ±0.05" in similarity
    assert "deepseek-moe-16b: finds no such effect" in similarity
    assert "is -0.3 or less" in " ".join(claims.full(PACK, "diversity-depth").split())
    assert "the whole 95 % interval reaches 0.95, and the test agrees" in claims.full(PACK, "activation-ratio")
    assert "grok-1: finds the opposite" in claims.full(PACK, "activation-ratio")


def test_variants_with_an_effect_of_their_own_say_so() -> None:
    assert "smallest effect 0.01; -0.01 for last-total, last-activated;" in entries()["depth-needs-experts"]
    said = " ".join(claims.full(PACK, "depth-needs-experts").split())
    assert "for last-total, last-activated: excess loss of the last layer over the line through the others" in said
    assert "is 0.01 or more" in said
    assert "is -0.01 or less" in said
    assert "\n  but " not in claims.full(PACK, "router-norm")


def test_a_claim_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no claim 'router-nor': did you mean 'router-norm'\?"):
        resolve("router-nor", [PACK])
    with pytest.raises(UsageError, match="there is no claim 'xyzzy': 'python -m moe_claims claims' lists them"):
        resolve("xyzzy", [PACK])


def test_live_claims_are_described_as_they_are_tested_live() -> None:
    assert all(entry.startswith(name) for name, entry in entries().items())
    assert LIVE["balanced-routing"].code in claims.full(PACK, "balanced-routing").split("on published counts")[0]
