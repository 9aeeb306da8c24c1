"""The reports: valid, in a fixed order, honest in rounding, and inert whatever the names are."""

import json
import re
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import formatting, markdown, markdown_text, results, table
from moe_claims.types import Audit, AuditOutcome, Companion, Interval, NullDistribution, Result, Verdict


def row(**changes: Any) -> Result:
    settled: dict[str, Any] = {
        "pack": PACK.id,
        "claim": "router-norm",
        "claim_version": 1,
        "variant": "total",
        "evidence": "live",
        "family": "headline",
        "model": "a-model",
        "corpus": "builtin",
        "verdict": Verdict.REPLICATED,
        "reason": "p ≤ 0.001 and at least the smallest effect of interest",
        "effect_name": "mean Spearman ρ",
        "effect": 0.6312,
        "interval": Interval(0.6041, 0.6579, 0.95, "BCa bootstrap over sequences"),
        "smallest": 0.10,
        "p_value": 0.0001,
        "p_adjusted": 0.0013,
        "null": "labels permuted",
        "unit": "sequence",
        "n_units": 26,
        "controls": {
            "random_init": {"verdict": "absent", "effect": 0.004, "reason": "equivalent to none", "artefact": False}
        },
        "details": {"p_labels": 0.0001},
    }
    return Result(**(settled | changes))


CARD = {
    "name": "a-model", "kind": "directory", "hub_id": None, "revision_sha": None, "family": "mixtral", "moe_layers": 12,
    "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 128, "intermediate": 128, "weights_sha256": "0" * 64,
    "note": None,
}  # fmt: skip
TEXT = {
    "name": "builtin", "model": "a-model", "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
    "source": None, "revision_sha": None,
    "sequences": 26, "tokens": 7174, "tokens_cut": 0, "nats_per_token": 4.03,
}  # fmt: skip


def document(rows: list[Result] | None = None, **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "created": "2026-01-01T00:00:00+00:00",
        "environment": {"moe_claims": "0", "python": "3.11", "seed": 0},
        "packs": [PACK.described()],
        "models": [CARD],
        "corpora": [TEXT],
        "results": [
            results.result_row(r) for r in (rows if rows is not None else [row(), *judged_counts(PACK).results])
        ],
        "audits": [results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()],
        "errors": [],
        "order": {"public": 0, "live": 1},
    }
    return results.document(**(parts | changes))


# --- the file -------------------------------------------------------------------------------------


def test_the_document_follows_its_schema() -> None:
    jsonschema.validate(document(), results.schema())
    jsonschema.Draft202012Validator.check_schema(results.schema())


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "proved"},
        {"p_value": 1.5},
        {"surprise": 1},
        {"effect": {"value": 1.0}},
        {"evidence": None},
        {"companions": {"top-1 agreement": {"value": 0.7}}},
        {"published": {"value": 0.6}},
        {"null_distribution": {"levels": [0.0, 1.0], "quantiles": [-1.0, 1.0]}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_it_does_not_know(change: dict[str, Any]) -> None:
    broken = document()
    broken["results"][0] = broken["results"][0] | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, results.schema())


LABELS = NullDistribution(
    "labels permuted", None, 0.6312, "upper", (0.0, 0.5, 1.0), (-0.3, 0.001, 0.28), draws=9_999, exact=False
)
CURVES = NullDistribution(
    "AR(1) curves", "Kendall τ of S_g", -0.4, "lower", (0.05, 0.95), (-0.5, 0.5), draws=None, exact=False, of_tests=2
)


def test_the_null_distribution_names_its_axis() -> None:
    shown = document(
        [row(variant="a", null_distribution=LABELS), row(variant="b", null_distribution=CURVES), row(variant="c")]
    )
    jsonschema.validate(shown, results.schema())
    own, other, none = (result["null_distribution"] for result in shown["results"])
    assert own == {
        "method": "labels permuted",
        "statistic": "mean Spearman ρ",
        "is_effect": True,
        "observed": 0.6312,
        "tail": "upper",
        "levels": [0.0, 0.5, 1.0],
        "quantiles": [-0.3, 0.001, 0.28],
        "draws": 9_999,
        "exact": False,
        "of_tests": 1,
    }
    assert (other["statistic"], other["is_effect"], other["draws"]) == ("Kendall τ of S_g", False, None)
    assert (other["tail"], other["of_tests"]) == ("lower", 2)
    assert none is None


