"""Attaches results to pytest's test reports: in full for our report, as properties for JUnit XML, as HTML tables.

Full rows are an attribute of the test report, which pytest-xdist transfers from its workers like other attributes.
User properties, which JUnit XML contains, are a short selection for readers and their tools.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import pytest

from moe_claims.pytest_plugin import parametrize, properties

_FOUND = pytest.StashKey[list[tuple[str, str]]]()
_TABLES = pytest.StashKey[list[str]]()
_ATTRIBUTE = "moe_claims"
"""Name of the attribute of a test report that holds the pairs (kind, JSON)."""


def attach(item: pytest.Item, kind: str, content: Mapping[str, Any]) -> None:
    """Stores a row that a test produced, until pytest makes the report of the test's current phase.

    Args:
        item: the test.
        kind: part of the results document in the singular, such as ``result``.
        content: a row of that part; numbers must be finite.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    # As JSON, since xdist transfers only plain types; NaN is not allowed.
    item.stash.setdefault(_FOUND, []).append((kind, json.dumps(content, allow_nan=False)))
    known = item.user_properties
    known += [found for found in properties.properties(kind, content) if found not in known]


def put_on_report(item: pytest.Item, report: pytest.TestReport) -> None:
    """Moves the rows attached since the last report to this test report, and as tables to pytest-html's page."""
    found = item.stash.get(_FOUND, [])
    if found:
        del item.stash[_FOUND]
        setattr(report, _ATTRIBUTE, [list(pair) for pair in found])
    pytest_html = item.config.pluginmanager.getplugin("html")
    if not getattr(item.config.option, "htmlpath", None) or not hasattr(pytest_html, "extras"):
        return
    tables = item.stash.setdefault(_TABLES, [])
    tables += [table for table in (properties.html(kind, json.loads(content)) for kind, content in found) if table]
    # Before 4.2, pytest-html shows of a test only what is on the report of the phase that settled its outcome.
    if report.when == "call" or not report.passed:
        before = getattr(report, "extras", [])
        setattr(report, "extras", [*before, *map(pytest_html.extras.html, tables)])  # noqa: B010 - an attribute of pytest-html
        del item.stash[_TABLES]


def attachments_of(report: pytest.TestReport) -> list[tuple[str, str]]:
    """The pairs (kind, JSON) of a test report."""
    return [(kind, content) for kind, content in getattr(report, _ATTRIBUTE, [])]


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_html_results_table_row(report: pytest.TestReport, cells: list[str]) -> None:
    """Escapes the names of our tests, which contain names of models; pytest-html inserts names as HTML."""
    if set(parametrize.MARKERS) & set(report.keywords):
        name = report.nodeid
        cells[:] = [cell.replace(name, escape(name)) for cell in cells]
