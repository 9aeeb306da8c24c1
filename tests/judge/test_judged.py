"""The row of one test among those that were judged together, or the message of what broke."""

import pytest

from moe_claims.judge.judged import Broken, Judged
from moe_claims.types import Result, Verdict


def row(claim: str, variant: str | None, model: str, corpus: str | None) -> Result:
    return Result(
        pack="made_up", claim=claim, claim_version=1, variant=variant, evidence="live", family="headline", model=model,
        corpus=corpus, verdict=Verdict.ABSENT, reason="so", effect_name="ρ", effect=0.0, interval=None, smallest=0.1,
        p_value=None, p_adjusted=None, null="labels", unit="sequence", n_units=None,
    )  # fmt: skip


ROWS = (
    row("one", "up", "a", "text"),
    row("one", "up", "a", "other text"),
    row("one", "down", "a", "text"),
    row("one", "up", "b", "text"),
    row("two", None, "a", None),
)
JUDGED = Judged(
    ROWS,
    (
        Broken("three", "x", "text", "the text is empty", "a"),
        Broken("three", "x", "other text", "the text is too long", "a"),
        Broken("four", None, None, "no weights", "a"),
    ),
)


@pytest.mark.parametrize("wanted", ROWS, ids=lambda r: f"{r.claim} {r.variant} {r.model} {r.corpus}")
def test_every_row_is_found_by_what_it_tests(wanted: Result) -> None:
    assert JUDGED.find(wanted.claim, wanted.variant, wanted.model, wanted.corpus) is wanted


def test_what_is_not_asked_for_does_not_matter() -> None:
    assert JUDGED.find("one", "up", None, "other text") is ROWS[1]
    assert JUDGED.find("one", "up", "b", None) is ROWS[3]
    assert JUDGED.find("two", None, None, None) is ROWS[4]


def test_what_broke_is_found_by_its_text() -> None:
    assert JUDGED.find("three", "x", "a", "other text") == "the text is too long"
    assert JUDGED.find("three", "x", "a", "text") == "the text is empty"
    assert JUDGED.find("four", None, "a", None) == "no weights"
    assert JUDGED.find("three", "x", None, "text") == "the text is empty"
    with pytest.raises(LookupError):
        JUDGED.find("four", None, "b", None)  # what broke on one model is nothing about another
    assert [one.key for one in JUDGED.broken] == ["three[x]", "three[x]", "four"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("one", None, "a", "text"), "no row of one on a and text"),
        (("one", "up", "c", "text"), "no row of one[up] on c and text"),
        (("one", "up", "b", "other text"), "no row of one[up] on b and other text"),
        (("five", "x", None, None), "no row of five[x] on any model and any text"),
        (("three", "x", "a", "third text"), "no row of three[x] on a and third text"),
    ],
)
def test_what_is_not_there_is_no_row_of_another_test(
    asked: tuple[str, str | None, str | None, str | None], said: str
) -> None:
    with pytest.raises(LookupError) as caught:
        JUDGED.find(*asked)
    assert str(caught.value) == said