@pytest.mark.parametrize(
    "change", [{"tail": "both"}, {"levels": [0.0, 1.5]}, {"quantiles": [None, 1.0]}, {"draws": 0}, {"p": 0.1}], ids=str
)
def test_the_schema_refuses_a_null_distribution_that_is_none(change: dict[str, Any]) -> None:
    broken = document([row(null_distribution=LABELS)])
    broken["results"][0]["null_distribution"] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, results.schema())


def test_all_models_stand_side_by_side() -> None:
    fresh = {"random_init": {"verdict": "replicated", "effect": 0.4, "reason": "so", "artefact": True}}
    rows = [
        row(model="a"),
        row(model="b", verdict=Verdict.ABSENT, effect=0.004),
        row(model="a", claim="top1-confidence", variant=None, controls=fresh),
        row(model="b", claim="top1-confidence", variant=None, verdict=Verdict.NOT_APPLICABLE, effect=None),
        row(model="a", claim="pca-clusters", verdict=Verdict.NOT_APPLICABLE, effect=None),
    ]
    lines = table.render(document(rows)).splitlines()
    (at,) = [number for number, line in enumerate(lines) if line == "All models: verdict and effect"]
    assert lines[at + 1].split() == ["claim", "a", "b"]
    assert lines[at + 3].split() == ["router-norm", "[total]", "✓", "0.63", "○", "0.004"]
    assert lines[at + 4].split() == ["top1-confidence", "✓", "0.63", "†", "–"]
    assert not any("pca-clusters" in line for line in lines[at:])
    assert table.render(document([row()])).splitlines()[-2].split() == ["router-norm", "[total]", "✓", "0.63"]


def test_what_must_be_known_about_weights_is_said_once() -> None:
    cards = [CARD | {"name": name, "note": "kept in *few* bits"} for name in ("a-model", "b-model")]
    page = markdown.render(document(models=cards))
    assert page.count("- kept in &#42;few&#42; bits") == 1
    assert "kept in" not in markdown.render(document())


def test_order_does_not_depend_on_who_came_first() -> None:
    rows = [row(variant=v, model=m) for v in ("total", "token-specific") for m in ("b", "a")]
    claim = "look_into_moes/router-norm"
    order = {"live": 0, "a": 1, "b": 2, f"{claim}[total]": 3, f"{claim}[token-specific]": 4}
    one, other = document(rows, order=order), document(rows[::-1], order=order)
    assert json.dumps(one) == json.dumps(other)
    assert [(r["model"], r["variant"]) for r in one["results"]] == [
        ("a", "total"), ("a", "token-specific"), ("b", "total"), ("b", "token-specific"),
    ]  # fmt: skip


def test_written_whole_read_back_and_never_nan(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    results.write(path, document())
    assert results.read(path) == document()
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write(path, document([row(effect=float("nan"))]))
    assert results.read(path) == document()


def test_files_that_are_no_results_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"schema_version": 1}')
    (tmp_path / "half.json").write_text('{"schema_version"')
    (tmp_path / "list.json").write_text("[]")
    for name, message in (
        ("none.json", "there is no results file"),
        ("old.json", "has schema version 1; this package reads versions 3, 4, 5"),
        ("half.json", "is not a results file"),
        ("list.json", "has schema version None"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            results.read(tmp_path / name)
        assert "\n" not in str(error.value)


# --- rounding -------------------------------------------------------------------------------------


@given(p=st.floats(0, 1))
def test_p_is_rounded_up(p: float) -> None:
    shown = formatting.p(p)
    assert float(shown.removeprefix("≤ ")) >= p - 1e-9


@given(low=st.floats(-1e4, 1e4), width=st.floats(0, 1e4))
def test_intervals_are_rounded_outwards(low: float, width: float) -> None:
    given_row = results.result_row(row(interval=Interval(low, low + width, 0.95, "x")))
    first, last = (float(end) for end in formatting.interval(given_row).strip("[]").split(", "))
    assert first <= low + 1e-6
    assert last >= low + width - 1e-6


def test_numbers_keep_what_matters() -> None:
    assert [formatting.number(v) for v in (None, 0.0, 0.5, 0.004, -0.0004, 123.456)] == [
        "–", "0.00", "0.50", "0.004", "-0.0004", "123.5",
    ]  # fmt: skip


@given(share=st.floats(0, 1))
def test_nearly_all_is_never_shown_as_all_nor_next_to_none_as_none(share: float) -> None:
    assume(1e-9 < share < 1 - 1e-8)
    assert float(formatting.number(share)) not in (0.0, 1.0)
    assert formatting.number(0.996) == "0.996"
    assert formatting.number(1.0) == "1.00"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0467, "0.047"), (0.04996, "0.04996"), (0.0549, "0.055"), (0.05, "0.05")]
)
def test_an_effect_never_looks_like_the_smallest_of_interest_unless_it_is(value: float, shown: str) -> None:
    assert formatting.effect(results.result_row(row(effect=value, smallest=0.05))) == shown
    assert formatting.effect(results.result_row(row(effect=-value, smallest=-0.05))) == f"-{shown}"


