"""The folder of a report: whole, and the results first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.report import html, markdown, report_folder, results


def test_pages_follow_from_the_results(made_document: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    document = made_document()
    files = report_folder.write(tmp_path / "new", document)
    assert [path.name for path in files] == ["results.json", "report.md", "report.html"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in files)
    assert results.read(files[0]) == document
    assert files[1].read_text(encoding="utf-8") == markdown.render(document)
    assert files[2].read_text(encoding="utf-8") == html.render(document)


NOT_DRAWN = {"model": {}, "figures": [{"files": [], "reason": "no text"}], "reason": None}


@pytest.mark.parametrize("drawn", [(), ({"model": {}, "figures": [], "reason": "so"},), (NOT_DRAWN,)])
def test_without_a_figure_there_is_no_folder_for_figures(
    drawn: tuple[dict[str, Any], ...], made_document: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    figures = tmp_path / report_folder.FIGURES
    figures.mkdir()
    (figures / "figures.json").write_text('{"models": []}')  # of an earlier run
    report_folder.write(tmp_path, made_document(), drawn)
    assert not figures.exists()
    figures.mkdir()
    (figures / "mine.txt").touch()
    report_folder.write(tmp_path, made_document(), drawn)
    assert [path.name for path in figures.iterdir()] == ["mine.txt"]


def test_results_are_kept_when_a_page_cannot_be_made(
    made_document: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(html, "render", broken)
    document = made_document()
    with pytest.raises(RuntimeError, match="no page"):
        report_folder.write(tmp_path, document)
    assert results.read(tmp_path / "results.json") == document
