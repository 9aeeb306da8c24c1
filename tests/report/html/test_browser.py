"""The page in a browser: opened from disk, sorted, filtered, walked through; no error, no request, nothing too wide."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.report import formatting, html
from moe_claims.report.html import Changes, Run, words
from moe_claims.report.html.runs import key_of

REQUIRED = "MOE_CLAIMS_BROWSER"
"""Set in CI: there a browser must be, and elsewhere the tests are skipped without one."""
SCREENS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
SQUARE = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSIxMjAwIiBoZWlnaHQ9IjYwMCI+"
    "PHJlY3Qgd2lkdGg9IjEyMDAiIGhlaWdodD0iNjAwIiBmaWxsPSJ3aGl0ZSIvPjwvc3ZnPg=="
)
"""A white picture, 1200 × 600."""
FIGURES = [
    {"title": "Rank of norms: a", "caption": "Look for a diagonal.", "uri": SQUARE},
    {"title": "Depth: a", "caption": "Look for a fall.", "uri": SQUARE},
]
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
def folder(made: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``report.html`` of one run with three models, ``many.html`` with two texts and a long name, and ``both.html``."""
    found = tmp_path_factory.mktemp("page")
    command = {"environment": {"moe_claims": "0", "python": "3.11", "command": "pytest claims/ --model a"}}
    (found / "report.html").write_text(html.render(made(("a", "b", "c"), **command), FIGURES))
    many = made(("a", "b", "c", "d", "n" * 300), ("builtin", "builtin-code"))
    (found / "many.html").write_text(html.render(many, FIGURES))
    first, second = made(("a", "b")), made(("a", "b"))
    changed = [row for row in second["results"] if row["evidence"] == "live"][::10]
    marks = {key_of(row): "▼ worse" for row in changed}
    changes = Changes(
        "new against old: some worse", [("Verdicts that changed", ("claim", "then"), [("x", "y")])], marks
    )
    runs = [Run(first, "old"), Run(second, "new", changes)]
    (found / "both.html").write_text(html.render_runs(runs, FIGURES))
    return found


Open = Callable[..., Any]