# --- text -----------------------------------------------------------------------------------------


def test_the_table_says_what_was_run_and_found() -> None:
    text = table.render(document())
    assert "✓ replicated  router-norm [total]" in text
    assert "○ absent (0.004)" in text
    assert "26 sequences, 7,174 tokens, 4.03 nats per token" in text
    assert text.index("Audits") < text.index("Public measurements") < text.index("Live: a-model")
    assert max(len(line) for line in text.splitlines()) <= 120


def test_audits_of_numbers_and_of_code_stand_under_titles_of_their_own() -> None:
    shown = Audit(
        "row-order", "so", "a place", AuditOutcome.DISAGREES, "0.5", "0.6", "0.6 → 0.5.", pack=PACK.id, kind="code"
    )
    numbers = [results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()]
    of_numbers = "the paper's printed numbers, recomputed from each other"
    of_code = "the published code, on our own measurements"
    both = document(audits=[*numbers, results.audit_row(shown)])
    jsonschema.validate(both, results.schema())
    for render, head in ((table.render, "Audits: "), (markdown.render, "## Audits of ")):
        text = render(both)
        first, second = text.index(head + of_numbers), text.index(head + of_code)
        assert first < text.index("figure10-diagonal") < second < text.index("row-order")
        assert head + of_code not in render(document(audits=numbers))
        assert head + of_numbers not in render(document(audits=[results.audit_row(shown)]))
        assert head not in render(document(audits=[]))
    assert "- Audits of the published code: 1 disagrees\n" in markdown.render(both)
    assert "- Audits of the paper's printed numbers: 5 agrees" in markdown.render(both)


def test_errors_are_named_once() -> None:
    errors = [
        {"model": "b", "claim": c, "message": "'b' has no config.json"} for c in ("router-norm", "neuron-experts")
    ]
    for text in (table.render(document(errors=errors)), markdown.render(document(errors=errors))):
        assert "Could not be measured" in text
        assert text.count("has no config.json") == 1


def trained(claim: str, model: str, **changes: Any) -> Result:
    return row(
        claim=claim, evidence="trained", family="trained", model=model, corpus="a-text.gz", controls={}, **changes
    )


def test_trainings_have_a_group_of_their_own_between_public_and_live() -> None:
    interval = Interval(0.0081, 0.0164, 0.95, "Student t over seeds")
    printed = {"model": "24-layer MoEs", "paper_says": "holds", "value": 0.0134, "standard_error": None, "none": 0.0,
               "place": "Table 6", "note": "a line", "companions": {}}  # fmt: skip
    rows = [
        trained("depth-needs-experts", "8-layer a", variant="slope-total", effect=0.0123, interval=interval,
                smallest=0.01, published=printed, criteria={"reason": "no error follows", "companions": {}}),
        trained("training-scheme", "8-layer b", variant="order"),
    ]  # fmt: skip
    shown = document([row(), *judged_counts(PACK).results, *rows], order={"public": 0, "trained": 1, "live": 2})
    jsonschema.validate(shown, results.schema())
    for text in (table.render(shown), markdown.render(shown)):
        places = [text.index(part) for part in ("Public measurements: ", "Trained for the question", "Live: a-model")]
        assert places == sorted(places)
        assert "8-layer a, trained on a-text.gz: 1 replicated" in text
        assert "8-layer b, trained on a-text.gz: 1 replicated" in text
        assert "0.012" in text
        assert "[0.008, 0.017]" in text
        assert "0.013" in text
        assert "its value with models of another size" in text
        assert "for this very model" not in text
    assert "- Trained for the question: 2 replicated" in markdown.render(shown)
    assert "no error follows" in markdown.render(shown)
    assert "for last-total, last-activated: excess loss of the last layer" in markdown.render(shown)


# --- many rows -----------------------------------------------------------------------------------


