"""What a run prints at its end: errors, the matrix of claims and models, and what can be done next."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from moe_claims.printable import one_line
from moe_claims.pytest_plugin.collector import COLLECTED
from moe_claims.pytest_plugin.run_options import SETTINGS, settings_of
from moe_claims.pytest_plugin.status import for_last_line, screen_of
from moe_claims.report.screen import Screen
from moe_claims.types import NOT_ASKED_IN_FAMILY

DOCUMENT = pytest.StashKey[dict[str, Any]]()
"""The results document of the run."""
FILES = pytest.StashKey[list[Path]]()
"""The files of the report."""
NO_SUMMARY = pytest.StashKey[str | None]()
"""Why the summary of the step was not written; None if it was, or if there is none to write."""

_LEFT_OUT = (
    "tests on models that were not asked for count as p = 1 in the corrections, "
    "so that no adjusted p is smaller than in the whole run"
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Generator[None, None, None]:
    """Prints our part after all others, so that only pytest's last line follows."""
    yield
    screen, verbosity = screen_of(config), config.option.verbose
    if DOCUMENT in config.stash:
        for_last_line(terminalreporter, config)
        _print_results(terminalreporter, config, screen, verbosity)
    if config.stash[COLLECTED].stopped and SETTINGS in config.stash:
        kept = one_line(settings_of(config).cache)
        text = f"stopped: what was measured is kept in '{kept}', and the same command goes on from there"
        terminalreporter.write_line(screen.paragraph(text, whole=True))


def _print_results(reporter: Any, config: pytest.Config, screen: Screen, verbosity: int) -> None:
    from moe_claims.report import table

    document = config.stash[DOCUMENT]
    papers = ", ".join(one_line(pack["paper"]) for pack in document["packs"])
    reporter.write_sep("=", screen.plain(f"reproducibility of {papers or 'nothing'}"))
    if text := table.summary(document, screen, verbosity=verbosity):
        reporter.write_line(f"{text}\n")
    if any(row["details"].get(NOT_ASKED_IN_FAMILY) for row in document["results"]):
        reporter.write_line(screen.paragraph(_LEFT_OUT))
    reasons = (found.get("reason") for found in config.stash[COLLECTED].rows("pictures"))
    for reason in dict.fromkeys(filter(None, reasons)):
        reporter.write_line(screen.paragraph(f"no figures in the report: {one_line(reason)}", colour="yellow"))
    if warning := config.stash.get(NO_SUMMARY, None):
        reporter.write_line(screen.paragraph(f"warning: {one_line(warning)}", colour="yellow"))
    for line in _last_lines(document, config.stash[FILES], verbosity):
        reporter.write_line(screen.paragraph(line, whole=True))


def _last_lines(document: dict[str, Any], files: list[Path], verbosity: int) -> list[str]:
    """Where the report is; and, unless pytest is asked to be quiet, what to do next and what the exit status means."""
    report = "report: " + ", ".join(one_line(path) for path in files)
    if verbosity < 0:
        return [report]
    results, page = (next((one_line(path) for path in files if path.suffix == end), "") for end in (".json", ".html"))
    nexts = [
        f"open {page} in a browser" if page else "",
        f"intervals: pytest -v, or python -m moe_claims report {results}" if results else "",
        "one claim in full: pytest -vv, or python -m moe_claims claims --full NAME",
    ]
    broken = len({error["message"] for error in document["errors"]})
    meaning = "a claim that does not replicate is a finding, not a malfunction"
    return [
        report,
        f"next: {'; '.join(filter(None, nexts))}",
        f"{meaning}; {broken} thing(s) could not be measured" if broken else meaning,
    ]
