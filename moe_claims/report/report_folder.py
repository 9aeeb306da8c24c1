"""The folder of a report: the results file, and what people read made of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_claims.printable import printable_throughout
from moe_claims.report import html, markdown, results
from moe_claims.report.html import pictures

FIGURES = "figures"
"""Folder of the pictures, with their list."""


def write(folder: Path, document: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]] = ()) -> list[Path]:
    """Writes ``results.json``, ``report.md`` and ``report.html``; each whole or not at all.

    Args:
        folder: made if it is not there.
        document: the results document.
        drawn: figures of models, as ``figures.json`` lists them; their pictures lie in ``figures/`` already.

    Returns:
        The three files.
    """
    files = [folder / name for name in ("results.json", "report.md", "report.html")]
    results.write(files[0], document)  # before anything is made of it, so that nothing that follows can lose it
    results.write_text(files[1], markdown.render(document))
    listed = folder / FIGURES / pictures.LIST
    if any(found["figures"] for found in drawn):
        results.write_text(
            listed, json.dumps(printable_throughout({"models": drawn}), indent=1, ensure_ascii=False) + "\n"
        )
    else:
        listed.unlink(missing_ok=True)  # of an earlier run, on other models
    results.write_text(files[2], html.render(document, of(folder)))
    return files


def of(folder: Path) -> list[dict[str, str]]:
    """The figures in a report's folder, as its page shows them."""
    there = (folder / FIGURES / pictures.LIST).exists()
    return pictures.read(folder / FIGURES) if there else []
