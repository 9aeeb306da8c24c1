"""Tests of claims are shown by verdict only where the verdict ended them."""

from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.pytest_plugin.status import CATEGORIES
from moe_claims.report.screen import SIGN_COLOURS, Screen
from moe_claims.types import AuditOutcome, Verdict

pytest_plugins = ["pytester"]

MADE = """
import pytest
from dataclasses import replace
from moe_claims.testing import conclude
from moe_claims.types import Interval, Result, Verdict

ROW = Result(
    pack="p", claim="c", claim_version=1, variant=None, evidence="live", family="headline", model="m", corpus=None,
    verdict=Verdict.ABSENT, reason="so", effect_name="e", effect=0.0, interval=Interval(-0.1, 0.1, 0.95, "x"),
    smallest=0.1, p_value=0.5, p_adjusted=0.5, null="n", unit="u", n_units=3,
)

@pytest.fixture(params=list(Verdict), ids=str)
def moe_result(request):
    return replace(ROW, verdict=request.param)
"""
MARKED = """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker("moe_pack")
"""


@pytest.fixture
def ran(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """(body of a test, *arguments) → the run of a marked test of each verdict, with rows that are made up."""

    def run(body: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=f"{MADE}\ndef test_it(moe_result):\n    {body}\n")
        pytester.makeconftest(MARKED)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    return run


def test_all_that_can_be_found_has_a_sign_and_a_colour() -> None:
    words = {*map(str, Verdict), *map(str, AuditOutcome)}
    assert set(CATEGORIES) == set(SIGN_COLOURS) == words
    assert {word for word, colour in SIGN_COLOURS.items() if colour == "red"} == {"contradicted"}
    verdicts = [Screen(encoding="ascii").plain(CATEGORIES[str(verdict)]) for verdict in Verdict]
    assert len(set(verdicts)) == len(verdicts)
    assert all(len(sign) == 1 and sign.isascii() for sign in verdicts)


def counted(result: pytest.RunResult) -> str:
    return result.outlines[-1]


def test_verdicts_are_shown_and_the_exit_status_stays(ran: Callable[..., Any]) -> None:
    result = ran("conclude(moe_result)", "-v")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for verdict in Verdict:
        assert f"test_it[{verdict}] {CATEGORIES[str(verdict)]} {verdict}" in result.stdout.str()
    assert "FAILURES" not in result.stdout.str()
    assert "short test summary" not in result.stdout.str()
    for word in ("1 replicated", "1 direction-only", "1 contradicted", "1 absent", "1 inconclusive"):
        assert word in counted(result)


def test_a_rule_of_ones_own_that_fails_is_a_failure_and_one_that_holds_shows_the_verdict(
    ran: Callable[..., Any],
) -> None:
    result = ran("assert moe_result.verdict != Verdict.ABSENT")
    assert "FAILURES" in result.stdout.str()
    assert "FAILED " in result.stdout.str()
    assert "1 failed, " in counted(result)
    assert "1 contradicted" in counted(result)
    assert "absent" not in counted(result)


def test_other_ends_of_a_test_are_shown_as_pytest_does(ran: Callable[..., Any]) -> None:
    assert "6 skipped in" in counted(ran("pytest.skip('not today')"))
    assert "6 failed in" in counted(ran("pytest.fail('by hand')"))
    result = ran("pytest.xfail('known')")
    assert "6 xfailed in" in counted(result)
    assert result.ret == 0


def test_tests_without_our_marks_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{MADE}\ndef test_it(moe_result):\n    conclude(moe_result)\n")
    pytester.runpytest_inprocess().assert_outcomes(passed=1, failed=3, skipped=2)
