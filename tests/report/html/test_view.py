"""What stands where on the page: every row once in the matrix and once among the details."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.report.formatting import claim
from moe_claims.report.html import Run, view
from moe_claims.report.html.runs import together

Document = dict[str, Any]
ROUTING = "look_into_moes/balanced-routing"


def shown(*documents: Document) -> list[Document]:
    """The rows of a page of these documents, whose runs are called 0, 1 and so on."""
    rows: list[Document] = together([Run(one, str(place)) for place, one in enumerate(documents)]).document["results"]
    return rows


@pytest.mark.parametrize("texts", [("builtin",), ("builtin", "builtin-code")])
def test_every_live_row_stands_in_the_matrix_once(made: Callable[..., Document], texts: tuple[str, ...]) -> None:
    results = shown(made(("a", "b"), texts))
    found = view.matrix(results)
    cells = [cell for line in found.lines for cell in line.cells if cell.row is not None]
    assert Counter(id(cell.row) for cell in cells) == Counter(id(r) for r in results if r["evidence"] == "live")
    assert found.models == [("a", len(texts)), ("b", len(texts))]
    assert found.texts == list(texts)
    for line in found.lines:
        assert (
            len(line.ranks)
            == len(line.effects)
            == sum(cell.width for cell in line.cells)
            == len(found.columns)
            == 2 * len(texts)
        )
        assert {cell.row["claim"] for cell in line.cells if cell.row} == {line.claim}


def test_a_claim_on_weights_spans_the_texts_of_its_model(made: Callable[..., Document]) -> None:
    found = view.matrix(shown(made(("a",), ("x", "y", "z"))))
    widths = {line.name: [cell.width for cell in line.cells] for line in found.lines}
    assert widths["neuron-experts"] == [3]
    assert widths["router-norm [total]"] == [1, 1, 1]


def test_a_row_that_is_missing_is_said_to_be_and_sorts_last(made: Callable[..., Document]) -> None:
    results = [row for row in shown(made(("a", "b"))) if (row["model"], row["claim"]) != ("b", ROUTING)]
    lines = view.matrix(results).lines
    line = next(line for line in lines if line.claim == ROUTING)
    assert [cell.row is None for cell in line.cells] == [False, True]
    assert line.ranks[1] > max(rank for other in lines if other is not line for rank in other.ranks)


def test_a_line_says_what_its_claim_is_and_from_where_on_an_effect_is_of_interest(
    made: Callable[..., Document],
) -> None:
    for line in view.matrix(shown(made(("a",)))).lines:
        assert line.record is not None
        assert line.effect and line.record.statement
        smallest = float(line.reach[2:])
        assert (line.reach[0] == "≥") == (smallest > 0)


def test_runs_of_a_model_stand_side_by_side_each_in_its_column(made: Callable[..., Document]) -> None:
    first, second = made(("a", "b")), made(("b", "c"), ("builtin", "builtin-code"))
    found = view.matrix(shown(first, second))
    heads = [(column.model, column.run, column.text) for column in found.columns]
    texts = ("builtin", "builtin-code")
    assert heads == [
        ("a", "0", "builtin"), ("b", "0", "builtin"), *(("b", "1", text) for text in texts),
        *(("c", "1", text) for text in texts),
    ]  # fmt: skip
    assert found.models == [("a", 1), ("b", 3), ("c", 2)]
    assert [found.under(column) for column in found.columns[1:3]] == ["0 · builtin", "1 · builtin"]
    for line in found.lines:
        assert sum(cell.width for cell in line.cells) == len(found.columns)
        assert {cell.head.split(" · ")[0] for cell in line.cells} == {"a", "b", "c"}


@pytest.mark.parametrize("evidence", ["live", "public", "trained"])
def test_sections_hold_every_row_of_their_evidence_once(made: Callable[..., Document], evidence: str) -> None:
    results = made(("a", "b"))["results"]
    found = view.sections(results, evidence)
    rows = [
        row
        for section in found
        for variant in section.variants
        for row in (*variant.rows, *(row for aside in variant.not_applicable.values() for row in aside))
    ]
    assert Counter(map(id, rows)) == Counter(id(row) for row in results if row["evidence"] == evidence)
    assert all(section.record is not None and section.record.id == section.name for section in found)
    assert len({section.anchor for section in found}) == len(found)


@pytest.mark.parametrize("packs", [("look_into_moes",), ("look_into_moes", "theirs")])
def test_lines_and_sections_know_a_claim_by_one_name(made: Callable[..., Document], packs: tuple[str, ...]) -> None:
    # The page's script shows the sections of the lines that are shown.
    live = [row for row in made(("a",))["results"] if row["evidence"] == "live"]
    rows = [{**row, "pack": pack, "claim": f"{pack}/{claim(row)}"} for pack in packs for row in live]
    results = shown(made(("a",), results=rows))
    named = {section.claim: section.name for section in view.sections(results, "live")}
    assert set(named) == {line.claim for line in view.matrix(results).lines} == {row["claim"] for row in results}
    assert all(name == (key if len(packs) > 1 else key.partition("/")[2]) for key, name in named.items())


def test_rows_that_do_not_apply_stand_under_their_reason(made: Callable[..., Document]) -> None:
    found = view.sections(made(("a", "b"))["results"], "live")
    aside = [reason for section in found for variant in section.variants for reason in variant.not_applicable]
    assert set(aside) == {"it has one expert alone"}


def test_a_claim_that_is_not_known_has_no_record(made: Callable[..., Document]) -> None:
    results = [row | {"claim": "theirs/of-a-third-party"} for row in made(("a",))["results"][:1]]
    (section,) = view.sections(results, results[0]["evidence"])
    assert (section.claim, section.name, section.record) == ("theirs/of-a-third-party", "of-a-third-party", None)


def test_text_and_run_are_named_where_there_are_several() -> None:
    row = {"model": "m", "corpus": "gsm8k", "runs": ["new"]}
    assert view.label_of(row, several_texts=True, labels=()) == "m · gsm8k"
    assert view.label_of(row, several_texts=False, labels=()) == "m"
    assert view.label_of(row | {"corpus": None}, several_texts=True, labels=("old", "new")) == "m · new"
    assert view.label_of(row | {"runs": ["old", "new"]}, several_texts=False, labels=("old", "new")) == "m"


def test_a_section_counts_its_verdicts(made: Callable[..., Document]) -> None:
    rows = shown(made(("a", "b")))
    for section in view.sections(rows, "live"):
        verdicts = Counter(row["verdict"] for row in rows if (row["evidence"], row["claim"]) == ("live", section.claim))
        assert section.counts == verdicts
