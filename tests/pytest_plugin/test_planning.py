"""``--moe-plan`` through pytest: it measures nothing, writes no report, and binds later runs."""

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
from test_hooks import claims_folder

from moe_claims.report import html, markdown, results

pytest_plugins = ["pytester"]

TINY = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"
OPTIONS = ("-p", "no:cacheprovider", "--moe-tokens", "200", "--moe-cache", "kept", "--moe-profile", "quick")
SCHEMA = Path(results.__file__).with_name("results.schema.json")


def plan(pytester: pytest.Pytester, *more: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(claims_folder(), "--moe-model", TINY, *OPTIONS, "--moe-plan", *more)


def test_a_plan_measures_nothing_and_writes_no_report(pytester: pytest.Pytester) -> None:
    found = plan(pytester, "-n", "2")
    assert found.ret == 0
    assert [path.name for path in pytester.path.iterdir() if path.name != "conftest.py"] == []
    text = found.stdout.str()
    assert f"{TINY}: weights from memory" in text
    for stage in ("weights", "neurons matched", "text builtin", "statistics", "the whole run"):
        assert f"\n{stage} " in text
    assert "tuning-keeps-routing: no second model to compare with" in text
    assert "decided when measured" in text
    assert "Nothing was measured." in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "passed" not in text and "failed" not in text


def test_a_bound_run_names_its_plan_and_another_is_refused(pytester: pytest.Pytester) -> None:
    assert plan(pytester, "--moe-plan-file", "plan.json").ret == 0
    assert not (pytester.path / "kept").exists()
    raw = (pytester.path / "plan.json").read_bytes()
    chosen = (claims_folder(), "--moe-model", TINY, *OPTIONS, "--moe-plan-file", "plan.json", "-k", "top1 or order")

    other = pytester.runpytest_subprocess(*chosen, "--moe-seed", "3", "--moe-alpha", "0.01")
    assert other.ret == 4
    assert (
        other.stderr.str().splitlines().count("ERROR: not as planned in 'plan.json': option --moe-seed: 3, planned 0")
        == 1
    )
    assert "ERROR: not as planned in 'plan.json': option --moe-alpha: 0.01, planned 0.05" in other.stderr.str()
    assert not (pytester.path / "kept").exists()
    assert not (pytester.path / "claims-report").exists()

    bound = pytester.runpytest_subprocess(*chosen)
    assert bound.ret in (0, 1)
    document = results.load(pytester.path / "claims-report" / "results.json")
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    digest = hashlib.sha256(raw).hexdigest()
    assert document["environment"]["plan_sha256"] == digest
    assert document["environment"]["plan_created"] == json.loads(raw)["created"]
    assert digest in markdown.render(document)
    assert digest in html.render(document, [])


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_file_that_is_no_plan_is_one_line(content: str | None, pytester: pytest.Pytester) -> None:
    if content is not None:
        (pytester.path / "plan.json").write_text(content)
    found = pytester.runpytest_subprocess(
        claims_folder(), "--moe-model", TINY, *OPTIONS, "--moe-plan-file", "plan.json"
    )
    assert found.ret == 4
    (line,) = [line for line in found.stderr.str().splitlines() if line]
    assert line.startswith("ERROR: --moe-plan-file plan.json: ")


def test_other_suites_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it():\n    pass")
    assert pytester.runpytest_subprocess().ret == 0
