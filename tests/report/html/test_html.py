"""The page as text: whole, in one file, and inert whatever the names are."""

import re
from collections.abc import Callable
from email.message import Message
from html.parser import HTMLParser
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.report import formatting, html
from moe_claims.report.html import inert, words

Document = dict[str, Any]
VOID = {"meta", "input", "img", "br"}


class Page(HTMLParser):
    """Tags with their attributes, checked to be closed in order; and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def document(made: Callable[..., Document]) -> Document:
    return made()


@pytest.fixture(scope="module")
def page(document: Document) -> Page:
    return Page(html.render(document))


def test_every_row_audit_model_and_error_is_there(document: Document, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {f"row-{place}" for place in range(len(document["results"]))} <= set(ids)
    for audit in document["audits"]:
        assert audit["id"] in page.text
        assert " ".join(audit["reason"].split()) in page.text
    for verdict, sign in formatting.SIGNS.items():
        assert f"{sign} {verdict}" in page.text
    assert page.text.count("no such model") == 1


def test_every_link_leads_to_a_place_on_the_page_or_to_the_paper(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]
    away = {link for link in links if link[0] != "#"}
    assert away == {"https://arxiv.org/abs/2406.18219"}
    assert all(link[1:] in ids for link in links if link not in away)
    cells = {f"#{attributes['id']}" for _, attributes in page.tags if str(attributes.get("id")).startswith("cell-")}
    assert cells and cells <= set(links)  # there is a way back from every row to its cell


def test_nothing_is_fetched_and_nothing_runs_but_our_own_script(document: Document, page: Page) -> None:
    text = html.render(document)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; img-src data:; base-uri 'none'; "
        r"form-action 'none'",
        str(policy),
    )
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base")]
    assert not [a for _, a in page.tags if any(name.startswith("on") or name in ("src", "style") for name in a)]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    assert "http://" not in text
    assert set(re.findall(r"https://[^\s\"'<]*", text)) == {"https://arxiv.org/abs/2406.18219"}


def test_what_a_reader_needs_is_said_on_the_page(document: Document, page: Page) -> None:
    for meaning in (*words.VERDICTS.values(), *words.TERMS.values(), *words.OUTCOMES.values()):
        assert meaning in page.text
    assert set(words.VERDICTS) == set(formatting.SIGNS) and set(words.OUTCOMES) == set(formatting.AUDIT_SIGNS)
    live = [row for row in document["results"] if row["evidence"] == "live"]
    for claim in {formatting.claim(row) for row in live}:
        record = LIVE[claim]
        # In every line of the matrix, and where the claim has its own place.
        assert page.text.count(" ".join(record.statement.split())) >= len(record.variants) + 1
    for row in live:
        assert row["effect"]["name"] in page.text
        if row["verdict"] != "not-applicable":
            assert row["null"] in page.text and row["unit"] in page.text
    assert "BCa over sequences" in page.text
    assert "nats per token" in page.text


def test_the_command_is_shown_and_its_absence_said(document: Document) -> None:
    assert "not in this results file" in Page(html.render(document)).text
    command = "pytest claims/ --model './my model' --moe-seed 3"
    text = html.render(document | {"environment": document["environment"] | {"command": command}})
    assert Page(text).text.count(command) == 2  # in the head and under how it was made
    assert "not in this results file" not in text


@pytest.mark.parametrize(
    ("named", "linked"),
    [
        ("Documentation, https://docs.example.org/x", True),
        ("Documentation, javascript:alert(1)", False),
        ("Homepage, https://example.org", False),
    ],
)
def test_the_documentation_is_linked_where_the_package_names_it(
    document: Document, named: str, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Message()
    installed["Project-URL"] = named
    monkeypatch.setattr(html, "metadata", lambda _: installed)
    links = [str(a["href"]) for tag, a in Page(html.render(document)).tags if tag == "a"]
    assert (named.partition(", ")[2] in links) == linked


def test_five_models_and_every_claim_stay_small(document: Document) -> None:
    assert len(html.render(document).encode()) < 2_000_000


def test_a_report_of_one_thing_alone_has_that_part_alone(document: Document) -> None:
    alone = document | {"results": [], "models": [], "corpora": [], "errors": []}
    ids = {a.get("id") for _, a in Page(html.render(alone)).tags}
    assert "audits" in ids
    assert not ids & {"matrix", "claims", "public", "trained", "models", "errors", "figures"}


def test_pictures_are_shown_with_their_words(document: Document) -> None:
    figure = {"title": "Rank counts", "caption": "Rows are norms & columns scores.", "uri": "data:image/png;base64,AA"}
    page = Page(html.render(document, [figure]))
    assert [a["src"] for tag, a in page.tags if tag == "img"] == ["data:image/png;base64,AA"]
    assert "Rows are norms & columns scores." in page.text


HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></script><b>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "a" * 300,
    "\u202egnp.exe",
    "x\u200b\u2066y\x00\x1b[31m",
    "🧪🏴‍☠️",
    "=HYPERLINK(1)",
    "line\nbreak\u2028more",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_words_on_the_page_and_nothing_else(
    made: Callable[..., Document], page: Page, name: str
) -> None:
    plain, hostile = made(("name", "b")), made((name, "b"), (name,))
    for part in ("environment",):
        hostile[part] = dict.fromkeys(hostile[part], name)
    hostile["errors"] = [{"model": name, "claim": name, "message": name}]
    hostile["results"][0]["reason"] = name
    hostile["audits"][0]["reason"] = name
    for key in ("hub_id", "note"):
        hostile["models"][0][key] = name
    found = Page(html.render(hostile))
    kinds = {(tag, name) for tag, a in found.tags for name in a}
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in page.tags} | {"h4"}
    assert not {kind for kind in kinds if kind[1].startswith("on")}
    assert len([t for t, _ in found.tags if t == "script"]) == 1
    assert inert(name) in found.text
    assert html.render(plain) != html.render(hostile)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ τ̄ é", "plain ✓ τ̄ é"),
        ("\u202egnp", "\\u202egnp"),
        ("a\x1b[31mb\x00", "a\\x1b[31mb\\x00"),
        ("a\n\tb", "a b"),
        ("👩‍🔬", "👩\\u200d🔬"),
        (" · ", " · "),
    ],
)
def test_characters_that_hide_or_turn_others_are_made_visible(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_what_is_no_text_is_left_alone() -> None:
    assert inert(3) == 3
    assert inert(None) is None


def test_two_packs_that_name_their_evidence_alike_have_a_part_each(document: Document) -> None:
    counted = [row for row in document["results"] if row["evidence"] == "public"]
    theirs = [row | {"pack": "theirs", "claim": f"theirs/{formatting.claim(row)}"} for row in counted]
    packs = [
        document["packs"][0],
        {"id": "theirs", "title": "Counts", "paper": "arXiv 1", "evidence": {"public": "Counts by others: all"}},
    ]
    page = Page(html.render(document | {"packs": packs, "results": [*document["results"], *theirs]}))
    parts = [attributes["id"] for _, attributes in page.tags if (attributes.get("id") or "").startswith("evidence-")]
    anchors = [name for name in parts if name is not None and name.count("-") == 1]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and "href" in attributes]
    assert len(anchors) == 3 and all(f"#{anchor}" in links for anchor in anchors)
    assert page.text.count("Counts by others (arXiv 1)") == 2  # its link and its tally
    assert page.text.count("Counts by others: all (arXiv 1)") == 1
