"""Tests that a run asks for and those that it leaves out, which count as p = 1 in the correction of their family."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.judge.claim import Claim
from moe_claims.judge.evaluate import corrected, evaluate
from moe_claims.judge.pack import Pack
from moe_claims.judge.trial import NOT_ASKED, Asked, try_all
from moe_claims.measure.measured import Deferred, Measured
from moe_claims.types import NOT_ASKED_IN_FAMILY, Finding, Interval


def record(name: str, p_value: float, family: Any = "headline", needs: Any = "text") -> Claim:
    """A claim with this p-value on any text it is given."""

    def estimator(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        assert (measured.text if needs == "text" else measured.weights) is not None
        interval = Interval(0.2, 0.4, 0.95, "made up")
        return Finding(0.3, interval, interval, p_value, 1 - p_value, 0.001, 20)

    return Claim(name, "s", "1", family, needs, "e", 0.1, "n", "u", estimator)


PACK = Pack(
    "made_up",
    "T",
    "p",
    (
        record("one", 0.01),
        record("two", 0.02),
        record("three", 0.2),
        record("four", 0.03, "secondary"),
        record("five", 0.04, "secondary", "weights"),
    ),
)
EVERY = {Asked(claim.id, None, "builtin" if claim.needs == "text" else None) for claim in PACK.claims}


@pytest.fixture
def measured(made_up_weights: Callable[..., Any], made_up_routed: Callable[..., Any]) -> dict[str, Measured]:
    return {"builtin": Measured(made_up_weights(), made_up_routed())}


def adjusted(measured: dict[str, Measured], asked: Any = None) -> dict[str, float]:
    judged = evaluate(PACK, "m", None, measured, None, seed=0, alpha=0.05, asked=asked)
    assert judged.broken == ()
    return {row.claim: float(row.p_adjusted or 0) for row in judged.results}


def test_who_asks_for_everything_gets_the_whole_run(measured: dict[str, Measured]) -> None:
    assert adjusted(measured, EVERY) == adjusted(measured)


def test_tests_that_are_left_out_count_as_one(measured: dict[str, Measured]) -> None:
    found = adjusted(measured, {Asked("two", None, "builtin"), Asked("four", None, "builtin")})
    assert found == {"two": pytest.approx(3 * 0.02), "four": pytest.approx(2 * 0.03)}


@pytest.mark.parametrize("left_out", sorted(EVERY, key=str))
def test_no_adjusted_p_is_smaller_than_in_the_whole_run(measured: dict[str, Measured], left_out: Asked) -> None:
    whole, part = adjusted(measured), adjusted(measured, EVERY - {left_out})
    assert part.keys() == whole.keys() - {left_out.claim}
    assert all(part[claim] >= whole[claim] for claim in part)


def test_rows_say_how_many_were_left_out(measured: dict[str, Measured]) -> None:
    judged = evaluate(
        PACK, "m", None, measured, None, seed=0, alpha=0.05, asked=EVERY - {Asked("one", None, "builtin")}
    )
    said = {row.claim: row.details.get(NOT_ASKED_IN_FAMILY) for row in judged.results}
    assert said == {"two": 1, "three": 1, "four": None, "five": None}


def test_what_is_left_out_is_neither_estimated_nor_measured(made_up_weights: Callable[..., Any]) -> None:
    def run() -> Any:
        raise AssertionError("the text is run for nothing")

    given = {"builtin": Measured(made_up_weights(), Deferred(run))}
    trials = try_all(PACK, given, 0, asked={Asked("five", None, None)})
    assert [trial.outcome is NOT_ASKED for trial in trials] == [True, True, True, True, False]
    assert [p is None for p in corrected(trials, 0.05)] == [True, True, True, True, False]


def test_the_control_is_judged_on_the_same_tests(measured: dict[str, Measured], made_up_weights: Any) -> None:
    control = {"builtin": Measured(made_up_weights())}  # has no text, which nothing that is asked for needs
    judged = evaluate(PACK, "m", None, measured, control, seed=0, alpha=0.05, asked={Asked("five", None, None)})
    (row,) = judged.results
    assert row.controls["random_init"]["verdict"] == row.verdict.value
