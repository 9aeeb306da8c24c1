"""The step summary of GitHub Actions: a file that a step of a workflow adds Markdown to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "GITHUB_STEP_SUMMARY"
"""Environment variable that names the file."""


def add_summary(document: Mapping[str, Any], folder: Path) -> str | None:
    """Adds a summary of the results to the step's, where the run is a step of a workflow.

    Args:
        document: the results document.
        folder: of the report.

    Returns:
        One line on why there is no summary; None if there is, or none is wanted.
    """
    if not os.environ.get(VARIABLE):
        return None
    from moe_claims.report.step_summary import LARGEST, render

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
