"""When a claim became true: from the verdicts at a training's points to words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.report import results, trajectory
from moe_claims.report.trajectory import ClaimTrajectory, trajectories, when
from moe_claims.types import Interval, Result, Verdict

SIGN = {"y": "replicated", "-": "absent", "n": "not-applicable", "?": "inconclusive"}


def followed(pattern: str, **changes: Any) -> ClaimTrajectory:
    steps = tuple(10 * 2**i for i in range(len(pattern)))
    rows = tuple({"verdict": SIGN[sign], "controls": {}, **changes} for sign in pattern)
    return ClaimTrajectory("a-claim", "headline", steps, rows)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("yyyy", "at every point"),
        ("--yy", "from step 40 on"),
        ("y-yy", "from step 40 on (and at 10)"),
        ("yy--", "not at the end; at 10, 20"),
        ("----", "never"),
        ("n?-y", "from step 80 on"),
        ("yyyn", "not at the end; at 10, 20, 40"),
    ],
)
def test_when(pattern: str, said: str) -> None:
    assert when(followed(pattern)) == said


def test_what_holds_at_random_initialisation_too_is_marked() -> None:
    fresh = {"random_init": {"verdict": "replicated", "effect": 1.0, "reason": "so", "artefact": True}}
    assert when(followed("-yy", controls=fresh)) == "from step 20 on; at random initialisation too †"
    assert when(followed("yy-", controls={})) == "not at the end; at 10, 20"


@given(st.text("y-?n", min_size=1, max_size=8))
def test_since_and_now_and_then_are_all_steps_that_replicate(pattern: str) -> None:
    one = followed(pattern)
    after = () if one.since is None else tuple(step for step in one.steps if step >= one.since)
    replicated = [step for step, sign in zip(one.steps, pattern, strict=True) if sign == "y"]
    assert sorted((*one.now_and_then, *after)) == replicated
    assert (one.since is None) == (pattern[-1] != "y")


def result(model: str, verdict: Verdict, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "pack": "look_into_moes", "claim_version": 1, "claim": "router-norm", "variant": "total",
        "evidence": "live", "family": "headline", "model": model,
        "corpus": "builtin", "verdict": verdict, "reason": "so", "effect_name": "ρ", "effect": 0.2,
        "interval": Interval(0.1, 0.3, 0.95, "bootstrap over sequences"), "smallest": 0.1, "p_value": 0.01,
        "p_adjusted": 0.02, "null": "labels", "unit": "sequence", "n_units": 9,
    }  # fmt: skip
    return results.result_row(Result(**(given | changes)))


def document(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "created": "2026-01-01T00:00:00+00:00",
        "environment": {"moe_claims": "0", "seed": 0},
        "models": [{"name": "m@step20", "note": "kept in <few> bits"}, {"name": "m@step100", "note": None}],
        "corpora": [{"name": "builtin", "sequences": 9}],
        "results": rows,
        "errors": [],
        **changes,
    }


ROWS = [
    result("m@step100", Verdict.REPLICATED),
    result("m@step20", Verdict.ABSENT, effect=0.004, smallest=0.1),
    result("m@step20", Verdict.NOT_APPLICABLE, claim="top1-confidence", family="secondary", variant=None, effect=None),
    result("m@step100", Verdict.CONTRADICTED, claim="top1-confidence", family="secondary", variant=None, effect=-0.5),
    result("m@step20", Verdict.NOT_APPLICABLE, claim="dense-reference", family="secondary", effect=None),
    result("m", Verdict.REPLICATED),
]


def test_rows_become_courses_over_steps_and_what_never_applies_is_left_out() -> None:
    found = trajectories(document(ROWS))
    assert [(one.name, one.steps, one.verdicts) for one in found] == [
        ("router-norm [total]", (20, 100), ("absent", "replicated")),
        ("top1-confidence", (20, 100), ("not-applicable", "contradicted")),
    ]


def test_the_page_has_a_cell_per_point_and_is_inert() -> None:
    errors = [{"model": "m@step20", "claim": "builtin|x", "message": "no *tokenizer*"}]
    page = trajectory.render(document(ROWS, errors=errors), "m<script>", 2, "trajectory.png")
    assert "| claim | 20 | 100 | holds |" in page
    assert "| router-norm &#91;total&#93; | ○ 0.004 | ✓ 0.20 | **from step 100 on** |" in page
    assert "| top1-confidence | – | ✗ -0.50 | **never** |" in page
    assert "![effects over training steps](trajectory.png)" in page
    assert "<script>" not in page
    assert "kept in &#60;few&#62; bits" in page
    assert "no &#42;tokenizer&#42;" in page
    assert "not over points" in page


def test_several_texts_are_told_apart() -> None:
    rows = [result(f"m@step{step}", Verdict.ABSENT, corpus=text) for step in (20, 100) for text in ("a", "b")]
    assert [one.name for one in trajectories(document(rows))] == ["router-norm [total] · a", "router-norm [total] · b"]


def test_claims_of_one_id_in_two_packs_are_two_courses() -> None:
    rows = [result(f"m@step{step}", Verdict.ABSENT, pack=pack) for step in (20, 100) for pack in ("ours", "theirs")]
    found = trajectories(document(rows))
    assert [(one.name, one.steps) for one in found] == [
        ("ours/router-norm [total]", (20, 100)),
        ("theirs/router-norm [total]", (20, 100)),
    ]