@pytest.fixture(params=SCREENS, ids=[f"{width}-{scheme}" for width, scheme in SCREENS])
def open_page(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    """(name of the file, what stands after #) → the page on one screen; at the end nothing has gone wrong on any, and
    nothing was asked of anyone."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce"
    )
    said: list[str] = []
    asked: list[str] = []

    def opened(name: str = "report.html", address: str = "") -> Any:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda found: asked.append(found.url))
        page.goto((folder / name).as_uri() + address)
        page.locator("#filters").wait_for(state="visible")
        return page

    yield opened
    assert said == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} <= {
        path.as_uri() for path in folder.iterdir()
    }
    context.close()


@pytest.fixture
def page(open_page: Open) -> Any:
    """The page of one run."""
    return open_page()


def shown(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#verdicts tbody tr", "rows => rows.filter(r => r.checkVisibility()).map(r => r.dataset.name)"
    )
    return found


def open_claims(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        ".claim", "all => all.filter(c => c.querySelector('details.fold').open).map(c => c.id)"
    )
    return found


def in_sight(page: Any, selector: str) -> bool:
    """Whether the middle of an element is what one sees and touches at its place."""
    found: bool = page.evaluate(
        """selector => {
          const one = document.querySelector(selector), r = one.getBoundingClientRect();
          const [x, y] = [r.left + Math.min(r.width / 2, 40), r.top + Math.min(r.height / 2, 12)];
          const seen = document.elementFromPoint(x, y);
          return r.top >= 0 && r.top < innerHeight && !!seen && (one.contains(seen) || seen.contains(one));
        }""",
        selector,
    )
    return found


def _wait_for_rows(page: Any, number: int) -> None:
    """On a busy machine the page may filter a moment after it was asked to."""
    page.wait_for_function(f"document.querySelectorAll('#verdicts tbody tr:not([hidden])').length === {number}")


def _wait_for_address(page: Any, part: str) -> None:
    page.wait_for_function("part => location.hash.includes(part)", arg=part)


# --- what stands there ----------------------------------------------------------------------------


def test_verdicts_are_defined_and_every_row_carries_its_statement_effect_and_bound(page: Any) -> None:
    for word, meaning in words.VERDICTS.items():
        entry = page.locator("#matrix .verdicts > div", has_text=word).first
        assert entry.is_visible()
        assert meaning in entry.inner_text()
    for line in page.locator("#verdicts tbody tr").all():
        record = LIVE[line.get_attribute("data-name").partition(" ")[0]]
        text = " ".join(line.inner_text().split())
        assert line.locator(".statement").is_visible()
        assert record.statement in text and record.section in text
        assert line.locator(".of").is_visible()
        assert re.search(r"[≥≤] -?\d", text)


def test_units_the_p_that_decided_and_what_both_answer_to_stand_beside_effects(page: Any) -> None:
    page.get_by_role("button", name="Open all").click()
    section = page.locator("#claims .claim", has=page.get_by_role("heading", name=re.compile("^router-norm head")))
    record = LIVE["router-norm"]
    text = " ".join(section.inner_text().split())
    for said in (record.effect, record.null, record.unit, "BCa over sequences", "n = 26", "as claimed"):
        assert said in text
    trained = page.locator(".claim", has=page.get_by_role("heading", name=re.compile("depth-needs-experts")))
    assert trained.locator(".rows .unit").first.inner_text() == "nats per token"


def test_the_command_and_the_paper_are_there(page: Any) -> None:
    assert page.locator("header code").inner_text() == "pytest claims/ --model a"
    link = page.locator("header a", has_text="arXiv")
    assert link.get_attribute("href") == "https://arxiv.org/abs/2406.18219"


# --- sorting and searching ------------------------------------------------------------------------


def test_lines_are_sorted_by_verdict_and_by_effect_and_back(page: Any) -> None:
    order = shown(page)
    read = "rows => rows.map(r => [+r.dataset.ranks.split(' ')[1], r.dataset.effects.split(' ')[1]])"

    def column() -> tuple[list[int], list[float]]:
        found = page.eval_on_selector_all("#verdicts tbody tr", read)
        return [rank for rank, _ in found], [float(effect) for _, effect in found if effect != "-"]

    page.select_option("#sort", "1.verdict")
    ranks, _ = column()
    assert ranks == sorted(ranks) != [ranks[0]] * len(ranks)
    page.check("#descending")
    assert column()[0] == sorted(ranks, reverse=True)
    page.select_option("#sort", "1.effect")
    _, effects = column()
    assert effects == sorted(effects, reverse=True) != [effects[0]] * len(effects)
    last = page.eval_on_selector_all("#verdicts tbody tr", "rows => rows.at(-1).dataset.effects.split(' ')[1]")
    assert last == "-"  # what has no effect comes last, whichever way
    page.get_by_role("button", name="Show all").click()
    _wait_for_rows(page, len(order))
    page.wait_for_function("document.getElementById('sort').value === ''")
    assert shown(page) == order


def test_heads_sort_by_mouse_and_keyboard_and_say_so(open_page: Open) -> None:
    page = open_page()
    if page.viewport_size["width"] < 1200:
        return  # there the list of a form sorts
    head = page.locator("th[data-column='2']")
    head.get_by_role("button", name="sort by effect").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.locator("#sort").input_value() == "2.effect"
    head.get_by_role("button", name="sort by effect").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert page.locator("th[aria-sort]").count() == 1
    page.locator("th[data-column='claim'] button").click()
    assert page.locator("th[data-column='claim']").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("ROUTER-norm", lambda record: "router-norm" in record.id),
        ("cosines of 0.2", lambda record: "cosines of 0.2" in record.statement),
        ("appendix h", lambda record: "Appendix H" in record.section),
    ],
)
def test_search_finds_names_statements_and_sections_of_the_paper(
    page: Any, wanted: str, names: Callable[[Any], bool]
) -> None:
    everything = shown(page)
    page.fill("#filter-text", wanted)
    fit = {record.id for record in LIVE.values() if names(record)}
    found = [name for name in everything if name.partition(" ")[0] in fit or (wanted.lower() in name)]
    assert found
    _wait_for_rows(page, len(found))
    assert shown(page) == found
    assert page.locator("#shown").inner_text().startswith(f"{len(found)} of {len(everything)} rows")
    visible = page.eval_on_selector_all(
        "#claims .claim",
        "all => all.filter(s => s.checkVisibility()).map(s => s.querySelector('h3 bdi').innerText)",
    )
    assert visible == list(dict.fromkeys(name.partition(" ")[0] for name in found))


def test_search_finds_figures_and_parts_of_the_page_and_leads_there(page: Any) -> None:
    page.fill("#filter-text", "look for a DIAGONAL")
    page.wait_for_function("document.querySelectorAll('figure:not([hidden])').length === 1")
    page.locator("#shown a", has_text="1 of 2 in Figures").click()
    assert in_sight(page, "#figure-0 h3")
    page.fill("#filter-text", "how it was made")
    link = page.locator("#shown a", has_text="How it was made")
    link.click()
    assert in_sight(page, "#environment h2")


def test_filters_of_family_and_verdict_narrow_the_lines(page: Any) -> None:
    everything = shown(page)
    page.select_option("#filter-family", "secondary")
    secondary = [name for name in everything if LIVE[name.partition(" ")[0]].family == "secondary"]
    _wait_for_rows(page, len(secondary))
    assert shown(page) == secondary
    page.select_option("#filter-verdict", "contradicted")
    some = shown(page)
    assert 0 < len(some) < len(secondary)


# --- there and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 37, 100])
def test_a_cell_leads_to_its_row_with_name_and_headings_in_sight_and_back(page: Any, place: int) -> None:
    link = page.locator("#verdicts tbody td a").nth(place)
    cell = "#" + link.evaluate("a => a.closest('td').id")
    row = str(link.get_attribute("href"))
    link.click()
    _wait_for_address(page, f"at={row[1:]}")
    claim = "#" + page.evaluate("row => document.querySelector(row).closest('.claim').id", row)
    assert in_sight(page, row)
    assert in_sight(page, f"{claim} h3")
    if page.locator(f"{row} td").count():
        heads = "thead th" if page.viewport_size["width"] > 1200 else "td::before"
        if heads == "thead th":
            assert in_sight(page, f"table:has({row}) thead th")
            under = page.evaluate(
                "row => { const r = document.querySelector(row); return r.getBoundingClientRect().top - "
                "r.closest('table').querySelector('thead th').getBoundingClientRect().bottom }",
                row,
            )
            assert under >= -1  # the row is not below its own headings
        else:
            said = page.eval_on_selector_all(
                f"{row} td", "all => all.map(td => getComputedStyle(td, '::before').content)"
            )
            assert '"effect"' in said and '"p that decided"' in said
    page.go_back()
    page.wait_for_function("row => !location.hash.includes('at=' + row)", arg=row[1:])
    assert in_sight(page, cell)
    assert open_claims(page) == []
    page.go_forward()
    _wait_for_address(page, f"at={row[1:]}")
    assert in_sight(page, row)
    page.locator(f"{row} .back").first.click()
    assert in_sight(page, cell)


def test_links_of_the_head_lead_to_parts_in_sight(page: Any) -> None:
    for link in page.locator("nav a").all():
        link.click()
        assert in_sight(page, f"{link.get_attribute('href')} h2")


# --- folding and the address ----------------------------------------------------------------------


def test_claims_fold_one_by_one_and_all_at_once(page: Any) -> None:
    assert open_claims(page) == []
    page.get_by_role("button", name="Open all").click()
    _wait_for_address(page, "open=all")
    assert len(open_claims(page)) == page.locator(".claim").count()
    page.get_by_role("button", name="Fold all").click()
    page.wait_for_function("!document.querySelector('.claim details.fold[open]')")
    assert open_claims(page) == []
    first = page.locator(".claim summary").first
    first.press("Enter")
    assert len(open_claims(page)) == 1
    _wait_for_address(page, f"open={open_claims(page)[0]}")


def test_the_address_shows_the_same_to_whoever_opens_it(open_page: Open) -> None:
    page = open_page()
    page.fill("#filter-text", "depth")
    page.select_option("#filter-family", "headline")
    page.select_option("#sort", "0.effect")
    page.check("#descending")
    row = str(page.locator("#verdicts tbody tr:not([hidden]) td a").nth(2).get_attribute("href"))
    page.locator("#verdicts tbody tr:not([hidden]) td a").nth(2).click()
    _wait_for_address(page, f"at={row[1:]}")
    _wait_for_address(page, "q=depth")
    address = page.evaluate("location.hash")
    again = open_page(address=address)
    assert shown(again) == shown(page)
    assert 0 < len(shown(again)) < again.locator("#verdicts tbody tr").count()
    assert open_claims(again) == open_claims(page) != []
    assert in_sight(again, row)
    for control in ("#filter-text", "#filter-family", "#sort"):
        assert again.locator(control).input_value() == page.locator(control).input_value()
    assert again.locator("#descending").is_checked()


def test_a_plain_place_and_an_address_of_another_report_do_no_harm(open_page: Open) -> None:
    page = open_page(address="#row-40")
    assert in_sight(page, "#row-40")
    odd = open_page(address="#q=%3Cb%3E&sort=99.effect&family=none&open=live-999&at=nowhere&x=1")
    assert odd.locator("#filter-text").input_value() == "<b>"
    assert odd.locator("#sort").input_value() == ""
    assert odd.locator("#shown b").count() == 0


# --- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report.html", "many.html", "both.html"])
def test_nothing_is_wider_than_the_screen_or_cut_off(open_page: Open, name: str) -> None:
    page = open_page(name)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= screen
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *, header *')].filter(one => {
          if (!one.checkVisibility() || one.closest('.scroll, .visually-hidden, svg, thead')) return false;
          const r = one.getBoundingClientRect();
          return r.right > innerWidth + 1 || r.left < -1;
        }).map(one => one.outerHTML.slice(0, 120))"""
    )
    assert outside == []
    region = page.locator(".scroll").first
    scrolls = region.evaluate("one => [one.scrollWidth > one.clientWidth, getComputedStyle(one).overflowX]")
    assert not scrolls[0] or scrolls[1] == "auto"  # what is wider than its region can be scrolled to


