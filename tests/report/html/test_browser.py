"""The page in a browser: opened from disk, sorted, filtered, walked through; no error, no request, nothing too wide."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_claims.report import html

REQUIRED = "MOE_CLAIMS_BROWSER"
"""Set in CI: there a browser must be, and elsewhere the tests are skipped without one."""
WIDTHS = (360, 1440)
pytestmark = pytest.mark.campaign("long")


def missing(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} says that it must be", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install 'moe-claims[test]'")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        missing("no chromium is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def path(made: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two texts, a long name, and a picture."""
    document = made(("a", "b", "c", "d", "n" * 300), ("builtin", "builtin-code"))
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(html.render(document, [{"title": "Dot", "caption": "One dot.", "uri": pixel}]))
    return file


@pytest.fixture(params=WIDTHS)
def page(browser: Any, path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page at one width; at the end nothing has gone wrong and nothing was asked of anyone."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 800}, color_scheme="dark" if request.param == 360 else "light"
    )
    opened = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda found: asked.append(found.url))
    opened.goto(path.as_uri())
    opened.locator("#filters").wait_for(state="visible")
    yield opened
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    context.close()


def shown(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#verdicts tbody tr", "rows => rows.filter(r => r.checkVisibility()).map(r => r.dataset.name)"
    )
    return found


def test_lines_are_sorted_by_the_verdicts_of_a_model_and_back(page: Any) -> None:
    order = shown(page)
    head = page.locator("th[data-column='2']")
    head.locator("button").click()
    ranks = page.eval_on_selector_all("#verdicts tbody tr", "rows => rows.map(r => +r.dataset.ranks.split(' ')[2])")
    assert head.get_attribute("aria-sort") == "ascending"
    assert ranks == sorted(ranks) != [ranks[0]] * len(ranks)
    head.locator("button").press("Enter")  # by keyboard, too
    ranks = page.eval_on_selector_all("#verdicts tbody tr", "rows => rows.map(r => +r.dataset.ranks.split(' ')[2])")
    assert head.get_attribute("aria-sort") == "descending"
    assert ranks == sorted(ranks, reverse=True)
    page.locator("th[data-column='claim'] button").click()
    assert shown(page) == order
    assert page.locator("th[aria-sort]").count() == 1


def _wait_for_rows(page: Any, number: int) -> None:
    """On a busy machine the page may filter a moment after it was asked to."""
    page.wait_for_function(f"document.querySelectorAll('#verdicts tbody tr:not([hidden])').length === {number}")


def test_lines_are_filtered_and_their_sections_with_them(page: Any) -> None:
    everything = shown(page)
    page.fill("#filter-text", "ROUTER-norm")
    found = [name for name in everything if "router-norm" in name]
    _wait_for_rows(page, len(found))
    assert shown(page) == found
    assert page.locator("#shown").inner_text() == f"{len(found)} of {len(everything)} rows"
    visible = page.eval_on_selector_all(
        "#claims .claim",
        "sections => sections.filter(s => s.checkVisibility()).map(s => s.querySelector('h3 bdi').innerText)",
    )
    assert visible == list(dict.fromkeys(name.partition(" ")[0] for name in found))
    page.select_option("#filter-family", "secondary")
    _wait_for_rows(page, sum(name.startswith("corpus-robust") for name in found))
    assert shown(page) == [name for name in found if name.startswith("corpus-robust")]
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelectorAll('#verdicts tbody tr[hidden]').length === 0")
    assert shown(page) == everything
    page.select_option("#filter-verdict", "contradicted")
    some = shown(page)
    assert 0 < len(some) < len(everything)


def test_a_cell_leads_to_its_row(page: Any) -> None:
    for place in (0, 7, 30):
        link = page.locator("#verdicts tbody td a").nth(place)
        link.click()
        target = page.locator(str(link.get_attribute("href")))
        assert target.count() == 1
        page.wait_for_function("document.querySelector(':target') !== null")
        target.scroll_into_view_if_needed()
        assert target.is_visible()
    for link in page.locator("nav a").all():
        assert page.locator(str(link.get_attribute("href"))).is_visible()


def test_nothing_is_wider_than_the_screen(page: Any) -> None:
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= screen


def test_controls_have_names_and_the_page_one_main_part(page: Any) -> None:
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    for control in page.locator("input, select, button").all():
        name = control.evaluate("e => (e.labels && e.labels[0] || e).textContent.trim()")
        assert name
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_it_weighs_little_and_opening_it_is_little_work(browser: Any, path: Path) -> None:
    # Counted, since how long a browser takes says as much of the machine as of the page.
    assert path.stat().st_size < 8_000_000
    opened = browser.new_page()
    opened.goto(path.as_uri(), wait_until="load")
    elements = opened.evaluate("document.querySelectorAll('*').length")
    opened.close()
    assert elements < 25_000  # some forty for each of nearly 400 results, the script's own among them


def test_everything_is_there_without_scripts_and_on_paper(browser: Any, path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(path.as_uri())
    assert opened.locator("#filters").is_hidden()
    assert opened.locator("#verdicts tbody tr").count() > 50
    opened.emulate_media(media="print")
    assert opened.locator("#verdicts").is_visible()
    assert opened.pdf()[:5] == b"%PDF-"
    context.close()
