"""CSV: a line per row, numbers in full, text that no spreadsheet computes with."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import csv_table, results
from moe_claims.types import Companion, Interval

Maker = Callable[..., dict[str, Any]]

PUBLISHED = {
    "model": "mixtral", "paper_says": "holds", "value": 0.63, "standard_error": None, "none": 0.0,
    "place": "Figure 10", "note": "by eye", "companions": {"overlap": {"value": 0.7}},
}  # fmt: skip
CRITERIA = {
    "published_in_our_interval": True, "ours_in_prediction_interval": False, "small_telescope_passed": None,
    "pooled_differs_from_none": True, "pooled_estimate": 0.6, "pooled": {"low": 0.5, "high": 0.7},
    "standard_error_origin": "ours", "companions": {},
}  # fmt: skip


def read(document: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_table.render(document), newline=""), strict=True))


@given(
    effect=st.floats(allow_nan=False, allow_infinity=False),
    low=st.floats(allow_nan=False, allow_infinity=False),
    p=st.floats(0, 1),
)
def test_numbers_are_read_back_exactly(made_row: Maker, made_document: Maker, effect: float, low: float, p: float):
    row = made_row(effect=effect, interval=Interval(low, 0.1 + 0.2, 0.95, "x"), p_value=p, p_adjusted=None)
    (found,) = read(made_document([row]))
    assert (float(found["effect"]), float(found["ci_low"]), float(found["p_value"])) == (effect, low, p)
    assert float(found["ci_high"]) == 0.1 + 0.2
    assert found["p_adjusted"] == ""
    assert int(found["n_units"]) == 26


def test_every_value_of_a_row_has_its_column(made_row: Maker, made_document: Maker) -> None:
    near = Companion(0.684, Interval(0.661, 0.702, 0.95, "bootstrap"))
    control = {"random_init": {"verdict": "absent", "effect": -0.004, "reason": "so", "artefact": False}}
    row = made_row(
        published=PUBLISHED, criteria=CRITERIA, controls=control, details={"x": 0.5}, companions={"overlap": near}
    )
    (found,) = read(made_document([row]))
    assert tuple(found) == csv_table.COLUMNS
    assert found["statement"] == LIVE["router-norm"].statement
    told = {name: value for name, value in found.items() if name.startswith(("published", "criteria", "random"))}
    assert told == {
        "published_model": "mixtral", "published_paper_says": "holds", "published_value": "0.63",
        "published_standard_error": "", "published_none": "0.0", "published_place": "Figure 10",
        "published_note": "by eye", "criteria_published_in_our_interval": "true",
        "criteria_ours_in_prediction_interval": "false", "criteria_small_telescope_passed": "",
        "criteria_pooled_differs_from_none": "true", "criteria_pooled_estimate": "0.6",
        "criteria_standard_error_origin": "ours", "criteria_pooled_low": "0.5", "criteria_pooled_high": "0.7",
        "criteria_reason": "", "random_init_verdict": "absent", "random_init_effect": "-0.004",
        "random_init_artefact": "false", "random_init_reason": "so",
    }  # fmt: skip
    assert json.loads(found["details"]) == {"x": 0.5}
    overlap = json.loads(found["companions"])["overlap"]
    assert (overlap["value"], overlap["published"], overlap["criteria"]) == (0.684, {"value": 0.7}, None)


def test_a_line_for_every_row_with_line_ends_of_the_standard(made_row: Maker, made_document: Maker) -> None:
    rows = [made_row(reason='one\nand, "two"'), *map(results.result_row, judged_counts(PACK).results)]
    text = csv_table.render(made_document(rows))
    assert text.count("\r\n") == text.count("\n") == 1 + len(rows)
    (live,) = [found for found in read(made_document(rows)) if found["evidence"] == "live"]
    assert live["reason"] == 'one\\nand, "two"'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "'quoted", "'=1"])
def test_text_that_a_spreadsheet_would_compute_gets_an_apostrophe(made_row: Maker, made_document: Maker, text: str):
    (found,) = read(made_document([made_row(reason=text)]))
    assert found["reason"] == f"'{text}"


def test_negative_numbers_stay_numbers(made_row: Maker, made_document: Maker) -> None:
    (found,) = read(made_document([made_row(effect=-0.5, reason="a = b")]))
    assert found["effect"] == "-0.5"
    assert found["reason"] == "a = b"
