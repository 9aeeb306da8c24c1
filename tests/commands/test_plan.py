"""The command ``plan``: the plan of one model, printed and written."""

import json
import stat
from pathlib import Path

import pytest

from moe_claims.commands.main import main
from moe_claims.models.embedded import embedded_directory
from moe_claims.plan.document import read

TINY = "synthetic:null?layers=3&experts=4&hidden=16&intermediate=16&context=24"
QUICK = ("--tokens", "100", "--profile", "quick")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store."""
    monkeypatch.setenv("MOE_CLAIMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_prints_stages_and_claims(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", TINY, "--text", "builtin", "--text", "builtin-math", "--layers", "0,2", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "text builtin-math" in said
    assert "neurons matched: layers 0, 2" in said
    assert "need at least 5 experts; this model has 4" in " ".join(said.split())
    assert "corpus-robust" in said and "robustness over texts" not in said
    assert not cache.exists()


def test_it_writes_a_file_that_binds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plan.json"
    assert main(["plan", TINY, *QUICK, "--seed", "7", "--output", str(output)]) == 0
    assert f"written to {output}" in capsys.readouterr().out
    content = read(output).content
    assert content["options"]["seed"] == 7
    assert list(content["models"]) == [TINY]


def test_columns_of_narrow_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["plan", "synthetic:null?layers=2&experts=4", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 50
    assert any(line.startswith("weights: reads –, computes ") for line in lines)


def test_a_hostile_name_stays_in_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "evil\x1b[31m\nmodel"
    folder.mkdir()
    for path in embedded_directory("tiny-gelu").iterdir():
        if stat.S_ISREG(path.stat().st_mode):
            (folder / path.name).write_bytes(path.read_bytes())
    assert main(["plan", str(folder), "--layers", "0", *QUICK, "--output", str(tmp_path / "plan.json")]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[31m" in "".join(line.strip() for line in said.splitlines())
    assert json.loads((tmp_path / "plan.json").read_text())["models"][str(folder)]["hashed"] == "headers"


def test_a_model_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "./nowhere"]) == 4
    assert capsys.readouterr().err.startswith("error: ")
