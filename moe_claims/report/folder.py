"""The folder of a report: the results file, and what people read made of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_claims.report import html, markdown, results


def write(folder: Path, document: Mapping[str, Any], figures: Sequence[Mapping[str, str]] = ()) -> list[Path]:
    """Writes ``results.json``, ``report.md`` and ``report.html``; each whole or not at all.

    Args:
        folder: made if it is not there.
        document: the results document.
        figures: for the page, as ``report.html.render`` takes them.

    Returns:
        The files.
    """
    files = [folder / name for name in ("results.json", "report.md", "report.html")]
    results.write(files[0], document)  # before anything is made of it, so that nothing that follows can lose it
    results.write_text(files[1], markdown.render(document))
    results.write_text(files[2], html.render(document, figures))
    return files
