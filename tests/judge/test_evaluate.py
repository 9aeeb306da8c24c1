"""One model judged: what the decision is told beside the p-values."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from moe_claims.judge.evaluate import Trial, at_best, judge, try_all
from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.stats.corrections import holm
from moe_claims.types import Finding, Interval, Verdict


def trial(p: float, smallest: float, effect: float = 0.3, claim: str = "router-norm") -> Trial:
    interval = Interval(effect - 0.5, effect + 0.5, 0.95, "BCa bootstrap over sequences")
    finding = Finding(effect, interval, interval, p, 1 - p, smallest, 20)
    return Trial(LIVE[claim], LIVE[claim].variants[0], "builtin", finding, 20)


def test_the_best_that_a_test_can_do_is_corrected_with_the_others_as_they_are() -> None:
    trials = [trial(0.2, 0.02), trial(0.9, 0.001), trial(0.01, 0.001)]
    assert at_best(trials) == pytest.approx([holm([0.02, 0.9, 0.01])[0], holm([0.2, 0.001, 0.01])[1], 0.003])
    decisions = judge([trial(0.9, 0.02), *[trial(0.5, 0.0001)] * 4], 0.05)
    assert decisions[0] is not None
    # Five tests make at least 0.1 of 0.02, although 0.9 was capped at 1.
    assert "no p-value below 0.02 can be reached here, 0.1 after correction" in decisions[0].reason


def test_the_number_of_sequences_reaches_the_reason(made_up_weights: Callable, made_up_routed: Callable) -> None:
    measured = Measured(made_up_weights(), made_up_routed(sequences=9))
    given = {(t.claim.needs_of(t.variant) == "text", t.sequences) for t in try_all({"builtin": measured}, 0)}
    assert given == {(True, 9), (False, None)}
    (decision,) = judge([trial(0.2, 0.0001)], 0.05)
    assert decision is not None
    assert "more sequences like these" in decision.reason


def test_what_the_paper_says_of_a_model_is_asked_of_its_control_too() -> None:
    none = trial(0.5, 0.0001, effect=0.0, claim="norm-grows-with-depth")
    narrow = Interval(-0.1, 0.1, 0.90, "BCa bootstrap over sequences")
    assert isinstance(none.outcome, Finding)
    flat = replace(none, outcome=replace(none.outcome, equivalence=narrow))
    verdicts = [judge([flat], 0.05, hub)[0] for hub in (None, "hpcai-tech/grok-1")]
    assert [d.verdict for d in verdicts if d is not None] == [Verdict.ABSENT, Verdict.REPLICATED]
