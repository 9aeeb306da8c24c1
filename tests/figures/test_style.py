"""What all figures share: tick labels, layers, limits, and text that stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.figures import style


@pytest.mark.parametrize(
    ("count", "last", "labels"),
    [
        (8, None, ["0", "1", "2", "3", "4", "5", "6", "7"]),
        (8, "F", ["0", "1", "2", "3", "4", "5", "6", "7", "F"]),
        (64, None, ["0", "8", "16", "24", "32", "40", "48", "56"]),
        (64, "SE", ["0", "8", "16", "24", "32", "40", "48", "56", "SE"]),
        (62, "SE", ["0", "8", "16", "24", "32", "40", "48", "SE"]),
    ],
)
def test_labels_of_experts_are_thinned(count: int, last: str | None, labels: list[str]) -> None:
    places, found = style.ticks(count, last)
    assert found == labels
    assert places == [count if label == last else int(label) for label in labels]


@given(st.integers(1, 2000), st.integers(2, 20))
def test_there_are_never_more_labels_than_have_room(count: int, most: int) -> None:
    places, labels = style.ticks(count, most=most)
    assert 1 <= len(places) <= most
    assert labels == [str(place) for place in places]
    assert places[-1] < count


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$x^2$ <b>", "$x^2$ <b>"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("a\u202eb\u200dc\u2066d", "a\\u202eb\\u200dc\\u2066d"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("漢\U0001f9ff", "\\u6f22\\U0001f9ff"),
        ("x" * 300, "x" * 59 + "…"),
        ("", ""),
    ],
)
def test_text_is_made_inert(text: str, shown: str) -> None:
    assert style.inert(text) == shown


@given(st.text())
def test_whatever_a_name_holds_the_font_can_write_it(text: str) -> None:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    shown = style.inert(text)
    assert len(shown) <= 60
    assert all(font.get_char_index(ord(sign)) for sign in shown)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=90, unique=True).map(sorted), st.integers(2, 12))
def test_layers_are_spread_with_both_ends(layers: list[int], most: int) -> None:
    found = style.spread(layers, most)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(layers)
    assert len(found) == min(len(layers), most)
    assert (found[0], found[-1]) == (layers[0], layers[-1])


@given(st.integers(1, 200), st.integers(1, 20))
def test_blocks_hold_every_column_once(count: int, across: int) -> None:
    blocks = style.in_blocks(count, across)
    assert [column for block in blocks for column in block] == list(range(count))
    assert max(map(len, blocks)) <= across
    assert len(blocks) == -(-count // max(map(len, blocks)))


def test_layers_are_named_with_what_is_left_out() -> None:
    assert style.named((0, 5), 2) == "Layers shown: 0, 5 (all MoE layers)."
    assert style.named((0, 5), 32) == "Layers shown: 0, 5 (2 of 32 MoE layers; --layers draws others)."


@pytest.mark.parametrize(
    ("value", "limit"), [(0.0, 0.0), (0.0411, 0.042), (0.31, 0.31), (0.999, 1.0), (-0.0411, -0.042), (7.01, 7.1)]
)
def test_limits_have_two_digits_and_hide_nothing(value: float, limit: float) -> None:
    assert style.rounded(value) == pytest.approx(limit)
