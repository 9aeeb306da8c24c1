"""The code of docs/howto-notebook.md, run as written, cell by cell in one process, on smaller models."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moe_claims.report import results

PAGE = Path(__file__).parents[2] / "docs" / "howto-notebook.md"
SMALLER = {
    '"tiny-scratch"': '"synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"',
    'text=["builtin", "my-text.txt"]': 'text=["builtin", "my-text.txt"], tokens=300, layers=[0]',
    "tokens=1000": "tokens=200",
}
_SMALL_AUDITS = """
from moe_claims.packs.look_into_moes.audits import published_code
published_code.MODEL = {grok!r}
"""


def cells() -> list[str]:
    """What stands in the fenced blocks of Python, made smaller."""
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for written, smaller in SMALLER.items():
        found = [cell.replace(written, smaller) for cell in found]
    return found


def test_every_replacement_is_used() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(written in page for written in SMALLER)


def test_ten_lines_go_from_a_model_to_a_frame_and_a_figure() -> None:
    first = cells()[0]
    assert len(first.splitlines()) <= 10
    assert all(said in first for said in ("evaluate(", "to_frame()", "figure("))


@pytest.mark.campaign("long")
def test_the_cells_run_one_after_the_other(grok: Path, tmp_path: Path) -> None:
    shutil.copytree(grok, tmp_path / "my-checkpoint")
    (tmp_path / "my-text.txt").write_text(
        "\n\n".join(f"Passage {i} tells of {i} ships and one sea." for i in range(20))
    )
    (tmp_path / "no-checkpoint").mkdir()
    code = "\n".join([_SMALL_AUDITS.format(grok=str(grok)), *cells()])
    (tmp_path / "cells.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "cells.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout
    assert re.search(r"^live +replicated +\d+$", said, re.MULTILINE)  # counts of verdicts
    assert re.search(r"^no-checkpoint|^\./no-checkpoint .* has no config\.json", said, re.MULTILINE)
    assert "unknown model 'tiny-scrach': did you mean tiny-scratch" in said
    assert "(7, 5, 5)" in said  # the shape of a measurement
    assert re.search(r"^claim +\./my-checkpoint +synthetic:planted", said, re.MULTILINE)  # shown side by side
    assert (tmp_path / "rank-counts.png").read_bytes().startswith(b"\x89PNG")
    document = results.read(tmp_path / "claims-report" / "results.json")
    results.check(document, "saved")
    assert (tmp_path / "claims-report" / "report.html").exists()
    assert any(row["evidence"] == "live" for row in document["results"])
