"""Names and texts of strangers are inert in every format: they add no element, no command, no formula and no line.

A document in which everything that a stranger can choose has a hostile value is written in each format, read by a
parser of that format, and held against the same document with harmless values: the structure must be the same.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexMacroNode, LatexWalker

from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.printable import one_line, printable
from moe_claims.pytest_plugin import properties
from moe_claims.report import csv_table, html, latex, latex_text, markdown, results, step_summary, table
from moe_claims.report.screen import Screen
from moe_claims.types import Companion, Interval, Verdict

Maker = Callable[..., dict[str, Any]]

PYTEST_HTML = find_spec("pytest_html")
HARMLESS = "harmless"
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "quotes": "\"'>`${x}`<b a='\"",
    "closing tags": "</td></table></code><!--",
    "entities": "&lt;script&gt; &#60;b&#62; &amp;",
    "right to left": "\u202egnp.exe\u2066\u200f\u2069",
    "long": "x" * 300,
    "long with spaces": "many words " * 30,
    "emoji": "🙂👩\u200d🔬",
    "hebrew": "שלום 5 [0.1]",
    "latex input": r"\input{/etc/passwd} \include{x} $\alpha$ 100% #1 a_b^c ~ & {",
    "latex write": r"\immediate\write18{rm -rf /} \end{document}",
    "latex row start": "[2pt] * row",
    "latex row end": r"] \\[2pt] \hline } \* \%",
    "formula": '=HYPERLINK("http://x.org","a")',
    "other formula": "@SUM(A1:A9)",
    "formula with a minus": "-2+3+cmd|' /C calc'!A0",
    "tab": "\t=1+1\r\n=1+1",
    "markdown": "**bold** [link](javascript:alert(1)) ![image](http://x.org/a.png) `code` ~~x~~ | a | b",
    "markdown address": "https://x.org/a www.x.org <https://x.org>",
    "markdown heading": "a\n# heading\n\n- item\n\n```\n---\n| a |\n|---|\n",
    "terminal": "\x1b[2J\x1b]0;title\x07\x1b[31mred\x08\x7f\x9b31m",
    "other breaks": "a\x0bb\x0cc\x85d\u2028e\u2029f\x00g",
    "half a pair": "byte \udcff in a name",
}

_LEAF = {"value": 0.6, "standard_error": None, "none": 0.1}
_ANSWERS = {
    "published_in_our_interval": True, "ours_in_prediction_interval": True, "small_telescope_passed": False,
    "pooled_differs_from_none": True, "pooled_estimate": 0.6, "pooled": {"low": 0.5, "high": 0.7},
}  # fmt: skip


@pytest.fixture
def written(
    made_row: Maker, made_document: Maker, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[dict[str, Any]], str], str], str]:
    """(render, value) → a document as ``render`` writes it, with the value wherever a stranger can put one."""

    def document(value: str) -> dict[str, Any]:
        for claim in ("router-norm", "pca-clusters"):
            record = replace(PACK.live[claim], statement=value, effect=value, null=value, unit=value)
            monkeypatch.setitem(PACK.live, claim, record)
        said = {"place": value, "note": value}
        published = {"model": value, "paper_says": "holds", **_LEAF, **said, "companions": {value: _LEAF | said}}
        criteria = _ANSWERS | {"standard_error_origin": value}
        rows = [
            made_row(
                model=value, corpus=value, reason=value, effect_name=value, unit=value, null=value, published=published,
                criteria=criteria | {"companions": {value: criteria}},
                companions={value: Companion(0.5, Interval(0.4, 0.6, 0.95, value))}, details={value: value},
                controls={"random_init": {"verdict": None, "effect": None, "reason": value, "artefact": False}},
            ),
            made_row(claim="pca-clusters", model=value, corpus="b", reason=value, verdict=Verdict.NOT_APPLICABLE),
            made_row(claim=value, variant=value, model="second", corpus=value, effect=-0.5),
            made_row(pack=value, claim=value, variant=value, model="second", corpus=value, effect=-0.5),
            made_row(pack=value, claim="c", variant=None, model=value, corpus=None, evidence=value, family=value),
            made_row(claim="balanced-routing", model=f"org/{value}", evidence="public", family="public"),
            made_row(claim="training-scheme", model=value, corpus=value, evidence="trained", family="trained"),
        ]  # fmt: skip
        audit = {"id": value, "statement": value, "source": value, "outcome": "agrees", "printed": value,
                 "recomputed": value, "reason": value, "values": {}, "kind": "printed", "pack": PACK.id}  # fmt: skip
        theirs = {"id": value, "title": value, "paper": value, "evidence": {value: value}}
        found = made_document(
            rows, value, packs=[PACK.described(), theirs], audits=[audit, {**audit, "pack": value}],
            environment={"moe_claims": "0", "python": value, "command": value},
            errors=[{"model": value, "claim": value, "message": value}],
            order={name: rank for rank, name in enumerate(["public", "trained", "live", PACK.id, value, "second"])},
        )  # fmt: skip
        found["models"][0]["note"] = found["models"][0]["family"] = value
        found["corpora"][0]["name"] = value
        return found

    return lambda render, value: render(document(value))


def assert_nothing_hides(text: str) -> None:
    """Every sign is printed, but for line ends."""
    assert text.replace("\r\n", "\n").replace("\n", "").isprintable()


def squeezed(text: str) -> str:
    """Without spaces, which wrapping may change."""
    return "".join(text.split())


names = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)


@names
def test_table(written: Callable[..., str], value: str) -> None:
    text = written(table.render, value)
    assert_nothing_hides(text)
    assert f"Live:{squeezed(printable(value))}" in squeezed(text)
    titles = [line for line in text.splitlines() if line.startswith(("Audits: ", "All models: ", "Could not be"))]
    assert len(titles) == 4  # audits of two packs


@names
@pytest.mark.parametrize("width", [40, 120])
def test_what_a_run_prints_in_full(written: Callable[..., str], width: int, value: str) -> None:
    text = written(lambda document: table.summary(document, Screen(width), verbosity=2), value)
    assert_nothing_hides(text)
    assert max(map(Screen().columns, text.splitlines())) <= width
    coloured = written(lambda document: table.summary(document, Screen(width, colour=True), verbosity=2), value)
    assert_nothing_hides(re.sub(r"\x1b\[3[1236]m|\x1b\[0m", "", coloured))
    plain = written(lambda document: table.summary(document, Screen(width, encoding="ascii"), verbosity=2), value)
    assert plain.isascii()


def structure(tokens: list[Token]) -> list[str]:
    """Types of all tokens but plain text, and how many cells there are in what order."""
    found = []
    for token in tokens:
        if token.type == "inline":
            found += [child.type for child in token.children or [] if child.type not in ("text", "text_special")]
        elif token.type not in ("text", "softbreak"):
            found.append(token.type)
    return found


def shown(tokens: list[Token]) -> str:
    return "".join(child.content for token in tokens for child in token.children or [])


@names
@pytest.mark.parametrize(
    "render", [markdown.render, lambda document: step_summary.render(document, Path("report"))], ids=["page", "summary"]
)
def test_markdown(written: Callable[..., str], render: Callable[[dict[str, Any]], str], value: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    text = written(render, value)
    assert_nothing_hides(text)
    found, harmless = parser.parse(text), parser.parse(written(render, HARMLESS))
    assert structure(found) == structure(harmless)
    assert squeezed(one_line(value)) in squeezed(shown(found))
    assert "://" not in text
    assert "www." not in text


@names
def test_step_summary_whose_folder_is_hostile(made_document: Maker, value: str) -> None:
    text = step_summary.render(made_document(), Path(value))
    assert_nothing_hides(text)
    assert re.findall(r"</?\w+", text) == ["<code", "</code"] * 2


def environments(nodes: list[Any]) -> list[str]:
    return [
        name
        for node in nodes
        if isinstance(node, LatexEnvironmentNode)
        for name in (node.environmentname, *environments(node.nodelist))
    ]


def commands(text: str) -> set[str]:
    return set(re.findall(r"\\([a-zA-Z]+)", text))


@names
def test_latex(written: Callable[..., str], value: str) -> None:
    text, harmless = written(latex.render, value), written(latex.render, HARMLESS)
    assert text.isascii()
    assert_nothing_hides(text)
    assert latex_text.escape(value) in text
    # Strict parsing fails for a brace or an environment that does not close.
    found, expected = (LatexWalker(page, tolerant_parsing=False).get_latex_nodes()[0] for page in (text, harmless))
    assert environments(found) == environments(expected)
    of_signs = commands(" ".join(latex_text.SIGNS.values())) | {"ensuremath", "allowbreak"}
    assert commands(text.replace("\\\\", "")) <= commands(harmless) | of_signs
    for one, other in zip(text.splitlines(), harmless.splitlines(), strict=True):
        assert len(re.findall(r"(?<!\\)&", one)) == len(re.findall(r"(?<!\\)&", other))
        assert one.endswith(r"\\") == other.endswith(r"\\")
        assert one.startswith("%") == other.startswith("%")
        assert not (one.endswith(r"\\") and one.startswith(("[", "*")))  # arguments of the \\ before
    assert not [node for node in found if isinstance(node, LatexMacroNode) and node.macroname == "input"]


def test_latex_compiles(written: Callable[..., str], compiled: Callable[[str], bytes]) -> None:
    for value in ("[2pt]", " ".join(HOSTILE.values())):
        assert compiled(written(latex.render, value)).startswith(b"%PDF")


@names
def test_csv(written: Callable[..., str], value: str) -> None:
    text = written(csv_table.render, value)
    assert_nothing_hides(text)
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(line) for line in lines} == {len(csv_table.COLUMNS)}
    assert len(lines) == text.count("\r\n") == 8
    rows = [dict(zip(csv_table.COLUMNS, line, strict=True)) for line in lines[1:]]
    (live,) = [row for row in rows if row["claim"] == "look_into_moes/router-norm"]
    for column in ("model", "corpus", "reason", "statement", "published_note", "unit"):
        assert live[column].removeprefix("'") == printable(value).removeprefix("'")
        assert not live[column].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert [row["effect"] for row in rows if row["model"] == "second"] == ["-0.5"] * 2
    assert json.loads(live["details"]) == {value: value}


class Tags(HTMLParser):
    """Elements of a fragment with their attributes, and its text."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.elements: list[Any] = []
        self.text = ""
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(tag)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.text += data


