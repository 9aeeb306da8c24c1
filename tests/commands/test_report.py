"""The command ``report`` with several results: a page on which they stand side by side."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.commands.main import main
from moe_claims.commands.report import labels
from moe_claims.report import html, results

Write = Callable[..., Path]


@pytest.fixture
def write(a_results_file: Callable[..., dict[str, Any]], tmp_path: Path) -> Write:
    """(folder, verdict, effect, model) → a results file with one row."""

    def written(folder: str, verdict: str = "replicated", effect: float = 0.63, model: str = "a-model") -> Path:
        path = tmp_path / folder / "results.json"
        row = {"verdict": verdict, "effect": effect, "interval": (effect - 0.03, effect + 0.03)}
        results.write(path, a_results_file(row, model=model))
        return path

    return written


def test_one_file_is_the_page_of_that_run(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("one")
    assert main(["report", str(path), "--format", "html"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == html.render(results.read(path)).rstrip("\n")


def test_runs_stand_side_by_side_with_what_changed(write: Write, tmp_path: Path) -> None:
    paths = [write("before"), write("after", "absent", 0.01), write("again")]
    output = tmp_path / "both.html"
    assert main(["report", *map(str, paths), "--format", "html", "--output", str(output)]) == 0
    page = output.read_text()
    assert re.findall(r'data-label="(a-model · \w+)"', page) == [
        f"a-model · {name}" for name in ("before", "after", "again")
    ]
    assert "after against before, a-model: 1 worse" in page
    assert "again against before, a-model: 1 of the same verdict" in page
    assert page.count('<span class="change" title="▼ worse">') == 1
    assert "✓ replicated → ○ absent" in page
    assert str(tmp_path) not in page


def test_models_of_other_names_are_compared_where_they_are_paired(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(write("early", "absent", 0.01, "m@1")), str(write("late", model="m@2"))]
    command = ["report", *paths, "--format", "html", "--output", str(tmp_path / "page.html")]
    assert main(command) == 0
    assert '<span class="change" title=' not in (tmp_path / "page.html").read_text()
    assert main([*command, "--models", "m@1=m@2"]) == 0
    assert '<span class="change" title="▲ better">' in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert main([*command, "--models", "x=y"]) == 4
    assert "--models 'x=y': give OLD=NEW" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["table", "markdown", "latex", "csv"])
def test_other_formats_are_of_one_run(write: Write, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = str(write("one")), str(write("two"))
    assert main(["report", first, second, "--format", name]) == 4
    said = f"error: report '{second}': only --format html shows several results files, side by side\n"
    assert capsys.readouterr().err == said
    assert main(["report", first, "--format", "html", "--models", "a=b"]) == 4
    assert capsys.readouterr().err.startswith("error: --models a=b: only --format html of several results files")


def test_a_file_that_is_none_is_named(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert main(["report", str(write("one")), str(tmp_path / "broken.json"), "--format", "html"]) == 4
    said = capsys.readouterr().err
    assert "broken.json' is not a results file" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("paths", "dates", "said"),
    [
        (["a/results.json", "b/results.json"], ["1", "2"], ["a", "b"]),
        (["a/results.json", "old.json"], ["1", "2"], ["a", "old"]),
        (
            ["x/a/results.json", "y/a/results.json"],
            ["2026-01-01T", "2026-01-02T"],
            ["a (2026-01-01)", "a (2026-01-02)"],
        ),
        (["a/results.json", "a/results.json"], ["2026-01-01T"] * 2, ["1: a (2026-01-01)", "2: a (2026-01-01)"]),
    ],
)
def test_runs_are_called_by_their_folder(paths: list[str], dates: list[str], said: list[str]) -> None:
    assert labels([Path(path) for path in paths], [{"created": date} for date in dates]) == said


def test_a_file_in_the_folder_at_hand_is_called_by_that_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("here")
    monkeypatch.chdir(tmp_path / "here")
    assert labels([Path("results.json")], [json.loads(Path("results.json").read_text())]) == ["here"]
