"""``--moe-plan`` through pytest: it measures nothing, writes no report, and binds later runs."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from moe_claims.report import html, markdown, results

pytest_plugins = ["pytester"]

TINY = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"
OPTIONS = ("-p", "no:cacheprovider", "--moe-tokens", "200", "--moe-cache", "kept", "--moe-profile", "quick")
SCHEMA = Path(results.__file__).with_name("results.schema.json")


def claims_folder() -> str:
    """Where the claims are: in the installed wheel, or in the clone."""
    spec = find_spec("moe_claims.claims")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent)
    return str(Path(__file__).parents[2] / "claims")


def plan(pytester: pytest.Pytester, *more: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(claims_folder(), "--moe-model", TINY, *OPTIONS, "--moe-plan", *more)


def test_a_plan_measures_nothing_and_writes_no_report(pytester: pytest.Pytester) -> None:
    found = plan(pytester, "-n", "2")
    assert found.ret == 0
    assert not {"kept", "claims-report", ".pytest_cache"} & {path.name for path in pytester.path.iterdir()}
    text = found.stdout.str()
    assert f"{TINY}: weights from memory" in " ".join(text.split())
    for stage in ("weights", "neurons matched", "text builtin", "statistics", "the whole run"):
        assert f"\n{stage} " in text
    assert "tuning-keeps-routing: no second model to compare with" in text
    assert "decided when measured" in text
    assert "Nothing was measured." in text
    ours = text[text.index(TINY[:40]) : text.index("Nothing was measured.")]
    assert max(len(line) for line in ours.splitlines()) <= 80
    assert "passed" not in text and "failed" not in text


@pytest.mark.campaign("long")
def test_a_bound_run_names_its_plan_and_another_is_refused(pytester: pytest.Pytester) -> None:
    assert plan(pytester, "--moe-plan-file", "plan.json").ret == 0
    assert not (pytester.path / "kept").exists()
    raw = (pytester.path / "plan.json").read_bytes()
    chosen = (claims_folder(), "--moe-model", TINY, *OPTIONS, "--moe-plan-file", "plan.json", "-k", "top1")

    other = pytester.runpytest_subprocess(*chosen, "--moe-seed", "3", "--moe-alpha", "0.01")
    assert other.ret == 4
    assert [line for line in other.stderr.str().splitlines() if line] == [
        f"ERROR: not as planned in 'plan.json': option --moe-{said}"
        for said in ("seed: 3, planned 0", "alpha: 0.01, planned 0.05")
    ]
    assert not (pytester.path / "kept").exists()
    assert not (pytester.path / "claims-report").exists()

    bound = pytester.runpytest_subprocess(*chosen)
    assert bound.ret in (0, 1)
    document = json.loads((pytester.path / "claims-report" / "results.json").read_text())
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