def every_live_row(texts: tuple[str, ...] = ("builtin",)) -> list[Result]:
    """All 31 claims in all variants, with the verdicts in turn."""
    judged = cycle([verdict for verdict in Verdict if verdict != Verdict.NOT_APPLICABLE])
    return [
        row(claim=claim.id, variant=variant, family=claim.family, corpus=text, verdict=next(judged))
        for claim in LIVE.values()
        for variant in claim.variants
        for text in (texts if claim.needs_of(variant) == "text" else (None,))
    ]


def test_headline_and_secondary_claims_stand_apart_and_are_counted() -> None:
    rows = every_live_row()
    shown = document(rows)
    for text in (table.render(shown), markdown.render(shown)):
        first, second = text.index("Headline claims"), text.index("Secondary claims")
        for claim in LIVE.values():
            place = re.search(rf"{claim.id}(?![a-z-])", text)
            assert place is not None
            assert (place.start() > second) == (claim.family == "secondary")
        assert first < second
    headline = [r for r in rows if r.family == "headline"]
    said = re.search(r"Headline claims \(Holm\): (.+)", table.render(shown))
    assert said is not None
    assert sum(int(number) for number in re.findall(r"\d+", said[1])) == len(headline)


@pytest.mark.parametrize("texts", [("builtin",), ("builtin", "builtin-math", "builtin-code")])
def test_a_long_table_fits_on_a_terminal(texts: tuple[str, ...]) -> None:
    rows = every_live_row(texts)
    text = table.render(document(rows, audits=[]), width=120)
    assert max(map(len, text.splitlines())) <= 120
    lines = text.partition("Verdict and effect")[0].splitlines()
    assert sum(line[0] in formatting.SIGNS.values() for line in lines if line) == len(rows)


def test_a_row_names_its_text_where_there_are_several_and_only_there() -> None:
    one, two = every_live_row(), every_live_row(("builtin", "builtin-math"))
    assert " · builtin" not in table.render(document(one))
    text = table.render(document(two)).partition("Verdict and effect")[0]
    assert text.count("router-norm [total] · builtin ") == 1
    assert text.count("router-norm [total] · builtin-math ") == 1
    assert "neuron-experts ·" not in text


def test_claims_that_do_not_apply_are_set_aside_with_their_reason() -> None:
    reason = "no dense model to compare with: --moe-dense-reference NAME gives one"
    aside = [
        row(claim="dense-reference", variant=v, family="secondary", corpus=None, verdict=Verdict.NOT_APPLICABLE,
            reason=reason, effect=None, interval=None, p_value=None, p_adjusted=None)
        for v in LIVE["dense-reference"].variants
    ]  # fmt: skip
    order = {name: rank for rank, name in enumerate(map(PACK.key, LIVE["dense-reference"].row_keys()))}
    shown = document([row(), *aside], order=order)
    said = "dense-reference [matrix up, matrix act, matrix down, mean act, outputs]"
    text = table.render(shown, width=200)
    assert f"– not applicable: {said}: {reason}" in text
    assert text.count("dense-reference") == text.count(said) + text.count("--moe-dense-reference") == 2
    assert "Secondary claims (Benjamini–Hochberg): 5 not-applicable" in text
    assert f"- **{markdown_text.escape(said)}**: {reason}" in markdown.render(shown)
    jsonschema.validate(shown, results.schema())


# --- controls ------------------------------------------------------------------------------------


def test_an_artefact_is_marked_and_the_mark_explained_below_its_table() -> None:
    control = {"random_init": {"verdict": "replicated", "effect": 0.5, "reason": "p ≤ 0.001", "artefact": True}}
    shown = document([row(controls=control)])
    for text in (table.render(shown), markdown.render(shown)):
        assert "✓ replicated (0.50) †" in text
        assert "† replicated at random initialisation too: an artefact of the architecture" in text
    no_artefact = {"random_init": {**control["random_init"], "artefact": False}}
    for fine in (row(), row(controls=no_artefact, verdict=Verdict.ABSENT), row(controls={})):
        assert "†" not in table.render(document([fine]))
        assert "†" not in markdown.render(document([fine]))


def test_a_control_that_was_not_run_says_why_once() -> None:
    control = {"random_init": {"verdict": None, "effect": None, "reason": "it would take 93 GB", "artefact": False}}
    rows = [row(controls=control), row(variant="token-specific", controls=control)]
    for text in (table.render(document(rows)), markdown.render(document(rows))):
        assert text.count("not run") == 3
        assert text.count("random initialisation was not run: it would take 93 GB") == 1


