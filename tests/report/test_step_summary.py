"""The summary of a step: what it says, that it fits where it must, and that it is never in the way of the report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.report import results, step_summary
from moe_claims.report.step_summary import VARIABLE, add_summary
from moe_claims.types import Verdict

Maker = Callable[..., dict[str, Any]]
FOLDER = Path("some_where")


def test_it_says_where_the_report_is_tallies_and_verdicts(made_row: Maker, made_document: Maker) -> None:
    rows = [made_row(), made_row(model="b", verdict=Verdict.ABSENT, effect=-0.004)]
    errors = [{"model": "c", "claim": "x", "message": "has no config.json"}]
    text = step_summary.render(made_document(rows, errors=errors), FOLDER)
    assert "The report is in <code>some&#95;where/results.json</code> and <code>" in text
    assert "- Audits of the paper's printed numbers: 1 disagrees\n- Live measurements: 1 replicated, 1 absent\n" in text
    assert "| claim | a-model | b |\n|---|---|---|\n| router-norm &#91;total&#93; | ✓ 0.63 | ○ -0.004 |\n" in text
    assert "? inconclusive" in text
    assert "- **c**: has no config.json" in text
    assert "Shortened" not in text


def test_without_live_rows_there_is_no_table(made_document: Maker) -> None:
    assert "|" not in step_summary.render(made_document([], models=[], corpora=[]), FOLDER)


@pytest.fixture
def long(made_row: Maker, made_document: Maker) -> dict[str, Any]:
    return made_document([made_row(claim=f"claim-ρ-{i}") for i in range(200)])


@pytest.mark.parametrize("room", [600, 1000, 2000, 5000])
def test_what_does_not_fit_is_left_out_from_the_end_and_counted(long: dict[str, Any], room: int) -> None:
    whole = step_summary.render(long, FOLDER)
    text = step_summary.render(long, FOLDER, room)
    assert room - 100 < len(text.encode()) <= room < len(whole.encode())
    kept, _, note = text.partition("\n**Shortened**: ")
    assert whole.startswith(kept)
    left_out = int(note.partition(" of ")[0].replace(",", ""))
    assert left_out == whole.count("\n") - kept.count("\n")
    assert "the report has all of them" in note


def test_exactly_enough_room_is_enough_and_none_is_none(long: dict[str, Any]) -> None:
    whole = step_summary.render(long, FOLDER)
    assert step_summary.render(long, FOLDER, len(whole.encode())) == whole
    assert "Shortened" in step_summary.render(long, FOLDER, len(whole.encode()) - 1)
    assert step_summary.render(long, FOLDER, 100) == ""
    assert step_summary.render(long, FOLDER, -5) == ""


# --- the file that a step adds to -----------------------------------------------------------------

DOCUMENT: dict[str, Any] = results.document(
    created="2026-01-01", environment={}, packs=[], models=[], corpora=[], results=[], audits=[], errors=[], order={}
)


def test_nothing_is_written_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (None, ""):
        monkeypatch.delenv(VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(VARIABLE, value)
        assert add_summary(DOCUMENT, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_it_is_added_behind_what_other_parts_of_the_step_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "summary"
    file.write_text("before\n")
    monkeypatch.setenv(VARIABLE, str(file))
    assert add_summary(DOCUMENT, tmp_path) is None
    assert file.read_text() == "before\n" + step_summary.render(DOCUMENT, tmp_path)


def test_all_that_the_step_says_stays_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "summary"
    monkeypatch.setenv(VARIABLE, str(file))
    short = len(step_summary.render(DOCUMENT, tmp_path).encode()) - 1
    file.write_text("x" * (step_summary.LARGEST - short))
    assert add_summary(DOCUMENT, tmp_path) is None
    assert file.stat().st_size <= step_summary.LARGEST
    assert "**Shortened**" in file.read_text()
    full = file.read_text() + "x" * (step_summary.LARGEST - file.stat().st_size)
    file.write_text(full)
    said = add_summary(DOCUMENT, tmp_path)
    assert said == f"no step summary: '{file}' holds 1,048,576 bytes, and GitHub shows at most 1,048,576"
    assert file.read_text() == full


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "no" / "summary", "No such file or directory")):
        monkeypatch.setenv(VARIABLE, str(path))
        said = add_summary(DOCUMENT, tmp_path)
        assert said == f"no step summary: {VARIABLE} is '{path}', which cannot be written ({why})"
