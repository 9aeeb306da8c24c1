"""The reports: valid, in a fixed order, honest in rounding, and inert whatever the names are."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.analysis.audits import run_audits
from moe_claims.analysis.loads import public_results
from moe_claims.errors import UsageError
from moe_claims.report import cells, markdown, results, table
from moe_claims.types import Interval, Result, Verdict


def row(**changes: Any) -> Result:
    settled: dict[str, Any] = {
        "claim": "router-norm",
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
        "controls": {"random_init": {"verdict": "absent", "effect": 0.004, "reason": "equivalent to none"}},
        "details": {"p_labels": 0.0001},
    }
    return Result(**(settled | changes))


CARD = {
    "name": "a-model", "kind": "directory", "hub_id": None, "revision_sha": None, "family": "mixtral", "moe_layers": 12,
    "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 128, "intermediate": 128, "weights_sha256": "0" * 64,
}  # fmt: skip
TEXT = {
    "name": "builtin", "model": "a-model", "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
    "sequences": 26, "tokens": 7174, "tokens_cut": 0, "nats_per_token": 4.03,
}  # fmt: skip


def document(rows: list[Result] | None = None, **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "created": "2026-01-01T00:00:00+00:00",
        "environment": {"moe_claims": "0", "python": "3.11", "seed": 0},
        "models": [CARD],
        "corpora": [TEXT],
        "results": [results.result_row(r) for r in (rows if rows is not None else [row(), *public_results()])],
        "audits": [results.audit_row(audit) for audit in run_audits()],
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
    [{"verdict": "proved"}, {"p_value": 1.5}, {"surprise": 1}, {"effect": {"value": 1.0}}, {"evidence": "hearsay"}],
    ids=str,
)
def test_the_schema_refuses_what_it_does_not_know(change: dict[str, Any]) -> None:
    broken = document()
    broken["results"][0] = broken["results"][0] | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, results.schema())


def test_order_does_not_depend_on_who_came_first() -> None:
    rows = [row(variant=v, model=m) for v in ("total", "token-specific") for m in ("b", "a")]
    order = {"live": 0, "a": 1, "b": 2, "total": 3, "token-specific": 4}
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
    (tmp_path / "old.json").write_text('{"schema_version": 0}')
    (tmp_path / "half.json").write_text('{"schema_version"')
    (tmp_path / "list.json").write_text("[]")
    for name, message in (
        ("none.json", "there is no results file"),
        ("old.json", "has schema version 0; this package reads version 1"),
        ("half.json", "is not a results file"),
        ("list.json", "has schema version None"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            results.read(tmp_path / name)
        assert "\n" not in str(error.value)


# --- rounding -------------------------------------------------------------------------------------


@given(p=st.floats(0, 1))
def test_p_is_rounded_up(p: float) -> None:
    shown = cells.p(p)
    assert float(shown.removeprefix("≤ ")) >= p - 1e-9


@given(low=st.floats(-1e4, 1e4), width=st.floats(0, 1e4))
def test_intervals_are_rounded_outwards(low: float, width: float) -> None:
    given_row = results.result_row(row(interval=Interval(low, low + width, 0.95, "x")))
    first, last = (float(end) for end in cells.interval(given_row).strip("[]").split(", "))
    assert first <= low + 1e-6
    assert last >= low + width - 1e-6


def test_numbers_keep_what_matters() -> None:
    assert [cells.number(v) for v in (None, 0.0, 0.5, 0.004, -0.0004, 123.456)] == [
        "–", "0.00", "0.50", "0.004", "-0.0004", "123.5",
    ]  # fmt: skip


# --- text -----------------------------------------------------------------------------------------


def test_the_table_says_what_was_run_and_found() -> None:
    text = table.render(document())
    assert "✓ replicated  router-norm [total]" in text
    assert "○ absent (0.004)" in text
    assert "26 sequences, 7,174 tokens, 4.03 nats per token" in text
    assert text.index("Audits") < text.index("Public measurements") < text.index("Live: a-model")
    assert max(len(line) for line in text.splitlines()) <= 132


def test_errors_are_named_once() -> None:
    errors = [
        {"model": "b", "claim": c, "message": "'b' has no config.json"} for c in ("router-norm", "neuron-experts")
    ]
    for text in (table.render(document(errors=errors)), markdown.render(document(errors=errors))):
        assert "Could not be measured" in text
        assert text.count("has no config.json") == 1


def test_published_values_come_with_all_four_criteria() -> None:
    published = {"model": "m", "value": 0.63, "standard_error": None, "place": "Figure 10", "note": ""}
    criteria = {
        "published_in_our_interval": True, "ours_in_prediction_interval": True, "small_telescope_passed": False,
        "pooled": {"low": 0.5, "high": 0.7}, "pooled_estimate": 0.6, "standard_error_origin": "not published: ours",
    }  # fmt: skip
    shown = document([row(published=published, criteria=criteria)])
    assert "0.63 (Figure 10), 2 of 3 criteria" in table.render(shown)
    text = markdown.render(shown)
    assert "published value inside our interval: yes" in text
    assert "small telescopes: large enough for the published study to have found: no" in text
    assert "random-effects pooled estimate 0.60 [0.50, 0.70]" in text


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
    assert markdown.escape(name).count("\n") == 0
