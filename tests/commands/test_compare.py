"""``compare`` through the real entry: which status stands for what, and one line where nothing can be compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.commands.main import main
from moe_claims.report.results import SCHEMA_VERSION

Make = Callable[..., dict[str, Any]]
ABSENT = {"verdict": "absent", "effect": 0.02, "interval": (-0.01, 0.06)}
NOT_SURE = {"verdict": "inconclusive", "effect": 0.02, "interval": (-0.3, 0.4)}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes documents under the names 0.json, 1.json … in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(*documents: dict[str, Any]) -> list[str]:
        names = [f"{number}.json" for number in range(len(documents))]
        for name, document in zip(names, documents, strict=True):
            Path(name).write_text(json.dumps(document), encoding="utf-8")
        return names

    return write


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ({}, {}, {"worse": 0, "changed": 0}),
        ({}, {"effect": 0.5, "interval": (0.46, 0.54)}, {"worse": 0, "changed": 0}),
        ({}, ABSENT, {"worse": 1, "changed": 1}),
        (ABSENT, {}, {"worse": 0, "changed": 1}),
        (NOT_SURE, ABSENT, {"worse": 0, "changed": 1}),
    ],
)
def test_the_status_says_what_was_asked_for(
    before: dict[str, Any],
    after: dict[str, Any],
    status: dict[str, int],
    a_results_file: Make,
    written: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = written(a_results_file(before), a_results_file(after))
    assert main(["compare", *files]) == 0
    assert main(["compare", *files, "--fail-on", "never"]) == 0
    for condition, expected in status.items():
        assert main(["compare", *files, "--fail-on", condition]) == expected
    assert capsys.readouterr().out.count("1.json against 0.json, a-model: ") == 4


def test_all_files_are_compared_with_the_first(
    a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(a_results_file({}), a_results_file(ABSENT), a_results_file({}))
    assert main(["compare", *files, "--fail-on", "worse"]) == 1
    said = capsys.readouterr().out
    assert "1.json against 0.json, a-model: 1 worse" in said
    assert "2.json against 0.json, a-model: 1 of the same verdict" in said


def test_checkpoints_are_paired_by_hand(
    a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(*(a_results_file({}, model=f"a@step{step}") for step in (1, 2, 3)))
    assert main(["compare", *files[:2]]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.endswith("to compare the one with the other, add --models a@step1=a@step2\n")
    pairs = ["--models", "a@step1=a@step2", "--models", "a@step1=a@step3"]
    assert main(["compare", *files, *pairs, "--fail-on", "changed"]) == 0
    assert "2.json against 0.json, a@step1 → a@step3: 1 of the same verdict" in capsys.readouterr().out


def test_points_of_two_trainings_are_joined_by_step(
    a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    points = [{"model": f"a@step{step}"} for step in (1, 2)]
    files = written(a_results_file(*points), a_results_file(points[0], {**points[1], **ABSENT}))
    assert main(["compare", *files, "--fail-on", "worse"]) == 1
    assert "▼ worse   router-norm[total] · a@step2 · builtin" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_the_output_goes_to_a_file(
    form: str, a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(a_results_file({}), a_results_file(ABSENT))
    assert main(["compare", *files, "--format", form]) == 0
    printed = capsys.readouterr().out
    arguments = ["compare", *files, "--format", form, "--output", "new/out", "--fail-on", "worse"]
    assert main(arguments) == 1
    assert capsys.readouterr().out == "1.json against 0.json, a-model: 1 worse\nwritten to new/out\n"
    assert Path("new/out").read_text(encoding="utf-8") == printed
    if form == "json":
        assert json.loads(printed)["comparisons"][0]["worse"] is True


def _no_live(a_results_file: Make) -> dict[str, Any]:
    return a_results_file({"evidence": "public", "family": "public", "model": "org/m"})


def test_a_gate_does_not_pass_on_nothing(
    a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    public = {"evidence": "public", "family": "public", "model": "org/m"}
    both, other = a_results_file({}, public), a_results_file({}, public)
    for name in ("text_sha256", "token_ids_sha256"):
        other["corpora"][0][name] = "9" * 64
    files = written(both, other, a_results_file(public), a_results_file({"model": "c"}, public))
    gate = ["--fail-on", "worse"]
    for after, why in (
        ("1.json", "no row of a measured model of 0.json can be compared with 1.json: the texts differ; --fail-on"),
        ("2.json", "no row of a measured model of 0.json can be compared with 2.json: it has none of them; --fail-on"),
        ("3.json", "add --models a-model=c"),
    ):
        assert main(["compare", files[0], after]) == 0
        assert main(["compare", files[0], after, "--fail-on", "changed"]) == 1
        capsys.readouterr()
        assert main(["compare", files[0], after, *gate]) == 4
        assert why in capsys.readouterr().err
    assert main(["compare", "2.json", "0.json", *gate]) == 0  # where the first measured nothing, nothing is lost


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no results file '1.json'"),
        ("{", "'1.json' is not a results file"),
        (
            '{"schema_version": 2}',
            f"'1.json' has schema version 2; this package reads versions 3, 4, {SCHEMA_VERSION}",
        ),
        (
            f'{{"schema_version": {SCHEMA_VERSION}}}',
            "'1.json' is no results file that this package reads: the whole lacks created, env",
        ),
    ],
)
def test_files_that_cannot_be_read_are_one_line(
    content: str | None,
    message: str,
    a_results_file: Make,
    written: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(a_results_file({}))
    if content is not None:
        Path("1.json").write_text(content)
    assert main(["compare", "0.json", "1.json"]) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1


def test_one_file_is_no_comparison(
    a_results_file: Make, written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *written(a_results_file({}))]) == 4
    assert "compare needs two results files or more: give another beside '0.json'" in capsys.readouterr().err
    assert main(["compare", *written(a_results_file({}), a_results_file({"claim": "routing-runs"}))]) == 4
    assert "no row is in common of 0.json and 1.json: compare runs of the same claims" in capsys.readouterr().err
