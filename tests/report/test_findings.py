"""Findings in plain words: every sentence follows from a verdict, and none says more than it."""

import re
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import findings, results
from moe_claims.types import Audit, AuditOutcome, Interval, Result, Verdict

MODELS = ("tiny-scratch", "tiny-fine")
FRESH = {"verdict": "replicated", "effect": 0.2, "reason": "so", "artefact": True}


def result(claim: str, model: str, verdict: Verdict, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "pack": "look_into_moes", "claim_version": 1, "claim": claim, "variant": None,
        "evidence": "live", "family": "secondary", "model": model,
        "corpus": "builtin", "verdict": verdict, "reason": "so", "effect_name": "ρ", "effect": 0.25,
        "interval": Interval(0.2, 0.3, 0.95, "bootstrap over sequences"), "smallest": 0.1, "p_value": 0.01,
        "p_adjusted": 0.02, "null": "labels", "unit": "sequence", "n_units": 9,
    }  # fmt: skip
    return results.result_row(Result(**(given | changes)))


def document(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    card = {"kind": "embedded", "family": "mixtral", "moe_layers": 12, "experts": 8, "top_k": 2, "note": None}
    card["weights_sha256"] = "abc"
    return {
        "environment": {"moe_claims": "0", "torch": "2", "transformers": "5", "seed": 0, "dense_reference": None},
        "packs": [PACK.described()],
        "models": [{**card, "name": name} for name in MODELS],
        "corpora": [{"name": "builtin", "model": name, "sequences": 9, "nats_per_token": 2.5} for name in MODELS],
        "results": rows,
        "audits": [],
        "errors": [],
        **changes,
    }


def line_of(page: str, claim: str) -> str:
    (found,) = [line for line in page.splitlines() if line.startswith(f"- **{claim}** (")]
    return found


WORDS = {
    Verdict.REPLICATED: "holds on",
    Verdict.DIRECTION_ONLY: "smaller than claimed on",
    Verdict.CONTRADICTED: "the other way round on",
    Verdict.ABSENT: "is absent (equivalent to no effect) on",
    Verdict.INCONCLUSIVE: "is not settled either way on",
}


@pytest.mark.parametrize(("one", "other"), list(product(WORDS, WORDS)))
def test_each_model_stands_behind_the_words_of_its_verdict_and_no_others(one: Verdict, other: Verdict) -> None:
    rows = [result("top1-confidence", model, v) for model, v in zip(MODELS, (one, other), strict=True)]
    line = line_of(findings.render(document(rows), {}, {}), "top1-confidence")
    for model, verdict in zip(MODELS, (one, other), strict=True):
        for candidate, words in WORDS.items():
            said = next((part for part in line.split(";") if words in part), "")
            assert (model in said) == (candidate is verdict), line


@given(st.sampled_from(list(Verdict)), st.booleans())
def test_what_is_not_replicated_and_not_learned_is_never_counted_as_such(verdict: Verdict, fresh: bool) -> None:
    artefact = fresh and verdict is Verdict.REPLICATED
    controls = {"random_init": FRESH | {"artefact": artefact}}
    rows = [result("top1-confidence", model, verdict, controls=controls) for model in MODELS]
    rows += [result("routing-runs", model, verdict) for model in MODELS]  # without a control
    page = findings.render(document(rows), {}, {})
    everywhere = next(line for line in page.splitlines() if line.startswith("- Replicated on every model"))
    already = next(line for line in page.splitlines() if line.startswith("- Replicated already at random"))
    assert ("top1-confidence" in everywhere) == (verdict is Verdict.REPLICATED and not artefact)
    assert ("top1-confidence" in already) == artefact
    assert "routing-runs" not in everywhere + already
    assert ("- Replicated, but without that control: routing-runs" in page) == (verdict is Verdict.REPLICATED)
    assert ("at random initialisation too)" in page) == artefact


def test_what_applies_to_none_says_so_and_what_applies_to_some_names_them() -> None:
    rows = [
        result("pca-clusters", MODELS[0], Verdict.NOT_APPLICABLE, effect=None, interval=None),
        result("pca-clusters", MODELS[1], Verdict.NOT_APPLICABLE, effect=None, interval=None),
        result("routing-runs", MODELS[0], Verdict.REPLICATED, controls={"random_init": FRESH | {"artefact": False}}),
        result("routing-runs", MODELS[1], Verdict.NOT_APPLICABLE, effect=None, interval=None),
    ]
    page = findings.render(document(rows), {"tiny-scratch": "from scratch"}, {})
    assert "applies to none of the models" in line_of(page, "pca-clusters")
    assert "- Replicated on some, and not at random initialisation there: routing-runs (tiny-scratch)" in page
    assert "| routing-runs | ✓ 0.25 [0.20, 0.30] | – |" in page
    assert "| from scratch |" in page


def test_trainings_courses_and_the_order_of_rows_are_told_where_they_were_measured() -> None:
    published = {
        "model": "paper", "paper_says": "holds", "value": 0.0105, "standard_error": None, "none": 0.0,
        "place": "Table 6", "note": "exact p 1/24", "companions": {},
    }  # fmt: skip
    trained = result(
        "depth-needs-experts", "small MoEs", Verdict.INCONCLUSIVE, evidence="trained", variant="slope-total",
        smallest=0.01, published=published, reason="too few seeds.",
    )  # fmt: skip
    along = {
        **document([result("top1-confidence", f"m@step{s}", Verdict.REPLICATED) for s in (10, 20)]),
        "models": [{"name": "m@step10"}, {"name": "m@step20"}],
    }
    audit = Audit(
        "row-order", "Rows are mixed.", "", AuditOutcome.DISAGREES, "1", "2", "It matters by 0.1.", kind="code"
    )
    page = findings.render(document([trained], audits=[results.audit_row(audit)]), {}, {"m": along})
    assert (
        "**depth-needs-experts &#91;slope-total&#93;**: too few seeds. The paper: 0.011 (Table 6; exact p 1/24)."
        in page
    )
    assert "- at every point: top1-confidence" in page
    assert "Rows are mixed. It matters by 0.1." in page
    course = {"upcycled step 0": 1.0, "upcycled step 500": 0.75, "scratch step 500": 0.01, "steps": 500}
    course["embedded pair differs too in"] = "learning rate"
    followed = result("training-scheme", "m", Verdict.REPLICATED, evidence="trained", details=course)
    page = findings.render(document([followed]), {}, {})
    assert "|  | 0 | 500 |\n|---|---|---|\n| upcycled | 1.00 | 0.75 |\n| scratch |  | 0.01 |" in page
    assert "no controlled pair: they differ in learning rate too." in page
    bare = findings.render(document([]), {}, {})
    assert "What training makes of it" not in bare
    assert "published code" not in bare


def test_what_broke_is_said_and_never_looks_like_what_does_not_apply() -> None:
    broke = [{"model": MODELS[1], "claim": "builtin|top1-confidence", "message": "no *tokenizer*"}]
    page = findings.render(document([result("top1-confidence", MODELS[0], Verdict.ABSENT)], errors=broke), {}, {})
    assert "| top1-confidence | ○ 0.25 [0.20, 0.30] | not measured |" in page
    assert "## Could not be measured\n\n- **tiny-fine**: no &#42;tokenizer&#42;" in page


def test_other_models_and_several_texts_are_refused() -> None:
    given = document([])
    given["models"][1] |= {"name": "mixtral", "kind": "hub"}
    with pytest.raises(
        UsageError, match=r"^findings are about the embedded models, and these results are about 'mixtral'"
    ):
        findings.render(given, {}, {})
    rows = [result("top1-confidence", MODELS[0], Verdict.ABSENT, corpus=text) for text in ("b", "a")]
    with pytest.raises(UsageError, match=r"^findings are about one text, and these results are about 2 \(a, b\): "):
        findings.render(document(rows), {}, {})


def test_numbers_of_a_file_are_inert_too() -> None:
    given = document([])
    given["models"][0] |= {"moe_layers": "<b>", "experts": "<i>", "weights_sha256": "<script>"}
    given["corpora"][0] |= {"sequences": "<u>"}
    assert not set(re.findall(r"<[a-z]+>", findings.render(given, {}, {})))


def test_claims_of_one_id_in_two_packs_are_told_apart() -> None:
    theirs = {"id": "theirs", "title": "T <b>", "paper": "P <i>", "evidence": {}}
    rows = [
        result("top1-confidence", model, verdict, pack=pack)
        for pack, verdict in ((PACK.id, Verdict.REPLICATED), ("theirs", Verdict.ABSENT))
        for model in MODELS
    ]
    page = findings.render(document(rows, packs=[PACK.described(), theirs]), {}, {})
    assert "holds on" in line_of(page, "look&#95;into&#95;moes/top1-confidence")
    assert "is absent" in line_of(page, "theirs/top1-confidence")
    assert "| theirs/top1-confidence | ○ 0.25 [0.20, 0.30] | ○ 0.25 [0.20, 0.30] |" in page
    assert "| look&#95;into&#95;moes/top1-confidence | ✓ 0.25 [0.20, 0.30] | ✓ 0.25 [0.20, 0.30] |" in page
    assert f"*{PACK.title}* (arXiv 2406.18219), *T &#60;b&#62;* (P &#60;i&#62;)" in page
