"""How pytest shows the test of a claim or of an audit: by the sign, colour and word of what was found.

A test is shown so if its verdict ended it: it passed, or ``conclude`` failed or skipped it. What else goes wrong in a
test, such as an assertion of its own, is shown as pytest shows it. Outcomes of reports, and with them the exit status,
stay.
"""

import sys
from collections.abc import Generator
from typing import Any

import pytest

from moe_claims.pytest_plugin import parametrize
from moe_claims.pytest_plugin.outcomes import said
from moe_claims.report.formatting import AUDIT_SIGNS, SIGNS
from moe_claims.report.screen import SIGN_COLOURS, Screen
from moe_claims.types import Audit, Result

_FOUND = "moe_claims_found"
"""Name of the attribute of a test report that holds the verdict or the outcome of the audit, also across xdist."""

CATEGORIES = {**SIGNS, **AUDIT_SIGNS}
"""Every verdict and every outcome of audits → its sign, in the order of pytest's last line."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes on the report what was found, if that ended the test."""
    raised = None if call.excinfo is None else call.excinfo.value
    report = yield
    found = getattr(item, "funcargs", {}).get("moe_result")
    ours = report.when == "call" and any(item.get_closest_marker(name) for name in parametrize.MARKERS)
    if ours and isinstance(found, Result | Audit) and (report.passed or _by_verdict(raised, found)):
        word = found.verdict if isinstance(found, Result) else found.outcome
        setattr(report, _FOUND, word.value)
    return report


def _by_verdict(raised: BaseException | None, found: Result | Audit) -> bool:
    ends = isinstance(raised, pytest.fail.Exception | pytest.skip.Exception)
    return ends and str(raised) == said(found)


def pytest_report_teststatus(report: Any, config: pytest.Config) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Category, sign, and word with colour of a test that its verdict ended; None for all others."""
    word = getattr(report, _FOUND, None)
    if word not in CATEGORIES or report.outcome not in ("passed", "failed", "skipped") or hasattr(report, "wasxfail"):
        return None
    sign = screen_of(config).plain(CATEGORIES[word])
    colour = SIGN_COLOURS[word]
    return word, sign, (f"{sign} {word}", {colour: True} if colour else {})


_SCREEN = pytest.StashKey[Screen]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Notes what the terminal is like, which pytest's capturing hides while tests run."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:  # there is none in workers of xdist
        writer = session.config.get_terminal_writer()
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        wraps = bool(reporter.isatty)
        session.config.stash[_SCREEN] = Screen(writer.fullwidth, writer.hasmarkup, encoding, wraps)


def screen_of(config: pytest.Config) -> Screen:
    """The terminal as pytest writes to it; a plain one where pytest has none, as in workers of xdist."""
    return config.stash.get(_SCREEN, Screen())


def for_last_line(reporter: Any, config: pytest.Config) -> None:
    """Orders the categories that pytest's last line counts, and shortens them if the line were wider than the terminal.

    Then signs, which the legend explains, take the place of words, and audits are one category.
    """
    stats, screen = reporter.stats, screen_of(config)
    session = config.pluginmanager.getplugin("session")
    # Of a run that was stopped, pytest counts only categories that it has met.
    # pytest before 9 knows the tests that were reported by their ids alone.
    done = getattr(reporter, "reported_progress", None)
    done = len(getattr(reporter, "_progress_nodeids_reported", ())) if done is None else done
    complete = session is not None and session.testscollected == done
    counts = ", ".join(f"{len(reports)} {category}" for category, reports in stats.items() if category and reports)
    short = complete and bool(reporter.isatty) and len(f"= {counts} in 1000.00s (0:16:40) =") > screen.width
    for category, sign in CATEGORIES.items():
        if category in stats:
            reports = stats.pop(category)
            name = category if not short else "audits" if category in AUDIT_SIGNS else screen.plain(sign)
            stats[name] = [*stats.get(name, []), *reports]
