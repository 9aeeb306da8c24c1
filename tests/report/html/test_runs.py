"""Several runs on one page: what differs stands side by side, what is the same stands once."""

from collections.abc import Callable
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any

import pytest

from moe_claims.report.html import Changes, Run, render, render_runs
from moe_claims.report.html.runs import key_of, together

Document = dict[str, Any]
HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style></script><b>", "\u202egnp.exe"]


def tags(page: str) -> list[str]:
    """Names of all elements."""
    found: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(tag)

    Parser().feed(page)
    return found


def test_one_run_is_the_simplest_case(made: Callable[..., Document]) -> None:
    document = made(("a", "b"))
    assert render(document) == render_runs([Run(document)])
    found = together([Run(document)])
    assert found.labels == ()
    assert [key_of(row) for row in found.document["results"]] == [key_of(row) for row in document["results"]]
    assert [row["anchor"] for row in found.document["results"]] == [f"row-{n}" for n in range(len(document["results"]))]


def test_a_page_needs_runs_with_names_of_their_own(made: Callable[..., Document]) -> None:
    with pytest.raises(ValueError, match="one run or more"):
        together([])
    with pytest.raises(ValueError, match="label of its own"):
        together([Run(made(("a",)), "x"), Run(made(("a",)), "x")])


def test_measured_rows_stay_apart_and_all_else_that_is_the_same_is_there_once(made: Callable[..., Document]) -> None:
    first, second = made(("a", "b")), made(("a", "b"))
    other = second["audits"][0] = {**second["audits"][0], "recomputed": "another number"}
    found = together([Run(first, "old"), Run(second, "new")])
    rows = found.document["results"]
    live = [row for row in first["results"] if row["evidence"] == "live"]
    assert len(rows) == len(first["results"]) + len(live)
    assert {tuple(row["runs"]) for row in rows if row["evidence"] != "live"} == {("old", "new")}
    models = [(row["model"], row["runs"][0]) for row in rows if row["evidence"] == "live"]
    assert list(dict.fromkeys(models)) == [("a", "old"), ("a", "new"), ("b", "old"), ("b", "new")]
    audits = [audit for audit in found.document["audits"] if audit["id"] == other["id"]]
    assert [audit["runs"] for audit in audits] == [["old"], ["new"]]
    assert len(found.document["audits"]) == len(first["audits"]) + 1
    assert [card["name"] for card in found.document["models"]] == ["a", "b"]
    assert first == made(("a", "b"))  # the documents are not changed


def test_packs_of_all_runs_are_there_with_all_of_their_evidence(made: Callable[..., Document]) -> None:
    first, second = made(("a",)), made(("a",))
    theirs = {"id": "theirs", "title": "T", "paper": "P", "evidence": {}}
    second["packs"] = [*deepcopy(first["packs"]), theirs]
    second["packs"][0]["evidence"]["pairs"] = "Pairs"
    found = together([Run(first, "old"), Run(second, "new")]).document["packs"]
    assert [pack["id"] for pack in found] == [first["packs"][0]["id"], "theirs"]
    assert list(found[0]["evidence"]) == [*first["packs"][0]["evidence"], "pairs"]
    assert "pairs" not in first["packs"][0]["evidence"]


def test_what_changed_is_said_and_marked_in_its_cell(made: Callable[..., Document]) -> None:
    first, second = made(("a",)), made(("a",))
    row = next(row for row in second["results"] if row["evidence"] == "live" and row["verdict"] != "not-applicable")
    changes = Changes(
        "new against old: 1 worse", [("Changed", ("claim",), [("it-is-this",)])], {key_of(row): "▼ worse"}
    )
    page = render_runs([Run(first, "old"), Run(second, "new", changes)])
    assert page.count('data-changed="yes"') == 1
    assert page.count('title="▼ worse"') == 1
    for said in ("new against old: 1 worse", "it-is-this", '<section id="changes"', "<bdi>old</bdi>", "<bdi>new</bdi>"):
        assert said in page
    assert "changes" not in {line for line in render(first).split() if line.startswith('id="changes')}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_runs_are_words_alone(made: Callable[..., Document], name: str) -> None:
    document = made(("a",))

    def page(said: str) -> str:
        changes = Changes(said, [(said, (said,), [(said,)])], {}, (said,))
        return render_runs([Run(document, "first"), Run(document, said, changes)])

    hostile = page(name)
    assert tags(hostile) == tags(page("harmless"))
    assert "\u202e" not in hostile
