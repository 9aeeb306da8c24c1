"""Text and tables that fit a terminal: nothing is wider than it, and no number is folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.report.screen import Screen

names = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF).filter(str.isprintable), max_size=60)


@given(name=names, width=st.integers(4, 40))
def test_a_folded_name_loses_nothing_but_spaces_and_fits(name: str, width: int) -> None:
    screen = Screen()
    lines = screen.folded(name, width)
    assert "".join("".join(lines).split()) == "".join(name.split())
    assert all(screen.columns(line) <= width for line in lines)


def test_a_name_is_folded_after_punctuation_and_not_inside_a_number() -> None:
    assert Screen().folded("tiny-upcycled", 9) == ["tiny-", "upcycled"]
    assert Screen().folded("org/Model-7B", 8) == ["org/", "Model-7B"]
    assert Screen().folded("noise=0.25&x=1.5", 12) == ["noise=0.25&", "x=1.5"]


@given(text=names, width=st.integers(20, 60))
def test_a_paragraph_fits_and_loses_nothing(text: str, width: int) -> None:
    said = Screen(width).paragraph(text, first="  ")
    assert "".join(said.split()) == "".join(text.split())
    assert all(Screen().columns(line) <= width for line in said.splitlines())


def test_paths_that_are_to_be_copied_and_sentences_of_a_log_stay_whole() -> None:
    path = "/a/very/long/path/" + "x" * 60
    assert path in Screen(40).paragraph(f"report: {path}", whole=True)
    text = "one sentence of several words " * 5
    assert "\n" not in Screen(40, wraps=False).paragraph(text)


def test_parts_of_a_list_are_broken_between_parts() -> None:
    said = Screen(30).listed(["0.63 [0.60, 0.66]", "adj. p ≤ 0.001", "paper 0.63 (3 of 4)"], first="  ")
    assert said == "  0.63 [0.60, 0.66],\n  adj. p ≤ 0.001,\n  paper 0.63 (3 of 4)"


def test_colour_is_there_only_where_it_is_wanted_and_takes_no_room() -> None:
    cells = [["a", ("✓ 0.63", "green")], ["b", ("✗ -0.10", "red")]]
    plain, coloured = (Screen(80, colour).table(["claim", "m"], cells, {}) for colour in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[32m✓ 0.63" in coloured
    assert "\x1b[31m✗ -0.10" in coloured
    assert Screen(80, True).painted("no", "") == "no"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_stay_apart_where_the_encoding_lacks_them(encoding: str) -> None:
    screen = Screen(encoding=encoding)
    signs = [screen.plain(sign) for sign in "✓~✗○?–†"]
    assert signs == ["v", "~", "x", "o", "?", "-", "*"]
    said = screen.plain("ρ ≥ 0.1 – 模型 é")
    assert said.encode(encoding).decode(encoding) == said
    assert said.startswith("rho >= 0.1 - \\u6a21")
    assert screen.columns("ρ") == 3


def test_where_all_signs_can_be_shown_text_is_left_alone() -> None:
    assert Screen().plain("✓ ρ ≥ 0.1 模") == "✓ ρ ≥ 0.1 模"
    assert Screen().columns("模") == 2


@given(cells=st.lists(names, min_size=1, max_size=4), width=st.integers(10, 30))
def test_a_table_shows_every_cell(cells: list[str], width: int) -> None:
    shown = Screen(10).table(["claim", "x"], [[cell, "-0.1234"] for cell in cells], {0: width})
    assert shown.count("-0.1234") == len(cells)
    for cell in cells:
        for line in Screen().folded(cell, width):
            assert line in shown
