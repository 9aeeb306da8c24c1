"""What tests hand on: to the report, to JUnit's file, to pytest-html's page and to a step of a workflow."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.pytest_plugin import attachments
from moe_claims.report import results

TESTS = """
import pytest
from moe_claims.pytest_plugin.outcomes import conclude

@pytest.mark.moe_claim("balanced-routing", evidence="public")
def test_balanced_routing(moe_result):
    conclude(moe_result)

@pytest.mark.moe_audit
def test_audit(moe_result):
    conclude(moe_result)

@pytest.mark.moe_claim("look_into_moes/training-scheme", evidence="trained")
def test_training_scheme(moe_result):
    conclude(moe_result)

def test_of_something_else(record_property):
    record_property("own", 1)
"""
PYTEST_HTML = find_spec("pytest_html")


@dataclass(frozen=True)
class Run:
    """A run of tests of published counts, of audits of printed numbers, and of trainings that are missing."""

    folder: Path
    printed: str

    def document(self) -> dict[str, Any]:
        return results.read(self.folder / "claims-report" / "results.json")


def run(folder: Path, *arguments: str, **environment: str) -> Run:
    (folder / "test_some.py").write_text(TESTS)
    (folder / "trainings").mkdir()
    options = ("-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", ".", "-k", "not row-order")
    command = [sys.executable, "-m", "pytest", *options, "--moe-experiments", "trainings", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return Run(folder, done.stdout + done.stderr)


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["alone", "workers"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Everything at once, with workers and without."""
    page = () if PYTEST_HTML is None else ("--html", "page.html", "--self-contained-html")
    summary = {"GITHUB_STEP_SUMMARY": "summary.md"}
    return run(tmp_path_factory.mktemp("run"), *request.param, "--junitxml", "junit.xml", *page, **summary)


def properties(path: Path) -> dict[str, dict[str, str]]:
    """Of every test case, by its name."""
    return {
        str(case.get("name")): {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
        for case in ElementTree.parse(path).iter("testcase")
    }


def test_junit_has_flat_properties_and_the_report_has_all(whole: Run) -> None:
    found, document = properties(whole.folder / "junit.xml"), whole.document()
    rows = [results.result_row(row) for row in judged_counts(PACK).results if row.claim == "balanced-routing"]
    assert sorted(map(json.dumps, document["results"])) == sorted(map(json.dumps, rows))
    assert len(document["audits"]) == len(run_audits())
    assert {error["claim"] for error in document["errors"]} == {
        "look_into_moes/training-scheme[similarity]", "look_into_moes/training-scheme[order]",
    }  # fmt: skip
    for row in rows:
        told = found[f"test_balanced_routing[{row['model'].partition('/')[2]}-{row['variant']}]"]
        assert told == {
            **{name: row[name] for name in ("claim", "variant", "evidence", "model", "verdict", "reason")},
            "text": row["corpus"],
            **{name: repr(row["effect"][name]) for name in ("ci_low", "ci_high")},
            "effect": repr(row["effect"]["value"]),
            "p_adjusted": repr(row["p_adjusted"]),
        }
    for audit in run_audits():
        assert found[f"test_audit[{audit.id}]"]["outcome"] == audit.outcome
    assert found["test_training_scheme[order]"]["claim"] == "look_into_moes/training-scheme[order]"
    assert "there is no file" in found["test_training_scheme[order]"]["error"]
    assert found["test_of_something_else"] == {"own": "1"}


def test_what_the_report_needs_is_no_part_of_junits_file(whole: Run) -> None:
    xml = (whole.folder / "junit.xml").read_text(encoding="utf-8")
    assert "smallest_of_interest" in (whole.folder / "claims-report" / "results.json").read_text(encoding="utf-8")
    assert "smallest_of_interest" not in xml
    assert "{&quot;" not in xml


class _Page(HTMLParser):
    tests: dict[str, list[dict[str, Any]]]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if blob := dict(attrs).get("data-jsonblob"):
            self.tests = json.loads(blob)["tests"]


def shown(page: Path) -> dict[str, dict[str, Any]]:
    """The entry of every test that pytest-html's page is made of, by the end of the test's name."""
    parser = _Page()
    parser.feed(page.read_text(encoding="utf-8"))
    return {name.partition("::")[2]: entries[0] for name, entries in parser.tests.items()}


@pytest.mark.skipif(PYTEST_HTML is None, reason="pytest-html is not installed")
def test_rows_of_pytest_html_show_what_was_found(whole: Run) -> None:
    found = shown(whole.folder / "page.html")
    row = next(row for row in judged_counts(PACK).results if row.claim == "balanced-routing")
    (extra,) = found[f"test_balanced_routing[{row.model.partition('/')[2]}-{row.variant}]"]["extras"]
    assert extra["format_type"] == "html"
    assert row.effect_name in extra["content"]
    assert f"{row.verdict}</bdi>" in extra["content"]
    (audit,) = found["test_audit[total-parameters]"]["extras"]
    assert "✓ agrees" in audit["content"]
    assert found["test_of_something_else"]["extras"] == []
    broken = found["test_training_scheme[order]"]
    assert broken["extras"] == []
    assert "there is no file" in broken["log"]


def test_a_step_of_a_workflow_gets_one_summary(whole: Run) -> None:
    text = (whole.folder / "summary.md").read_text(encoding="utf-8")
    assert text.count("## Reproducibility report") == 1
    assert "- Public measurements: 3 replicated, 3 inconclusive" in text
    assert "<code>claims-report/results.json</code>" in text
    assert "step summary" not in whole.printed


def test_a_summary_that_cannot_be_written_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    off = () if PYTEST_HTML is None else ("-p", "no:html")
    done = run(tmp_path, *off, "-W", "error", "--junitxml", "junit.xml", GITHUB_STEP_SUMMARY="none/summary.md")
    said = [line for line in done.printed.splitlines() if "step summary" in line]
    why = "GITHUB_STEP_SUMMARY is 'none/summary.md', which cannot be written (No such file or directory)"
    assert said == [f"warning: no step summary: {why}"]
    assert "Traceback" not in done.printed
    assert done.document()["results"]
    assert (tmp_path / "claims-report" / "report.md").exists()
    assert (tmp_path / "junit.xml").exists()


def test_a_number_that_is_none_is_refused_in_the_test_that_attaches_it(request: pytest.FixtureRequest) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        attachments.attach(request.node, "model", {"name": float("nan")})