def test_figures_fit_and_enlarge(page: Any) -> None:
    image = page.locator("figure img").first
    image.scroll_into_view_if_needed()
    box, screen = image.bounding_box(), page.viewport_size["width"]
    assert box["x"] >= 0 and box["x"] + box["width"] <= screen
    page.get_by_role("button", name="Enlarge: Rank of norms: a").click()
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert dialog.locator("img").bounding_box()["width"] >= 1200
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.wait_for_function("document.activeElement.className === 'enlarge'")


def test_figures_are_dark_on_a_dark_ground_and_left_alone_on_a_light_one(page: Any) -> None:
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    image = page.locator("figure img").first
    image.scroll_into_view_if_needed()
    png = image.screenshot()
    # The picture is white: its middle, as seen on the screen, must have turned dark or stayed white.
    brightness = page.evaluate(
        """async bytes => {
          const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)], {type: 'image/png'}));
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext('2d');
          context.drawImage(bitmap, 0, 0);
          return Math.max(...context.getImageData(bitmap.width >> 1, bitmap.height >> 1, 1, 1).data.slice(0, 3));
        }""",
        list(png),
    )
    assert brightness < 60 if dark else brightness == 255
    assert page.locator(".only-dark").is_visible() == dark


def test_words_are_readable_on_their_ground(page: Any) -> None:
    page.get_by_role("button", name="Open all").click()
    poor = page.evaluate(
        """() => {
          const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
          const light = ([r, g, b]) => [r, g, b].map(linear)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const colour = text => text.match(/[\\d.]+/g).map(Number);
          const ground = one => {
            for (; one; one = one.parentElement) {
              const found = colour(getComputedStyle(one).backgroundColor);
              if (found.length < 4 || found[3] > 0) return found;
            }
          };
          const poor = new Set();
          for (const one of document.querySelectorAll('body *')) {
            const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
            if (!own || one.closest('svg, script, style, option') || !one.checkVisibility()) continue;
            const [a, b] = [light(colour(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
            if ((a + 0.05) / (b + 0.05) < 4.5) poor.add(one.className + ' ' + ((a + 0.05) / (b + 0.05)).toFixed(2));
          }
          return [...poor];
        }"""
    )
    assert poor == []


