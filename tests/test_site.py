"""docs/ as a site: every page has its place, nothing is loaded from elsewhere, no formula is lost."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
FORMULA = re.compile(r"(?<![\\$])\$([^$]+)\$")
LOADS = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "object": "data",
         "video": "src", "audio": "src", "embed": "src"}  # fmt: skip
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


def test_every_page_is_in_the_table_of_contents_once() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = [
        re.sub(r".* <(.*)>", r"\1", line)
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", index, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
        if line and not line.startswith(":")
    ]
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


# --- built ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mathml() -> ModuleType:
    pytest.importorskip("latex2mathml", reason="formulas need the extra 'docs'")
    pytest.importorskip("sphinx", reason="the site needs the extra 'docs'")
    spec = importlib.util.spec_from_file_location("mathml", DOCS / "_ext" / "mathml.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("sphinx", "furo", "myst_parser", "latex2mathml"):
        pytest.importorskip(name, reason="the site needs the extra 'docs'")
    folder = tmp_path_factory.mktemp("site")
    options = ("-W", "--keep-going", "-n", "-q", "-d", str(folder / "doctrees"))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(folder / "html")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder / "html"


class Loads(HTMLParser):
    """What a page loads when it is opened; plain links are none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [given[name] or "" for name in (LOADS.get(tag), "srcset", "poster") if name in given]
        self.found += re.findall(r"url\(([^)]*)\)", given.get("style") or "")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert len(loads.found) > 3
        assert not [target for target in loads.found if ELSEWHERE.match(target.strip())], page.name
        assert all((page.parent / target.partition("?")[0].partition("#")[0]).exists() for target in loads.found)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", text), sheet.name


def test_every_formula_of_the_methods_is_drawn(site: Path) -> None:
    written = FORMULA.findall((DOCS / "methods.md").read_text(encoding="utf-8"))
    built = (site / "methods.html").read_text(encoding="utf-8")
    assert len(written) > 200
    assert built.count("<math ") == len(written)
    body = built[built.index("<article") : built.index("</article>")]
    assert not re.search(r"\$|\\[a-z]+\b", re.sub(r"<code.*?</code>|<pre.*?</pre>", "", body, flags=re.DOTALL))


def test_formulas_keep_all_their_letters_and_numbers(mathml: ModuleType) -> None:
    for formula in set(FORMULA.findall((DOCS / "methods.md").read_text(encoding="utf-8"))):
        shown = re.sub(r"<[^>]+>|&#?\w+;", "", mathml.mathml(formula, block=False))
        plain = re.sub(r"\\(?!cos|arccos|log|max)[A-Za-z]+", "", formula)  # those are written as words
        assert sorted(re.findall(r"[A-Za-z0-9]", shown)) == sorted(re.findall(r"[A-Za-z0-9]", plain)), formula


@pytest.mark.parametrize(
    ("formula", "said"),
    [(r"\nosuch{x}", r"holds '\\nosuch'"), ("x_1_2", "is no LaTeX"), (r"\frac{1}", "lacks an argument: mfrac")],
)
def test_a_formula_that_cannot_be_shown_is_an_error(formula: str, said: str, mathml: ModuleType) -> None:
    with pytest.raises(ValueError, match=said):
        mathml.mathml(formula, block=True)


def test_signs_of_operation_are_operators(mathml: ModuleType) -> None:
    shown = mathml.mathml(r"\theta_p \pm \sigma", block=False)
    assert "<mo>&#x000B1;</mo>" in shown
    assert "<mi>&#x003C3;</mi>" in shown
