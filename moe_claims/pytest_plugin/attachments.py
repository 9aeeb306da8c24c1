"""How a test hands on what it found: whole to the report, flat to JUnit's file, and as a table to pytest-html's.

What the report needs travels as an attribute of pytest's test report, which xdist carries from its workers like any
other; user properties, which JUnit's file prints, hold only what people and their tools look for.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import pytest

from moe_claims.pytest_plugin import parametrize, properties

_FOUND = pytest.StashKey[list[tuple[str, str]]]()
_ATTRIBUTE = "moe_claims"
"""Of a test report: pairs of kind and JSON."""


def attach(item: pytest.Item, kind: str, content: Mapping[str, Any]) -> None:
    """Keeps what a test found, until the report of its phase is made.

    Args:
        item: the test.
        kind: part of the results document in the singular, such as ``result``.
        content: a row of that part; numbers are finite.
    """
    # JSON, since only plain types travel between processes, and NaN must not.
    item.stash.setdefault(_FOUND, []).append((kind, json.dumps(content, allow_nan=False)))
    known = item.user_properties
    known += [found for found in properties.properties(kind, content) if found not in known]


def hand_on(item: pytest.Item, report: pytest.TestReport) -> None:
    """Puts onto a test report what was attached since the last one."""
    found = item.stash.get(_FOUND, [])
    if not found:
        return
    del item.stash[_FOUND]
    setattr(report, _ATTRIBUTE, [list(pair) for pair in found])
    pytest_html = item.config.pluginmanager.getplugin("html")
    if getattr(item.config.option, "htmlpath", None) and hasattr(pytest_html, "extras"):
        tables = [table for table in (properties.html(kind, json.loads(content)) for kind, content in found) if table]
        before = getattr(report, "extras", [])
        setattr(report, "extras", [*before, *map(pytest_html.extras.html, tables)])  # noqa: B010 - made up by pytest-html


def handed_on(report: pytest.TestReport) -> list[tuple[str, str]]:
    """Kind and content, as JSON, of what a test report brings."""
    return [(kind, content) for kind, content in getattr(report, _ATTRIBUTE, [])]


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_html_results_table_row(report: pytest.TestReport, cells: list[str]) -> None:
    """Escapes the names of our own tests, which hold names of models; pytest-html takes every name for HTML."""
    if set(parametrize.MARKERS) & set(report.keywords):
        name = report.nodeid
        cells[:] = [cell.replace(name, escape(name)) for cell in cells]