def test_controls_have_names_and_the_page_one_main_part_and_focus_is_seen(page: Any) -> None:
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    for control in page.locator("input, select, button").all():
        name = control.evaluate(
            "e => e.getAttribute('aria-label') || (e.labels && e.labels[0] || e).textContent.trim()"
        )
        assert name
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(12):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))"
        )
        assert style[0] == "solid" and style[1] >= 2


# --- several runs, no scripts, weight ---------------------------------------------------------------


def test_runs_stand_side_by_side_with_what_changed(open_page: Open) -> None:
    page = open_page("both.html")
    assert page.locator("#changes h3").inner_text() == "new against old: some worse"
    first = page.locator("#verdicts tbody tr").first
    assert [cell.get_attribute("data-label") for cell in first.locator("td[data-label]").all()] == [
        "a · old", "a · new", "b · old", "b · new",
    ]  # fmt: skip
    everything = len(shown(page))
    page.check("#filter-changed")
    page.wait_for_function(f"document.querySelectorAll('#verdicts tbody tr:not([hidden])').length < {everything}")
    rows = page.locator("#verdicts tbody tr:not([hidden])")
    assert rows.count() > 0
    assert all(row.locator(".change").first.inner_text() == "▼" for row in rows.all())
    _wait_for_address(page, "changed=1")
    audits = page.locator("#audits tbody tr th bdi").all_inner_texts()
    assert len(set(audits)) == len(audits) > 0  # the same in both runs, and there once


def test_it_weighs_little_and_opening_it_is_little_work(browser: Any, folder: Path) -> None:
    # Counted, since how long a browser takes says as much of the machine as of the page.
    path = folder / "many.html"
    assert path.stat().st_size < 8_000_000
    opened = browser.new_page()
    opened.goto(path.as_uri(), wait_until="load")
    elements = opened.evaluate("document.querySelectorAll('*').length")
    opened.close()
    assert elements < 32_000  # some sixty for each of nearly 400 results, the script's own among them


def test_everything_is_there_without_scripts_and_on_paper(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto((folder / "report.html").as_uri())
    assert opened.locator("#filters").is_hidden()
    assert opened.locator("#verdicts tbody tr").count() > 50
    assert opened.locator("#row-20").is_visible()  # no claim is folded where nothing could open it
    opened.emulate_media(media="print")
    assert opened.locator("#verdicts").is_visible()
    assert opened.pdf()[:5] == b"%PDF-"
    context.close()


def test_verdicts_have_signs_beside_colours(page: Any) -> None:
    for word, sign in formatting.SIGNS.items():
        cells = page.locator(f"#verdicts td.v-{word} .sign")
        assert cells.count() > 0
        assert set(cells.all_inner_texts()) == {sign}