@names
def test_html(written: Callable[..., str], value: str) -> None:
    """Elements and attributes are those of a page with a harmless name; only words and titles differ."""

    def bones(page: Tags) -> list[Any]:
        words = {"title", "aria-label", "data-claim", "data-name", "data-family", "data-label"}
        return [
            (one[0], [(key, said) for key, said in one[1] if key not in words])
            if isinstance(one, tuple) and one[0] != "comment"
            else one
            for one in page.elements
        ]

    text = written(html.render, value)
    assert_nothing_hides(text)
    found, harmless = Tags(text), Tags(written(html.render, HARMLESS))
    assert bones(found) == bones(harmless)
    assert squeezed(one_line(value)) in squeezed(found.text)


@names
def test_table_for_pytest_html(written: Callable[..., str], value: str) -> None:
    def rows(document: dict[str, Any]) -> str:
        parts = [properties.html("result", row) for row in document["results"]]
        return "".join([*parts, *(properties.html("audit", row) for row in document["audits"])])

    text = written(rows, value)
    assert_nothing_hides(text)
    found = Tags(text)
    assert found.elements == Tags(written(rows, HARMLESS)).elements
    assert printable(value) in found.text


@names
def test_results_file_is_read_back_exactly(made_document: Maker, tmp_path: Path, value: str) -> None:
    path = tmp_path / "results.json"
    document = made_document(name=value)
    results.write(path, document)
    assert results.read(path) == document


