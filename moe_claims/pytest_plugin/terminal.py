"""What a run prints: progress while it measures, the table of results at the end, and the last lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moe_claims.printable import one_line
from moe_claims.pytest_plugin.collector import COLLECTED
from moe_claims.pytest_plugin.run_options import SETTINGS, settings_of

DOCUMENT = pytest.StashKey[dict[str, Any]]()
"""The results document of the run."""
FILES = pytest.StashKey[list[Path]]()
"""The files of the report."""
NO_SUMMARY = pytest.StashKey[str | None]()
"""Why the summary of the step was not written; None if it was, or if there is none to write."""


@contextmanager
def progress_shown(config: pytest.Config) -> Iterator[None]:
    """Context in which progress is printed despite pytest's capturing, except with ``-q`` and in xdist workers."""
    from moe_claims._util.progress import set_quiet

    set_quiet(config.option.verbose < 0 or hasattr(config, "workerinput"))
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        yield
    else:
        with capture.global_and_fixture_disabled():
            yield


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the table of results and the paths of the report."""
    document = config.stash.get(DOCUMENT, None)
    if document is None:
        return
    from moe_claims.report import table

    writer = terminalreporter
    papers = ", ".join(one_line(pack["paper"]) for pack in document["packs"])
    writer.section(f"reproducibility of {papers or 'nothing'}", sep="=")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    text = table.render(document, width=writer._tw.fullwidth)
    writer.write_line(text.encode(encoding, "replace").decode(encoding))
    writer.write_line("\nreport: " + ", ".join(one_line(path) for path in config.stash[FILES]))
    reasons = (found.get("reason") for found in config.stash[COLLECTED].rows("pictures"))
    for reason in dict.fromkeys(filter(None, reasons)):
        writer.write_line(f"no figures in the report: {one_line(reason)}", yellow=True)
    if warning := config.stash.get(NO_SUMMARY, None):
        writer.write_line(f"warning: {one_line(warning)}", yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Prints the last lines: what is kept of an interrupted run, and what a failed test means."""
    document = config.stash.get(DOCUMENT, None)
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and config.stash[COLLECTED].stopped and SETTINGS in config.stash:
        kept = one_line(settings_of(config).cache)
        reporter.write_line(f"stopped: what was measured is kept in '{kept}', and the same command goes on from there")
    if document is None or reporter is None:
        return
    from moe_claims.report.formatting import SIGNS, tally

    rows = document["results"]
    said = tally(rows, "verdict", SIGNS)
    broken = len({error["message"] for error in document["errors"]})
    line = f"claims: {said or 'none judged'}. A claim that does not replicate is a finding, not a malfunction"
    reporter.write_line(line + (f"; {broken} thing(s) could not be measured." if broken else "."))
