"""A pack is refused where it cannot be used, and knows how its claims are seeded, named and compared with its paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from moe_claims.judge.claim import Claim, Printed
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Live, Pack, Session, as_published
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.settings import Settings, settings_from

CLAIM = replace(LIVE["router-norm"], id="one", variants=("up", "down"), on_text=(), needs="weights", paper_says={})
HUB = "org/model"


@dataclass(frozen=True)
class Counts:
    """Evidence of one's own."""

    claims: Mapping[str, Claim]
    name: str = "counts"
    title: str = "Counts: made up"
    rows: Judged = field(default_factory=lambda: Judged(()))

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        return [Case(self.name, claim.id)]

    def judged(self, pack: Pack, case: Case, session: Session) -> Judged:
        return self.rows


def pack(*claims: Claim, **changes: Any) -> Pack:
    return Pack(**{"id": "made_up", "title": "Made up", "paper": "arXiv 0", "claims": claims or (CLAIM,), **changes})


@pytest.mark.parametrize("name", ["", "Upper", "1st", "with-hyphen", "with/slash", "two words", "_x", "é", "a\n"])
def test_an_id_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="id is") as caught:
        pack(id=name)
    assert str(caught.value) == f"a pack's id is lower-case letters, digits and underscores, not '{name}'"
    if name not in ("with-hyphen",):
        with pytest.raises(ValueError, match="id is") as caught:
            pack(replace(CLAIM, id=name))
        assert str(caught.value) == f"a claim's id is lower-case letters, digits and hyphens, not '{name}'"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 0}, "version is not a whole number, 1 or more"),
        ({"smallest": 0.0}, "smallest is not a number apart from 0"),
        ({"smallest": float("nan")}, "smallest is not a number apart from 0"),
        ({"negligible": -1.0}, "negligible is not a number above 0"),
        ({"rule": "Level"}, "rule is 'Level', not one of difference, level"),
        ({"variants": ()}, "variants are none, or one is there twice"),
        ({"variants": ("a", "a")}, "variants are none, or one is there twice"),
        ({"on_text": ("nosuch",)}, "estimands or on_text name an unknown variant"),
        ({"paper_says": {"m": "abzent"}}, "paper_says is not one of holds, absent, opposite"),
    ],
)
def test_a_record_that_no_verdict_could_be_reached_with_is_refused(changes: dict[str, Any], said: str) -> None:
    said = f"claim 'one': {said}"
    for make in (
        lambda wrong: pack(wrong),
        lambda wrong: pack(replace(CLAIM, id="good"), evidence=(Counts({"one": wrong}),)),
    ):
        with pytest.raises(ValueError, match="claim 'one'") as caught:
            make(replace(CLAIM, **changes))
        assert str(caught.value) == said


def test_two_claims_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^pack 'made_up' has two claims of one id$"):
        pack(CLAIM, replace(CLAIM, section="other"))


@pytest.mark.parametrize(
    ("needs", "family"),
    [("counts", "headline"), ("trainings", "secondary"), ("weights", "public"), ("text", "trained")],
)
def test_a_claim_on_a_model_that_asks_for_what_no_model_gives_is_refused(needs: Any, family: Any) -> None:
    wrong = replace(CLAIM, needs=needs, family=family)
    with pytest.raises(ValueError, match="needs") as caught:
        pack(wrong)
    assert str(caught.value) == (
        "one: a claim on a model needs one of weights, text, texts and is of the family headline or secondary, not "
        f"'{needs}' and '{family}'"
    )
    assert pack(replace(CLAIM, id="good"), evidence=(Counts({"one": wrong}),)).kinds["counts"].claims == {"one": wrong}


def test_evidence_stands_behind_live_with_all_records() -> None:
    counted = replace(CLAIM, family="public", needs="counts")
    made = pack(evidence=(Counts({"one": counted}),))
    assert list(made.kinds) == ["live", "counts"]
    assert list(made.records()) == [("live", CLAIM), ("counts", counted)]
    assert made.live == {"one": CLAIM}
    assert made.described() == {
        "id": "made_up", "title": "Made up", "paper": "arXiv 0", "evidence": {"counts": "Counts: made up"},
    }  # fmt: skip


