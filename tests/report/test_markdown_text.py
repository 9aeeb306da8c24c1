"""Markdown's parts: what is escaped is shown as it was, whatever signs it holds."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from moe_claims.printable import one_line
from moe_claims.report.markdown_text import escape, listed, table


@given(st.text())
def test_escaped_text_is_text_again_as_html(text: str) -> None:
    assert html.unescape(escape(html.escape(text))) == one_line(html.escape(text))


@given(st.text(alphabet="\\`*_{}[]()<>#|~!&$:/.w aé1-+=\"'", max_size=30))
def test_escaped_text_is_nothing_but_text_in_a_paragraph_and_in_a_cell(text: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    (inline,) = [token for token in parser.parse(f"x {escape(text)}") if token.type == "inline"]
    assert {child.type for child in inline.children or []} <= {"text", "text_special"}
    page = parser.parse(table(["a", "b"], [[escape(text), "second"]]))
    cells = [token for token in page if token.type == "inline"]
    assert len(cells) == 4
    assert cells[-1].content == "second"


@pytest.mark.parametrize("address", ["https://x.org/a", "www.x.org", "HTTP://x.org", "WWW.x.org"])
def test_addresses_hold_no_sign_by_which_they_become_links(address: str) -> None:
    assert "://" not in escape(address)
    assert "www." not in escape(address).lower()
    assert html.unescape(escape(address)) == address


def test_lists() -> None:
    assert listed(["a*", "b"]) == "a&#42;; b"
    assert listed([]) == "none"
