"""Progress in a pytest run: below pytest's line and gone afterwards, or lines that stay; it breaks no line."""

from collections.abc import Callable
from typing import Any

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from moe_claims._util import progress
from moe_claims.pytest_plugin.progress_line import progress_shown

progress._SILENT_FOR = progress._SHOW_EVERY = progress._LINE_EVERY = 0.0

@pytest.fixture
def measured(request):
    with progress_shown(request.config):
        for _ in progress.track(range(3), "measuring", unit="layers"):
            print("noise of a library")

def test_before(): pass
def test_one(measured): pass
def test_two(measured): pass
def test_after(): pass
"""

on_a_line_of_its_own = pytest.mark.skipif(
    pytest.version_tuple < (9,), reason="before pytest 9, progress on a terminal is a line every ten seconds too"
)


@pytest.fixture(autouse=True)
def tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_long=TESTS)


@on_a_line_of_its_own
def test_on_a_terminal_it_is_shown_and_taken_away(in_terminal: Callable[..., Any]) -> None:
    shown = in_terminal(80)
    assert shown.status == 0
    assert shown.raw.count("measuring: 3/3 layers in 0 s, about 0 s left") == 2
    assert "measuring" not in shown.text
    assert "noise" not in shown.raw
    (line,) = [line for line in shown.lines if line.startswith("test_long.py")]
    assert line.split() == ["test_long.py", "....", "[100%]"]


@on_a_line_of_its_own
def test_lines_with_names_of_tests_stay_whole(in_terminal: Callable[..., Any]) -> None:
    shown = in_terminal(60, "-v")
    names = [line.split()[:2] for line in shown.lines if line.startswith("test_long.py::")]
    assert names == [[f"test_long.py::test_{name}", "PASSED"] for name in ("before", "one", "two", "after")]
    assert "measuring" in shown.raw


@on_a_line_of_its_own
def test_a_long_label_is_shortened_and_its_numbers_are_not(
    in_terminal: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_long=TESTS.replace('"measuring"', '"measuring " + "x" * 200'))
    shown = in_terminal(60)
    written = [part for part in shown.raw.split("\r") if "layers in" in part]
    assert written
    for part in written:
        text = part.strip("\n").partition("\x1b[K")[0]
        assert len(text) <= 59
        assert text.endswith(" s left")
        assert text.startswith("measuring xxx")


@pytest.mark.parametrize("arguments", [(), ("-v",), ("-s",)], ids=str)
def test_elsewhere_lines_stay_each_on_its_own(arguments: tuple[str, ...], pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(*arguments)
    lines = [line for line in result.outlines if "measuring" in line]
    assert len(lines) == 6
    assert all(line.startswith("measuring: ") and line.endswith(" s left") for line in lines)


def test_quiet_and_workers_show_none(in_terminal: Callable[..., Any]) -> None:
    assert "measuring" not in in_terminal(80, "-q").raw
    assert "measuring" not in in_terminal(80, "-p", "no:terminal").raw
    pytest.importorskip("xdist")
    assert "measuring" not in in_terminal(80, "-n", "2").raw


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(in_terminal: Callable[..., Any]) -> None:
    shown = in_terminal(80, TERM="dumb")
    assert sum(line.startswith("measuring: ") for line in shown.lines) == 6
    assert "\x1b[A" not in shown.raw


@on_a_line_of_its_own
def test_it_is_taken_away_when_the_work_fails(in_terminal: Callable[..., Any], pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_long=TESTS.replace('print("noise of a library")', "assert _ < 2"))
    shown = in_terminal(80)
    assert "measuring: 2/3" in shown.raw
    assert not any(line.startswith("measuring") for line in shown.lines)
    (line,) = [line for line in shown.lines if line.startswith("test_long.py .")]
    assert line.split()[1] == ".EE."
