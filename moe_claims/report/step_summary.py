"""The step summary of a GitHub workflow: paths of the report, tallies, and verdicts side by side."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_claims.report.markdown import errors, summary
from moe_claims.report.markdown_text import escape, table
from moe_claims.report.model_matrix import LEGEND, short, side_by_side

Row = Mapping[str, Any]

VARIABLE = "GITHUB_STEP_SUMMARY"
"""Environment variable with the path of the file to which a step appends Markdown."""
LARGEST = 1024 * 1024
"""Largest size of a step's summaries in bytes; GitHub shows nothing of a larger one."""


def render(document: Row, folder: Path, room: int = LARGEST) -> str:
    """The summary as Markdown of at most ``room`` bytes; if lines are left out, it says how many.

    Args:
        document: the results document.
        folder: where ``results.json`` and ``report.md`` were written.
        room: bytes that may be used, in UTF-8.

    Returns:
        The summary, after an empty line; the empty string if not even its first lines fit.
    """
    files = " and ".join(f"<code>{escape(folder / name)}</code>" for name in ("results.json", "report.md"))
    head = f"\n## Reproducibility report\n\nThe report is in {files}.\n"
    parts = [summary(document), *_verdicts(document), errors(document["errors"])]
    lines = [f"{line}\n" for part in parts if part for line in ("", *part.splitlines())]
    whole = head + "".join(lines)
    if _size(whole) <= room:
        return whole
    left = room - _size(head) - _size(_shortened(len(lines), len(lines)))
    kept = 0
    for line in lines:
        left -= _size(line)
        if left < 0:
            break
        kept += 1
    if kept == 0:
        return ""
    return head + "".join(lines[:kept]) + _shortened(len(lines) - kept, len(lines))


def _size(text: str) -> int:
    return len(text.encode())


def _shortened(left_out: int, lines: int) -> str:
    return f"\n**Shortened**: {left_out:,} of {lines:,} lines are left out here; the report has all of them.\n"


def _verdicts(document: Row) -> list[str]:
    """The matrix of verdicts as a Markdown table, and its legend."""
    found = side_by_side(document["results"])
    if not found.rows:
        return []
    rows = [[escape(claim), *(escape(short(row)) for row in of_models)] for claim, of_models in found.rows]
    return [table(["claim", *map(escape, found.models)], rows), escape(LEGEND)]


def add_summary(document: Mapping[str, Any], folder: Path) -> str | None:
    """Appends the summary to the file of the workflow step, if the run is one.

    Args:
        document: the results document.
        folder: folder of the report.

    Returns:
        A warning that says why there is no summary; None if it was written or the run is not in a workflow.
    """
    if not os.environ.get(VARIABLE):
        return None
    path = Path(os.environ[VARIABLE])
    try:
        already = path.stat().st_size if path.exists() else 0
        text = render(document, folder, LARGEST - already)
        if not text:
            return f"no step summary: '{path}' holds {already:,} bytes, and GitHub shows at most {LARGEST:,}"
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        return f"no step summary: {VARIABLE} is '{path}', which cannot be written ({error.strerror})"
    return None
