"""What a run shows in terminals of several widths, encodings and with several options."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.report import formatting
from moe_claims.report.model_matrix import short, side_by_side

pytest_plugins = ["pytester"]

SMALL = "layers=2&experts=4&hidden=16&intermediate=8&context=24"
MODELS = (f"synthetic:planted?{SMALL}", f"synthetic:null?{SMALL}")
CLAIMS = """
import pytest
from moe_claims.testing import conclude

for name in ("router-norm", "neuron-experts-sign", "balanced-routing", "matrices-agree", "tuning-keeps-routing"):
    @pytest.mark.moe_claim(name)
    def test(moe_result):
        conclude(moe_result)
    globals()["test_" + name.replace("-", "_")] = test
del test

@pytest.mark.moe_claim("balanced-routing", evidence="public")
def test_counts(moe_result):
    conclude(moe_result)

@pytest.mark.moe_audit()
def test_audit(moe_result):
    conclude(moe_result)
"""
OTHERS = "def test_fine(): pass"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(in_terminal: Callable[..., Any], pytester: pytest.Pytester, cache: Path) -> Callable[..., Any]:
    """Runs claims on two models, audits, published counts and tests that are not ours."""
    pytester.makepyfile(test_claims=CLAIMS, test_others=OTHERS)
    pytester.makepyfile(no_figures="from moe_claims.figures import report_figures\nreport_figures.REPORTED = ()\n")
    options = ["-p", "no_figures", "--moe-profile", "quick", "--moe-cache", str(cache), "-k", "not row-order"]
    options += [argument for model in MODELS for argument in ("--moe-model", model)]

    def run(columns: int, *arguments: str, **environment: str) -> Any:
        return in_terminal(columns, *options, *arguments, PYTHONPATH=str(pytester.path), **environment)

    return run


def document(pytester: pytest.Pytester) -> dict[str, Any]:
    return json.loads((pytester.path / "claims-report" / "results.json").read_text(encoding="utf-8"))


def matrix(shown: Any) -> list[str]:
    """The lines of the matrix, its legend not included."""
    lines = shown.ours
    start = next(place for place, line in enumerate(lines) if line.startswith("All models: verdict and effect"))
    end = next(place for place, line in enumerate(lines) if "replicated, " in line and place > start)
    return lines[start:end]


def check(shown: Any, columns: int, pytester: pytest.Pytester, plain: Callable[[str], str] = str) -> None:
    """What holds of every run that is not quiet: its width, its end, and every number whole."""
    assert shown.status == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in shown.raw
    assert "FAILURES" not in shown.text
    assert "FAILED" not in shown.text
    *ours, last = shown.ours
    assert [line for line in ours if len(line) > columns] == []
    assert re.fullmatch(r"=+ .* in [0-9.]+s.* =+", last)
    table = "\n".join(matrix(shown))
    for _, rows in side_by_side(document(pytester)["results"]).rows:
        for row in rows:
            assert plain(short(row)) in table
    # The matrix is the last table: after it come the legend and sentences.
    after = ours[ours.index(matrix(shown)[-1]) + 1 :]
    assert not any(set(line) <= {"-", " "} for line in after)
    assert " ".join(after).count(plain("✓ replicated")) == 1
    for said in ("report: claims-report/results.json", "next: open claims-report/report.html", "is a finding, not a"):
        assert said in " ".join(" ".join(after).split())


def test_at_80_columns_in_colour(run: Callable[..., Any], pytester: pytest.Pytester) -> None:
    shown = run(80, "--disable-warnings")  # of libraries, which pytest lists with names of tests
    check(shown, 80, pytester)
    found = document(pytester)
    dots = next(place for place, line in enumerate(shown.lines) if line.startswith("test_claims.py "))
    signs = shown.lines[dots].split()[1]
    outcomes = [formatting.SIGNS[row["verdict"]] for row in found["results"]]
    outcomes += [formatting.AUDIT_SIGNS[audit["outcome"]] for audit in found["audits"]]
    assert sorted(signs) == sorted(outcomes)
    too_long = [line for line in shown.lines if len(line) > 80]
    assert [line for line in too_long if not line.startswith(("plugins: ", "rootdir: "))] == []
    public = formatting.tally(rows_of(found, "public"), "verdict", formatting.SIGNS)
    assert f"Public measurements: {public}" in shown.ours
    red = "".join(shown.red).split()
    assert red
    assert all(re.fullmatch(r"✗|-?[0-9.]+|contradicted", part) for part in red)


def rows_of(found: dict[str, Any], evidence: str) -> list[dict[str, Any]]:
    return [row for row in found["results"] if row["evidence"] == evidence]


def test_at_40_columns_with_intervals(run: Callable[..., Any], pytester: pytest.Pytester) -> None:
    shown = run(40, "-v")
    check(shown, 40, pytester)
    for row in rows_of(document(pytester), "live"):
        if row["verdict"] != "not-applicable":
            assert f"{formatting.effect(row)} {formatting.interval(row)}" in shown.text
    assert re.search(r"test_claims.py::test_counts.* ✓ replicated", shown.text)
    assert "Public measurements: published" in shown.text


@pytest.mark.campaign("long")
def test_at_120_columns_without_colour_and_every_claim_in_full(
    run: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    shown = run(120, "-vv", "--color=no")
    check(shown, 120, pytester)
    assert "\x1b[3" not in shown.raw
    squeezed = "".join(shown.text.split())
    for row in document(pytester)["results"]:
        for part in (row["null"], row["reason"], row["unit"], row["effect"]["name"]):
            assert "".join(part.split()) in squeezed
    assert shown.text.count("  statement   ") == len(document(pytester)["results"])
    assert shown.ours.index(matrix(shown)[0]) > len(document(pytester)["results"])


@pytest.mark.campaign("long")
def test_at_200_columns_by_two_workers(run: Callable[..., Any], pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    shown = run(200, "-n", "2")
    check(shown, 200, pytester)
    found = document(pytester)
    counts = formatting.tally(found["results"], "verdict", formatting.SIGNS)
    audits = formatting.tally(found["audits"], "outcome", formatting.AUDIT_SIGNS)
    assert f" 1 passed, {counts}, {audits} in " in shown.ours[-1]


def test_in_ascii_and_without_colour(run: Callable[..., Any], pytester: pytest.Pytester) -> None:
    shown = run(80, PYTHONIOENCODING="ascii", NO_COLOR="1")
    signs = str.maketrans("✓✗○–†", "vxo-*")
    check(shown, 80, pytester, lambda text: text.translate(signs))
    assert not re.search(r"\x1b\[[0-9;]*m", shown.raw)
    assert "v replicated, ~ direction-only, x contradicted, o absent, ? inconclusive," in shown.text


@pytest.mark.campaign("long")
def test_what_is_asked_of_pytest_is_still_there_and_quiet_is_quiet(
    run: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_others="def test_fine(): pass\ndef test_wrong(): assert 1 == 2")
    shown = run(120, "-q", "-rA", "--moe-report-only", "--color=yes")
    assert shown.status == pytest.ExitCode.TESTS_FAILED  # by the test that is not ours
    assert "PASSED test_others.py::test_fine" in shown.text
    assert "FAILED test_others.py::test_wrong" in shown.text
    assert "assert 1 == 2" in shown.text
    assert not re.search(r"(FAILED|PASSED|SKIPPED)\S* .*test_claims", shown.text)
    assert "Public measurements" not in shown.text
    assert "next: " not in shown.text
    assert "report: claims-report/results.json" in shown.text
    assert len(matrix(shown)) > 3


def test_what_cannot_be_measured_is_an_error_shown_whole_and_red(
    run: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    pytester.mkdir("broken")
    shown = run(100, "--moe-model", "./broken", "-k", "router_norm or fine")
    assert shown.status == pytest.ExitCode.TESTS_FAILED
    message = "'broken' has no config.json: give the folder of a saved model"
    assert f"  ./broken: {message}" in shown.ours
    above, _, end = shown.text.partition(" reproducibility of ")
    assert above.count(f"\n{message}") == 2  # by pytest, for both parts of the claim
    assert end.count(message) == 1
    assert "ERROR at setup of test" in shown.text
    at = shown.ours.index(f"  ./broken: {message}")
    assert at < shown.ours.index(matrix(shown)[0])
    assert "Could not be measured" in "".join(shown.red)
    assert "2 errors" in shown.ours[-1]
    assert shown.ours[-2].endswith("1 thing(s) could not be measured")