# --- against the paper ---------------------------------------------------------------------------

FOUR = {
    "published_in_our_interval": True, "ours_in_prediction_interval": True, "small_telescope_passed": False,
    "pooled_differs_from_none": True, "pooled": {"low": 0.5, "high": 0.7}, "pooled_estimate": 0.6,
    "standard_error_origin": "not published: ours", "companions": {},
}  # fmt: skip
PUBLISHED = {
    "model": "m", "paper_says": "holds", "value": 0.63, "standard_error": None, "none": 0.0, "place": "Figure 10",
    "note": "read by eye", "companions": {},
}  # fmt: skip


def test_published_values_come_with_all_four_criteria() -> None:
    shown = document([row(published=PUBLISHED, criteria=FOUR)])
    jsonschema.validate(shown, results.schema())
    assert "0.63 (3 of 4)" in table.render(shown)
    assert "paper: its value for this very model, and how many of the replication criteria are met" in table.render(
        shown
    )
    text = markdown.render(shown)
    assert "The paper has 0.63 (Figure 10: read by eye)" in text
    assert "published value inside our interval: yes" in text
    assert "small telescopes: large enough for the published study to have found: no" in text
    assert "random-effects pooled estimate differs from no effect: yes" in text
    assert "Pooled: 0.60 [0.50, 0.70] (standard error not published: ours)" in text


def test_criteria_that_do_not_apply_are_neither_met_nor_missed() -> None:
    none = FOUR | {"small_telescope_passed": None, "pooled_differs_from_none": None}
    shown = document([row(published=PUBLISHED | {"paper_says": "absent", "value": 0.0}, criteria=none)])
    assert "0.00 (2 of 2)" in table.render(shown)
    assert markdown.render(shown).count("not applicable, as the paper finds no effect") == 2


def test_criteria_that_cannot_be_computed_say_why() -> None:
    shown = document([row(published=PUBLISHED, criteria={"reason": "our interval has no width", "companions": {}})])
    assert re.search(r"0\.63$", table.render(shown), re.MULTILINE)
    assert "The paper has 0.63 (Figure 10: read by eye): our interval has no width." in markdown.render(shown)


def test_companions_are_written_and_shown_with_their_own_criteria() -> None:
    near = Companion(0.684, Interval(0.661, 0.702, 0.95, "BCa bootstrap over sequences"))
    leaf = {key: PUBLISHED[key] for key in ("standard_error", "place", "note")} | {"value": 0.685, "none": 0.125}
    published = PUBLISHED | {"companions": {"top-1 agreement": leaf}}
    criteria = FOUR | {"companions": {"top-1 agreement": {k: v for k, v in FOUR.items() if k != "companions"}}}
    companions = {"top-1 agreement": near, "top-k overlap": near}
    shown = document([row(published=published, criteria=criteria, companions=companions)])
    jsonschema.validate(shown, results.schema())
    assert shown["results"][0]["companions"]["top-1 agreement"] == {
        "value": 0.684, "ci_low": 0.661, "ci_high": 0.702, "ci_method": "BCa bootstrap over sequences", "level": 0.95,
    }  # fmt: skip
    text = markdown.render(shown)
    assert "Beside it, top-1 agreement: 0.68 [0.66, 0.71]. The paper has 0.69 (Figure 10: read by eye)" in text
    assert "Beside it, top-k overlap: 0.68 [0.66, 0.71].\n" in text  # without a published value of its own
    alone = markdown.render(document([row(companions=companions)]))
    assert "Beside it, top-1 agreement: 0.68 [0.66, 0.71]." in alone


HOSTILE = [
    "<script>alert(1)</script>",
    "a|b\nc",
    "**bold** [link](javascript:alert(1)) `code`",
    "\u202eevil\u202c 🙂 $x^2$ & more",
    "x" * 300,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_inert_in_markdown(name: str) -> None:
    text = markdown.render(
        document([row(model=name)], models=[CARD | {"name": name}], corpora=[TEXT | {"name": name, "model": name}])
    )
    assert "<script" not in text
    assert "](javascript" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in tables if "router" in line or "mixtral" in line}
    assert "x" * 300 in text or name != "x" * 300  # nothing is truncated
    assert all(count >= 6 for count in widths)
    assert markdown_text.escape(name).count("\n") == 0