# --- a run ----------------------------------------------------------------------------------------

TEST = """
import pytest

@pytest.mark.moe_claim("neuron-experts-sign")
def test_neuron_experts_sign(moe_result):
    pass
"""
FOLDERS = [name.replace("/", "").replace("\0", "")[:200].rstrip() for name in HOSTILE.values()]
"""What can be the name of a folder and of a model."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on models that cannot be measured, in folders with hostile names; what it printed is in ``printed``."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "test_claim.py").write_text(TEST)
    options = ["-p", "no:cacheprovider", "--rootdir", ".", "--junitxml", "junit.xml", "-rA"]
    if PYTEST_HTML is not None:
        options += ["--html", "page.html", "--self-contained-html"]
    for name in FOLDERS:
        (folder / name).mkdir()
        options += ["--moe-model", f"./{name}"]
    command = [sys.executable, "-m", "pytest", *options, "test_claim.py"]
    environment = os.environ | {"GITHUB_STEP_SUMMARY": "summary.md", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 1, done.stdout.decode() + done.stderr.decode()
    (folder / "printed").write_bytes(done.stdout + done.stderr)
    return folder


def test_what_a_run_prints_hides_nothing(ran: Path) -> None:
    text = (ran / "printed").read_text(encoding="utf-8")
    assert_nothing_hides(text)
    for name in FOLDERS:
        assert f"  {printable(f'./{name}')}: " in text
    assert "INTERNALERROR" not in text
    assert f"{len(FOLDERS)} errors" in text


def test_junit_of_a_run(ran: Path) -> None:
    text = (ran / "junit.xml").read_text(encoding="utf-8")
    assert_nothing_hides(text)
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    assert [[element.tag for element in case.iter()] for case in cases] == [
        ["testcase", "properties", *["property"] * 3, "error"]
    ] * len(FOLDERS)
    models = [{p.get("name"): p.get("value") for p in case.iter("property")}["model"] for case in cases]
    # pytest 8.2 writes characters beyond 16 bits, which XML allows, by their numbers.
    numbered = {ord(c): f"#x{ord(c):X}" for name in FOLDERS for c in name if ord(c) > 0xFFFF}
    assert [name.translate(numbered) for name in models] == [
        printable(f"./{name}").translate(numbered) for name in FOLDERS
    ]


def test_report_and_summary_of_a_run(ran: Path) -> None:
    document = results.read(ran / "claims-report" / "results.json")
    assert sorted(error["model"] for error in document["errors"]) == sorted(f"./{name}" for name in FOLDERS)
    summary = (ran / "summary.md").read_text(encoding="utf-8")
    assert_nothing_hides(summary)
    assert summary.count("\n- **") == len(FOLDERS)
    assert re.findall(r"<\w+", summary) == ["<code", "<code"]


@pytest.mark.skipif(PYTEST_HTML is None, reason="pytest-html is not installed")
def test_page_of_pytest_html_of_a_run(ran: Path) -> None:
    page = Tags((ran / "page.html").read_text(encoding="utf-8"))
    blobs = [value for _, attributes in started(page) for name, value in attributes if name == "data-jsonblob"]
    (tests,) = [json.loads(blob)["tests"] for blob in blobs]
    assert len(tests) == len(FOLDERS)
    for name, (entry,) in tests.items():
        row = Tags("".join(entry["resultsTableRow"]))
        assert [tag for tag, _ in started(row)] == ["td"] * 4
        assert name in row.text
        log = Tags(entry["log"])
        assert {tag for tag, _ in started(log)} <= {"span"}
        for fragment in (row, log):
            assert not [element for element in fragment.elements if element[0] == "comment"]


def started(fragment: Tags) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [element for element in fragment.elements if isinstance(element, tuple) and element[0] != "comment"]
