"""Signs that steer or hide are written out, all others stay, and nothing is lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.errors import UsageError
from moe_claims.printable import one_line, printable, printable_throughout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ρ ✓ 🙂 שלום", "plain ρ ✓ 🙂 שלום"),
        ("\x1b[31mred\x1b[0m\x07", r"\x1b[31mred\x1b[0m\x07"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("zero\u200bwidth\u00ad\ufeff", r"zero\u200bwidth\xad\ufeff"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("half \udcff", r"half \udcff"),
        ("tag \U000e0041", r"tag \U000e0041"),
    ],
)
def test_what_is_not_printed_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_the_result_is_printed_as_a_whole_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert len(shown) >= len(text)


def test_one_line_joins_lines_and_errors_use_it() -> None:
    assert one_line("a \n\t b\x1b") == r"a b\x1b"
    assert str(UsageError("no 'a\nb\u202e'")) == r"no 'a b\u202e'"


def test_every_text_of_a_document_is_reached_and_numbers_stay() -> None:
    value = {"a\n": ["\x1b", {"b": ("\u202e", 1, 0.5, None, True)}]}
    assert printable_throughout(value) == {r"a\n": [r"\x1b", {"b": [r"\u202e", 1, 0.5, None, True]}]}
    plain = {"a": [1, "b", None]}
    assert json.dumps(printable_throughout(plain)) == json.dumps(plain)
