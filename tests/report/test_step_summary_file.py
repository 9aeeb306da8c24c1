"""The step summary: added to what is there, never beyond what GitHub shows, and never in the way of the report."""

from pathlib import Path
from typing import Any

import pytest

from moe_claims.report import results, step_summary
from moe_claims.report.step_summary import VARIABLE, add_summary

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
