"""The folder of a report: the results file, and the report as Markdown and HTML."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moe_claims.printable import printable_throughout
from moe_claims.report import html, markdown, results
from moe_claims.report.html import pictures

FIGURES = "figures"
"""Name of the subfolder with the figures and their list."""


def write(folder: Path, document: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]] = ()) -> list[Path]:
    """Writes ``results.json``, ``report.md`` and ``report.html``; each whole or not at all.

    Args:
        folder: the folder, created if missing.
        document: the results document.
        drawn: entries of models for ``figures.json``; the figures were written to ``figures/`` before.

    Returns:
        Paths of the three files.
    """
    files = [folder / name for name in ("results.json", "report.md", "report.html")]
    results.write(files[0], document)  # first, so that no later error can lose it
    results.write_text(files[1], markdown.render(document))
    listed = folder / FIGURES / pictures.LIST
    if any(figure["files"] for found in drawn for figure in found["figures"]):
        results.write_text(
            listed, json.dumps(printable_throughout({"models": drawn}), indent=1, ensure_ascii=False) + "\n"
        )
    else:
        listed.unlink(missing_ok=True)  # it belongs to an earlier run
        with suppress(OSError):  # no such folder, or one that holds something
            listed.parent.rmdir()
    results.write_text(files[2], html.render(document, page_figures(folder)))
    return files


def page_figures(folder: Path) -> list[dict[str, str]]:
    """The figures in a report's folder, as ``html.render`` takes them; empty if there are none."""
    there = (folder / FIGURES / pictures.LIST).exists()
    return pictures.read(folder / FIGURES) if there else []