def test_what_seeds_a_test_names_the_pack_but_for_the_first() -> None:
    assert PACK.seed_name("router-norm", "total") == "router-norm[total]"
    assert PACK.seed_name("neuron-experts", None) == "neuron-experts"
    assert pack().seed_name("one", "up") == "made_up/one[up]"
    assert pack().seed_name("one", None) == "made_up/one"
    assert pack(seed_prefix="other:").seed_name("one", None) == "other:one"
    assert pack().key("one") == "made_up/one"


def printed(model: str, variant: str | None) -> Printed | None:
    near = Printed(0.7, "Figure 1", "by eye", none=0.25)
    return Printed(0.6, "Table 1", "as printed", 0.1, companions={"near": near}) if variant == "up" else None


def test_a_printed_value_is_of_this_very_model_and_variant() -> None:
    claim = replace(CLAIM, printed=printed, paper_says={"key-b": "absent"})
    made = pack(claim, models=lambda: {HUB: "key-a", "org/other": "key-b"})
    leaf = {"value": 0.7, "place": "Figure 1", "note": "by eye", "standard_error": None, "none": 0.25}
    assert made.published_value(claim, "up", HUB) == {
        "model": "key-a", "paper_says": "holds", "value": 0.6, "place": "Table 1", "note": "as printed",
        "standard_error": 0.1, "none": 0.0, "companions": {"near": leaf},
    }  # fmt: skip
    other = made.published_value(claim, "up", "org/other")
    assert other is not None
    assert (other["model"], other["paper_says"]) == ("key-b", "absent")
    assert made.published_value(claim, "down", HUB) is None
    assert made.published_value(claim, "up", "org/unknown") is None
    assert made.published_value(claim, "up", None) is None
    assert made.published_value(CLAIM, "up", HUB) is None  # the paper prints nothing of it
    assert pack(claim).published_value(claim, "up", HUB) is None  # the pack is of no models
    level = replace(claim, rule="level", smallest=0.95)
    at_level = made.published_value(level, "up", HUB)
    assert at_level is not None and at_level["none"] == 0.95


def test_what_the_paper_says_is_asked_by_its_own_key() -> None:
    claim = replace(CLAIM, paper_says={"key-b": "opposite"})
    made = pack(claim, models=lambda: {HUB: "key-a", "org/other": "key-b"})
    assert [made.paper_says(claim, hub) for hub in (HUB, "org/other", "org/unknown", None)] == [
        "holds", "opposite", "holds", "holds",
    ]  # fmt: skip
    assert [made.paper_model(hub) for hub in (HUB, "org/unknown", None)] == ["key-a", None, None]
    assert pack().paper_model(HUB) is None


def test_a_companion_has_none_of_its_own() -> None:
    found = as_published(Printed(0.6, "here", "so", companions={"near": Printed(0.7, "there", "so")}), "m", "holds")
    assert "companions" not in found["companions"]["near"]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (Case("live", "c", "up", "org/model", "builtin"), "org/model-builtin-up"),
        (Case("live", "c", None, "tiny-fine"), "tiny-fine"),
        (Case("public", "c", "layer 0", "org/model"), "model-layer 0"),
        (Case("trained", "c", "order"), "order"),
        (Case("trained", "c"), ""),
    ],
)
def test_a_case_is_told_from_the_others_of_its_claim(case: Case, name: str) -> None:
    assert case.name == name


def test_live_cases_are_a_test_per_model_variant_and_text_where_it_needs_one() -> None:
    settings = settings_from({"model": ["tiny-fine", "tiny-gelu"], "text": ["builtin", "builtin-math"]})
    mixed = replace(CLAIM, on_text=("down",))
    assert [(c.model, c.variant, c.corpus) for c in Live({"one": mixed}).cases(mixed, settings)] == [
        ("tiny-fine", "up", None), ("tiny-fine", "down", "builtin"), ("tiny-fine", "down", "builtin-math"),
        ("tiny-gelu", "up", None), ("tiny-gelu", "down", "builtin"), ("tiny-gelu", "down", "builtin-math"),
    ]  # fmt: skip
    together = replace(CLAIM, needs="texts", variants=(None,))
    assert [(c.evidence, c.model, c.corpus) for c in Live({"one": together}).cases(together, settings)] == [
        ("live", "tiny-fine", None), ("live", "tiny-gelu", None),
    ]  # fmt: skip
