"""What a run prints at its end by verbosity, and tables with intervals at every width."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import formatting, results, table
from moe_claims.report.screen import Screen
from moe_claims.types import Companion, Interval, Verdict

Maker = Callable[..., dict[str, Any]]
FRESH = {"random_init": {"verdict": "replicated", "effect": 0.4, "reason": "it is so", "artefact": True}}
PUBLISHED = {
    "model": "m", "paper_says": "holds", "value": 0.634, "standard_error": None, "none": 0.0, "place": "Figure 10",
    "note": "read by eye", "companions": {"top-1": {"value": 0.685, "none": 0.125, "place": "T", "note": "n"}},
}  # fmt: skip
ANSWERS = {
    "published_in_our_interval": True, "ours_in_prediction_interval": True, "small_telescope_passed": False,
    "pooled_differs_from_none": None, "pooled_estimate": 0.6, "pooled": {"low": 0.5, "high": 0.7},
    "standard_error_origin": "ours", "companions": {},
}  # fmt: skip
ERROR = {"model": "b-model", "claim": "look_into_moes/router-norm", "message": "'b-model' has no config.json"}


@pytest.fixture
def document(made_row: Maker, made_document: Maker) -> dict[str, Any]:
    """All claims on two models, published counts, an audit, and an error that two tests had."""
    verdicts = list(Verdict)
    rows = [results.result_row(row) for row in judged_counts(PACK).results]
    for model in ("a-model", "c-model"):
        for claim in LIVE.values():
            for variant in claim.variants:
                rows.append(
                    made_row(
                        claim=claim.id, variant=variant, model=model, family=claim.family,
                        verdict=verdicts[len(rows) % len(verdicts)], effect=-0.1001 - len(rows) / 1000,
                        controls=FRESH, published=PUBLISHED, criteria=ANSWERS,
                        companions={"top-1": Companion(0.684, Interval(0.661, 0.702, 0.95, "x"))},
                        details={"p_labels": 0.000123456, "layers": 12},
                    )
                )  # fmt: skip
    return made_document(rows, errors=[ERROR, {**ERROR, "claim": "look_into_moes/top1-confidence"}])


@pytest.mark.parametrize("verbosity", [-1, 0, 1, 2])
@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(document: dict[str, Any], width: int, verbosity: int) -> None:
    text = table.summary(document, Screen(width), verbosity=verbosity)
    assert max(map(Screen().columns, text.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 120, 200])
def test_intervals_and_numbers_are_whole(document: dict[str, Any], width: int) -> None:
    text = table.summary(document, Screen(width), verbosity=1)
    for row in document["results"]:
        if row["verdict"] == "not-applicable":
            continue
        effect, interval = formatting.effect(row), re.escape(formatting.interval(row))
        assert re.search(rf"(^|\s){re.escape(effect)}\s+{interval}", text, re.MULTILINE)
    assert "0.63" in text
    assert "(2 of 3)" in text


def test_the_narrower_the_fewer_words(document: dict[str, Any]) -> None:
    wide, middle, narrow = (table.summary(document, Screen(width), verbosity=1) for width in (160, 100, 40))
    assert "✓ replicated (0.40)" in wide
    assert "✓ replicated (0.40)" not in middle
    assert re.search(r"^[✓✗○~?] \S+ .*✓ 0\.40", middle, re.MULTILINE)
    assert re.search(r"^  -0\.\d+ \[.*\], adj\. p 0\.002,$", narrow, re.MULTILINE)


def test_by_default_tallies_errors_and_the_matrix_in_this_order(document: dict[str, Any]) -> None:
    text = table.summary(document, Screen(100))
    parts = ["Audits of the paper's printed numbers: 1 disagrees", "Public measurements: ", "Could not be measured",
             "All models: verdict and effect", "✓ replicated, "]  # fmt: skip
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert "95 % interval" not in text
    assert text.count("has no config.json") == 1


def test_quiet_has_no_tallies(document: dict[str, Any]) -> None:
    text = table.summary(document, Screen(100), verbosity=-1)
    assert text.startswith("Could not be measured\n  b-model: 'b-model' has no config.json")
    assert "Public measurements" not in text
    assert "All models" in text


def test_verbose_has_tables_before_the_matrix(document: dict[str, Any]) -> None:
    text = table.summary(document, Screen(150), verbosity=1)
    at = text.index("All models: verdict and effect")
    for part in ("Audits: the paper's printed numbers", "Public measurements: ", "Live: a-model", "Live: c-model"):
        assert text.index(part) < at
    assert "95 % interval" not in text[at:]
    assert "statement" not in text


def test_very_verbose_says_all_of_a_claim(made_row: Maker, made_document: Maker) -> None:
    row = made_row(
        controls=FRESH, published=PUBLISHED, criteria=ANSWERS, details={"p_labels": 0.000123456, "layers": 12},
        companions={"top-1": Companion(0.684, Interval(0.661, 0.702, 0.95, "x"))},
    )  # fmt: skip
    text = table.summary(made_document([row]), Screen(200), verbosity=2)
    said = text[: text.index("Audits")]
    record = PACK.live["router-norm"]
    for part in (
        "✓ replicated: router-norm [total]: a-model, builtin",
        f"statement   {record.statement}",
        "reason      p ≤ 0.001",
        "estimand    mean Spearman ρ",
        "effect      0.63 [-0.10, 0.34] (BCa bootstrap over sequences); smallest of interest 0.10",
        "null        labels permuted",
        "unit        sequence (26)",
        "p           ≤ 0.001, 0.002 after correction",
        "control     random initialisation: ✓ replicated (0.40) †; it is so",
        "paper       0.63 (Figure 10: read by eye); published value inside our interval: yes; ",
        "pooled estimate differs from no effect: not applicable",
        "beside it   top-1: 0.68 [0.66, 0.71], the paper 0.69",
        "details     p_labels: 0.0001235; layers: 12",
    ):
        assert part in said, part


def test_a_claim_without_a_record_is_shown_without_it(made_row: Maker, made_document: Maker) -> None:
    row = made_row(claim="own", variant=None, effect=None, interval=None, p_value=None, p_adjusted=None, corpus=None)
    text = table.summary(made_document([row]), Screen(100), verbosity=2)
    assert "✓ replicated: own: a-model\n" in text
    assert "statement" not in text
    assert not re.search(r"^  (p|effect|paper|control) ", text, re.MULTILINE)


def test_errors_are_red_and_nothing_else_is_but_what_is_contradicted(document: dict[str, Any]) -> None:
    text = table.summary(document, Screen(120, colour=True), verbosity=2)
    red = [re.sub(r"\s+", " ", part).strip() for part in re.findall(r"\x1b\[31m(.*?)\x1b\[0m", text)]
    errors = f"Could not be measured b-model: {ERROR['message']}".split()
    others = [part for part in red if not part.startswith("✗")]
    assert " ".join(others).split() == errors


def test_in_ascii_every_sign_has_its_own(document: dict[str, Any]) -> None:
    text = table.summary(document, Screen(150, encoding="ascii"), verbosity=2)
    assert text.isascii()
    assert "v replicated, ~ direction-only, x contradicted, o absent, ? inconclusive, - not-applicable" in text
    assert "\\u" not in text
