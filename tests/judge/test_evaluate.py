"""One model judged: what the decision is told beside the p-values, and what breaks alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim
from moe_claims.judge.evaluate import corrected, evaluate, judge, rows_of
from moe_claims.judge.pack import Pack
from moe_claims.judge.trial import Trial, try_all
from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.stats.corrections import benjamini_hochberg, holm
from moe_claims.types import Finding, Interval, Verdict


def trial(p: float, smallest: float, effect: float = 0.3, claim: str = "router-norm") -> Trial:
    interval = Interval(effect - 0.5, effect + 0.5, 0.95, "BCa bootstrap over sequences")
    finding = Finding(effect, interval, interval, p, 1 - p, smallest, 20)
    return Trial(LIVE[claim], LIVE[claim].variants[0], "builtin", finding, 20)


def at_best(trials: list[Trial]) -> list[float]:
    return [p.at_best for p in corrected(trials, 0.05) if p is not None]


def test_the_best_that_a_test_can_do_is_corrected_with_the_others_as_they_are() -> None:
    trials = [trial(0.2, 0.02), trial(0.9, 0.001), trial(0.01, 0.001)]
    assert at_best(trials) == pytest.approx([holm([0.02, 0.9, 0.01])[0], holm([0.2, 0.001, 0.01])[1], 0.003])
    five = [trial(0.9, 0.02), *[trial(0.5, 0.0001)] * 4]
    decisions = judge(five, corrected(five, 0.05), PACK)
    assert decisions[0] is not None
    # Five tests make at least 0.1 of 0.02, although 0.9 was capped at 1.
    assert "no p-value below 0.02 can be reached here, 0.1 after correction" in decisions[0].reason


def test_the_number_of_sequences_reaches_the_reason(made_up_weights: Callable, made_up_routed: Callable) -> None:
    measured = Measured(made_up_weights(), made_up_routed(sequences=9))
    given = {(t.claim.needs_of(t.variant) == "text", t.sequences) for t in try_all(PACK, {"builtin": measured}, 0)}
    assert given == {(True, 9), (False, None)}
    one = [trial(0.2, 0.0001)]
    (decision,) = judge(one, corrected(one, 0.05), PACK)
    assert decision is not None
    assert "more sequences like these" in decision.reason


def test_what_the_paper_says_of_a_model_is_asked_of_its_control_too() -> None:
    none = trial(0.5, 0.0001, effect=0.0, claim="norm-grows-with-depth")
    narrow = Interval(-0.1, 0.1, 0.90, "BCa bootstrap over sequences")
    assert isinstance(none.outcome, Finding)
    flat = [replace(none, outcome=replace(none.outcome, equivalence=narrow))]
    verdicts = [judge(flat, corrected(flat, 0.05), PACK, hub)[0] for hub in (None, "hpcai-tech/grok-1")]
    assert [d.verdict for d in verdicts if d is not None] == [Verdict.ABSENT, Verdict.REPLICATED]


# --- one judging path for every pack ----------------------------------------------------------------


def fixed(p: float) -> Callable[..., Finding]:
    """An estimator that finds the same on every model."""

    def estimate(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        made = trial(p, 1e-4).outcome
        assert isinstance(made, Finding)
        return made

    return estimate


def drawn(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    """An estimator whose effect is what its generator gives."""
    return replace(fixed(0.5)(variant, measured, rng), effect=float(rng.random()))


def divides(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
    return fixed(1 / (measured.weights.layers.size - 8))(variant, measured, rng)  # there are eight


def record(name: str, estimator: Callable[..., Finding], **changes: Any) -> Claim:
    settled = {"id": name, "estimator": estimator, "needs": "weights", "variants": (None,), "paper_says": {}}
    return replace(LIVE["router-norm"], **{**settled, **changes})


def pack(name: str, *claims: Claim) -> Pack:
    return Pack(name, "Made up", "arXiv 0", claims)


@pytest.fixture
def measured(made_up_weights: Callable[..., Any]) -> dict[str, Measured]:
    return {"builtin": Measured(made_up_weights())}


def test_a_fault_of_one_estimator_is_one_broken_row_and_loses_no_other(measured: dict[str, Measured]) -> None:
    faulty = record("faulty", divides, variants=("up", "down"))
    line = divides.__code__.co_firstlineno + 1
    made = pack("made_up", record("first", fixed(0.01)), faulty, record("last", fixed(0.02)))
    judged = evaluate(made, "m", None, measured, None, seed=0, alpha=0.05)
    assert [row.claim for row in judged.results] == ["first", "last"]
    assert [one.key for one in judged.broken] == ["faulty[up]", "faulty[down]"]
    (message,) = {one.message for one in judged.broken}
    assert message == (
        f"{divides.__module__}:divides raised ZeroDivisionError: division by zero (line {line} of test_evaluate.py); "
        "this is a fault of the estimator, not of the model"
    )
    assert judged.find("faulty", "down", "m", None) == message
    # What broke counts in no family.
    alone = evaluate(pack("made_up", *made.claims[::2]), "m", None, measured, None, seed=0, alpha=0.05)
    assert alone.results == judged.results


def test_a_control_with_a_fault_leaves_the_verdict(measured: dict[str, Measured], made_up_weights: Any) -> None:
    made = pack("made_up", record("faulty", divides), record("good", fixed(0.01)))
    control = {"builtin": Measured(made_up_weights())}
    given = {"builtin": Measured(made_up_weights(layers=10))}
    judged = evaluate(made, "m", None, given, control, seed=0, alpha=0.05)
    assert judged.broken == ()
    rows = {row.claim: row for row in judged.results}
    faulty = rows["faulty"].controls["random_init"]
    assert (faulty["verdict"], faulty["artefact"]) == (None, False)
    assert "raised ZeroDivisionError" in faulty["reason"]
    assert rows["good"].controls["random_init"]["verdict"] == rows["good"].verdict.value


def test_an_interruption_is_no_fault_of_an_estimator(measured: dict[str, Measured]) -> None:
    def interrupted(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        try_all(pack("made_up", record("one", interrupted)), measured, 0)


def test_an_estimator_that_would_leave_the_process_is_one_broken_row(measured: dict[str, Measured]) -> None:
    def leaves(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        raise SystemExit(3)

    (trial,) = try_all(pack("made_up", record("one", leaves)), measured, 0)
    assert "raised SystemExit: 3" in str(trial.outcome)


GOOD = Finding(
    effect=0.5, interval=Interval(0.4, 0.6, 0.95, "m"), equivalence=Interval(0.42, 0.58, 0.9, "m"), p_value=0.01,
    p_opposite=0.99, smallest_p=0.001, n_units=5, details={"count": np.int64(3)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returned a NoneType and not a Finding"),
        ("x", "returned a str and not a Finding"),
        (replace(GOOD, p_value=7.0), "returned p_value 7, which does not lie between 0 and 1"),
        (replace(GOOD, p_opposite=float("nan")), "returned p_opposite nan, which does not lie between 0 and 1"),
        (replace(GOOD, effect=float("nan")), "returned an effect that is not a number (NaN)"),
        (replace(GOOD, effect="0.5"), "returned effect as a str: give a number"),
        (replace(GOOD, interval=None), "returned interval as a NoneType: give an Interval"),
        (
            replace(GOOD, interval=Interval(0.6, 0.4, 0.95, "m")),
            "returned the interval [0.6, 0.4]: give finite ends, the lower first",
        ),
        (replace(GOOD, n_units=2.5), "returned n_units 2.5: give how many there are"),
        (replace(GOOD, details={"x": [1]}), "returned 'x' as a list: give a number, a text or None"),
    ],
)
def test_what_no_finding_can_be_is_said_of_its_claim_alone(
    returned: Any, said: str, measured: dict[str, Measured]
) -> None:
    good = record("good", lambda variant, measured, rng: GOOD)
    bad = record("bad", lambda variant, measured, rng: returned)
    judged = evaluate(pack("made_up", good, bad), "m", None, measured, None, seed=0, alpha=0.05)
    (broken,) = judged.broken
    assert broken.claim == "bad" and said in broken.message and "fault of the estimator" in broken.message
    (row,) = judged.results
    assert (row.claim, row.details["count"]) == ("good", 3)
    assert type(row.details["count"]) is int


def test_an_estimator_cannot_change_what_others_are_given(measured: dict[str, Measured]) -> None:
    def writes(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        measured.weights.router[...] = 0
        return GOOD

    def clears(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        measured.weights.matrix.clear()  # type: ignore[attr-defined]
        return GOOD

    before = measured["builtin"].weights.router.copy()
    for estimator, said in ((writes, "read-only"), (clears, "has no attribute 'clear'")):
        (trial,) = try_all(pack("made_up", record("one", estimator)), measured, 0)
        assert said in str(trial.outcome)
    assert (measured["builtin"].weights.router == before).all()


def test_what_does_not_apply_is_a_row_and_nothing_broken(measured: dict[str, Measured]) -> None:
    def not_here(variant: str | None, measured: Measured, rng: np.random.Generator) -> Finding:
        raise NotComparableError("it has one expert alone")

    judged = evaluate(pack("made_up", record("one", not_here)), "m", None, measured, None, seed=0, alpha=0.05)
    assert judged.broken == ()
    assert [(row.verdict, row.reason, row.effect) for row in judged.results] == [
        (Verdict.NOT_APPLICABLE, "it has one expert alone", None)
    ]


def test_corrections_run_within_a_pack(measured: dict[str, Measured]) -> None:
    ps = (0.01, 0.02, 0.03)
    both = []
    for name in ("one_pack", "other_pack"):
        made = pack(name, *(record(f"claim-{i}", fixed(p)) for i, p in enumerate(ps)))
        both.append(evaluate(made, "m", None, measured, None, seed=0, alpha=0.05))
    for judged, name in zip(both, ("one_pack", "other_pack"), strict=True):
        assert {row.pack for row in judged.results} == {name}
        assert [row.p_adjusted for row in judged.results] == pytest.approx(list(holm(ps)))
    assert list(holm(ps)) != pytest.approx(list(holm(ps * 2))[:3])


def test_the_other_direction_is_kept_corrected(measured: dict[str, Measured]) -> None:
    def found(p_opposite: float) -> Any:
        return lambda variant, measured, rng: replace(GOOD, p_opposite=p_opposite)

    claims = [record(name, found(p)) for name, p in (("one", 0.01), ("two", 0.4))]
    judged = evaluate(pack("made_up", *claims), "m", None, measured, None, seed=0, alpha=0.05)
    assert [row.details["p_opposite"] for row in judged.results] == [0.01, 0.4]
    assert [row.details["p_opposite_adjusted"] for row in judged.results] == [0.02, 0.4]  # Holm over both


def test_groups_and_families_are_corrected_apart() -> None:
    ps = [0.01, 0.02, 0.03, 0.04]
    public = replace(LIVE["router-norm"], family="public")
    trials = [replace(trial(p, 1e-4), claim=public, group=group) for p, group in zip(ps, "abab", strict=True)]
    rows = rows_of(PACK, "public", trials, 0.05).results
    a, b = benjamini_hochberg([0.01, 0.03]), benjamini_hochberg([0.02, 0.04])
    assert [row.p_adjusted for row in rows] == pytest.approx([a[0], b[0], a[1], b[1]])


def test_the_same_estimator_in_another_pack_is_given_other_numbers(measured: dict[str, Measured]) -> None:
    def effects(made: Pack, seed: int = 0) -> list[float | None]:
        return [row.effect for row in evaluate(made, "m", None, measured, None, seed=seed, alpha=0.05).results]

    claims = (record("one", drawn, variants=("up", "down")), record("two", drawn))
    one = effects(pack("one_pack", *claims))
    assert len(set(one)) == 3
    assert one == effects(pack("one_pack", *claims))  # whenever it is asked
    assert not set(one) & set(effects(pack("other_pack", *claims)))
    assert not set(one) & set(effects(pack("one_pack", *claims), seed=1))
    # A test's numbers depend on no other test and on no order.
    assert effects(pack("one_pack", claims[1], claims[0])) == [one[2], one[0], one[1]]
    # The numbers of the first pack are those from before there were packs.
    first = replace(pack("any_name", *claims), seed_prefix="")
    names = ("one[up]", "one[down]", "two")
    assert effects(first) == [np.random.default_rng((0, crc32(name.encode()))).random() for name in names]


def test_a_row_knows_its_pack_and_the_version_of_its_claim(measured: dict[str, Measured]) -> None:
    made = pack("made_up", record("one", fixed(0.01), version=3))
    (row,) = evaluate(made, "m", None, measured, None, seed=0, alpha=0.05).results
    assert (row.pack, row.claim, row.claim_version, row.evidence, row.model) == ("made_up", "one", 3, "live", "m")


def test_a_summary_opens_the_reason() -> None:
    one = trial(0.001, 1e-4)
    assert isinstance(one.outcome, Finding)
    told = replace(one, outcome=replace(one.outcome, summary="Scores follow norms"))
    plain, said = (rows_of(PACK, "live", [t], 0.05).results[0].reason for t in (one, told))
    assert said == f"Scores follow norms; {plain}"
