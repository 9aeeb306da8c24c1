"""Two packs in one results document: every format shows the rows of both, each under the paper that it is of."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import csv_table, html, latex, latex_text, markdown, results, step_summary, table
from moe_claims.report.markdown_text import escape
from moe_claims.types import Verdict

Maker = Callable[..., dict[str, Any]]
OURS, THEIRS = PACK.paper, "arXiv 2601.00001"


@pytest.fixture
def document(made_row: Maker, made_document: Maker) -> dict[str, Any]:
    """Both packs have ``router-norm``; theirs has a claim, an evidence and an audit of its own."""
    theirs = {"pack": "theirs", "claim_version": 2}
    rows = [
        made_row(),
        made_row(model="b-model", effect=0.25),
        made_row(**theirs, verdict=Verdict.ABSENT, effect=0.004),
        made_row(**theirs, model="b-model", verdict=Verdict.CONTRADICTED, effect=-0.5),
        made_row(**theirs, claim="own-claim", variant=None, corpus=None, family="secondary"),
        made_row(**theirs, claim="own-claim", variant=None, evidence="pairs", family="public", model="org/pair"),
        made_row(claim="balanced-routing", variant="layer 0", evidence="public", family="public", model="org/m"),
    ]
    packs = [
        PACK.described(),
        {"id": "theirs", "title": "Their Title", "paper": THEIRS, "evidence": {"pairs": "Pairs: of models"}},
    ]
    audit = {
        "id": "an-audit", "statement": "s", "source": "t", "outcome": "agrees", "printed": "1", "recomputed": "1",
        "reason": "r", "values": {}, "kind": "printed",
    }  # fmt: skip
    audits = [{**audit, "pack": pack} for pack in (PACK.id, "theirs")]
    made = made_document(rows, packs=packs, audits=audits, order={PACK.id: 0, "theirs": 1})
    results.check(made, "r.json")
    return made


def unescaped(text: str) -> str:
    return re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), text)


def test_the_table_has_a_group_per_pack_and_model_with_its_paper(document: dict[str, Any]) -> None:
    text = table.render(document, width=200)
    titles = [line for line in text.splitlines() if line.startswith(("Audits", "Live", "Public", "Pairs"))]
    assert [title.rpartition("(")[2] for title in titles if title.startswith("Live")] == [f"{OURS})"] * 2 + [
        f"{THEIRS})"
    ] * 2
    assert f"Audits: the paper's printed numbers ({THEIRS}), recomputed from each other" in titles
    assert f"Pairs: of models ({THEIRS})" in titles[3]
    at = text.index("All models")
    matrix = {line.split("  ")[0]: line.split()[-2:] for line in text[at:].splitlines() if "router-norm" in line}
    assert matrix == {
        "look_into_moes/router-norm [total]": ["✓", "0.25"],
        "theirs/router-norm [total]": ["✗", "-0.50"],
    }


def test_markdown_says_of_which_paper_every_part_is(document: dict[str, Any]) -> None:
    text = unescaped(markdown.render(document))
    assert f"Claims of *{PACK.title}* ({OURS}), *Their Title* ({THEIRS})." in text
    for title in (
        f"## Audits of the paper's printed numbers ({OURS}), recomputed",
        f"## Audits of the paper's printed numbers ({THEIRS}), recomputed",
        f"## Pairs: of models ({THEIRS})",
        f"- Audits of the paper's printed numbers ({THEIRS}): 1 agrees",
        f"- Live measurements ({OURS}): 2 replicated",
        f"- Live measurements ({THEIRS}): 1 replicated, 1 contradicted, 1 absent",
        f"- Pairs ({THEIRS}): 1 replicated",
    ):
        assert title in text
    assert len(re.findall(rf"^## Live: .*\({re.escape(THEIRS)}\)$", text, re.MULTILINE)) == 2
    assert "| **look_into_moes/router-norm** |" in text  # theirs has no record here
    summary = unescaped(step_summary.render(document, Path("report")))
    assert "| look_into_moes/router-norm [total] | ✓ 0.63 | ✓ 0.25 |" in summary
    assert "| theirs/router-norm [total] | ○ 0.004 | ✗ -0.50 |" in summary


def test_latex_says_of_which_paper_every_part_is(document: dict[str, Any]) -> None:
    text = latex.render(document)
    titles = re.findall(r"\\subsection\*\{(.*)\}", text)
    assert sum(title.endswith(f"({THEIRS})") for title in titles) == 3
    assert sum(title.endswith(f"({OURS})") for title in titles) == 3
    assert latex_text.escape(f"‘Their Title’ ({THEIRS})") in text
    for name in ("look_into_moes/router-norm [total]", "theirs/router-norm [total]", "theirs/own-claim"):
        assert latex_text.escape(name) in text


def test_the_page_shows_both(document: dict[str, Any]) -> None:
    page = html.render(document)
    assert f"<title>Reproducibility report: {OURS}, {THEIRS}</title>" in page
    assert "<i><bdi>Their Title</bdi></i>" in page
    for name in ("look_into_moes/router-norm [total]", "theirs/router-norm [total]", "theirs/own-claim"):
        assert f'<th scope="row"><bdi>{name}</bdi>' in page
    headings = re.findall(r"<h3><bdi>(.*?)</bdi> <span", page)
    assert headings == [
        "look_into_moes/router-norm", "theirs/own-claim", "theirs/router-norm", "look_into_moes/balanced-routing",
        "theirs/own-claim",
    ]  # fmt: skip
    identifiers = re.findall(r'\sid="([^"]*)"', page)
    assert len(set(identifiers)) == len(identifiers)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(identifiers)
    assert f"Pairs ({THEIRS})" in page


def test_csv_names_pack_and_version_of_every_row(document: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table.render(document), newline="")))
    assert {(row["pack"], row["claim_version"]) for row in rows} == {(PACK.id, "1"), ("theirs", "2")}
    assert all(row["claim"].startswith(f"{row['pack']}/") for row in rows)
    assert {row["statement"] == "" for row in rows if row["pack"] == "theirs"} == {True}


def test_every_row_is_in_every_format(document: dict[str, Any]) -> None:
    """None is lost because another has its claim, model and variant."""
    for place, row in enumerate(document["results"]):
        row["effect"]["value"] = 1.234 + place
    shown = [f"{1.234 + place:.2f}" for place in range(len(document["results"]))]
    for text in (table.render(document), markdown.render(document), latex.render(document), html.render(document)):
        assert [number for number in shown if number not in text] == []


def test_one_pack_alone_is_not_named_in_titles(made_document: Maker) -> None:
    for render in (table.render, markdown.render, latex.render):
        text = render(made_document())
        assert f"({OURS})" not in "".join(line for line in text.splitlines() if "Live" in line or "Audits" in line)
        assert "look_into_moes/" not in text
    assert escape("look_into_moes/") not in markdown.render(made_document())
    assert "look_into_moes/" not in html.render(made_document()).replace('data-claim="look_into_moes/', "")
