"""A comparison in words and tables: the same facts in every format, rounded honestly, and inert."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.compare import render
from moe_claims.compare.pairs import compared, pairing

Make = Callable[..., dict[str, Any]]
ABSENT = {"verdict": "absent", "effect": 0.02, "interval": (-0.01, 0.06)}


def found(before: dict[str, Any], after: dict[str, Any], *models: str) -> render.Compared:
    return render.Compared("old.json", "new.json", compared(before, after, pairing(models, before, [after])))


@pytest.fixture
def two(a_results_file: Make) -> render.Compared:
    gone = {"claim": "top1-confidence", "variant": None}
    kept = {"claim": "matrices-agree", "variant": None, "corpus": None}
    shaky = {"claim": "chosen-alike", "smallest": 0.01, "effect": 0.012, "interval": (0.0118, 0.0122)}
    before = a_results_file({}, kept, shaky, gone, {"model": "other"}, {"model": "other", "claim": "routing-runs"})
    after = a_results_file(
        ABSENT,
        {**kept, "effect": 0.64, "interval": (0.61, 0.67)},
        {**shaky, "effect": 0.0125, "interval": (0.0124, 0.0126)},
        environment={"moe_claims": "1", "python": "3.11", "seed": 0},
        errors=[{"model": "other", "claim": "", "message": "a shard is missing"}],
    )
    return found(before, after)


def test_the_first_line_counts_everything(two: render.Compared) -> None:
    said = "new.json against old.json, a-model: 1 worse, 2 of the same verdict, 3 missing; new errors: 1"
    assert render.headline(two) == said
    assert render.render([two]).startswith(said)
    assert f"{said}." in render.markdown([two]).replace("&#95;", "_")


def test_tables_say_what_changed(two: render.Compared) -> None:
    tables = {section.title: section.rows for section in render.sections(two.comparison)}
    assert tables == {
        "What the numbers depend on differs": (("moe_claims", "0", "1"),),
        "Verdicts that changed": (
            (
                "▼ worse", "router-norm[total] · builtin", "✓ replicated → ○ absent", "0.63", "0.02", "-0.61",
                "[-0.66, -0.56] *",
            ),
        ),
        "The same verdict, other effects": (
            # As many decimals as it takes to show an interval that leaves zero out.
            ("chosen-alike[total] · builtin", "✓ replicated", "0.012", "0.013", "+0.0005", "[0.0002, 0.0008] *"),
            ("matrices-agree", "✓ replicated", "0.63", "0.64", "+0.01", "[-0.04, 0.06]"),
        ),
        "Missing rows": (
            ("top1-confidence · a-model · builtin", "✓ replicated", "0.63", "[0.60, 0.66]"),
            ("all 2 of other", "2 replicated", "", ""),
        ),
        "New errors": (("other", "a shard is missing"),),
    }  # fmt: skip


def test_both_texts_show_every_cell(two: render.Compared) -> None:
    plain = render.render([two], width=200)
    marked = re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), render.markdown([two]))
    for section in render.sections(two.comparison):
        for text in (plain, marked):
            assert section.title in text
            assert all(cell in text for row in section.rows for cell in row)
    for text in (plain, marked):
        assert all(re.sub(r"\s+", " ", line) in re.sub(r"\s+", " ", text) for line in render.HOW_TO_READ)


def test_equal_files_have_nothing_to_show(a_results_file: Make) -> None:
    same = found(a_results_file({}), a_results_file({}))
    assert render.sections(same.comparison) == []
    assert render.headline(same) == "new.json against old.json, a-model: 1 of the same verdict"


def test_what_is_not_comparable_stands_apart(a_results_file: Make) -> None:
    after = a_results_file(ABSENT)
    for name in ("text_sha256", "token_ids_sha256"):
        after["corpora"][0][name] = "9" * 64
    one = found(a_results_file({}), after)
    tables = {section.title: section.rows for section in render.sections(one.comparison)}
    assert tables["Not comparable"] == (
        ("router-norm[total] · builtin", "✓ replicated", "○ absent", "the texts differ"),
    )
    assert "Verdicts that changed" not in tables
    assert ("text builtin: text_sha256 of a-model", "111111111111…", "999999999999…") in tables[
        "What the numbers depend on differs"
    ]
    assert render.headline(one).endswith(": 1 not comparable")


def test_models_of_other_names_have_a_remedy(a_results_file: Make) -> None:
    before, after = a_results_file({}, model="a@step1"), a_results_file({}, model="b?seed=2&x")
    said = render.unpaired(found(before, after))
    assert said == (
        "no row of a measured model is in common: old.json has a@step1, new.json has b?seed=2&x; to compare the one "
        "with the other, add --models 'a@step1=b?seed=2&x'"
    )
    together = found(before, after, "a@step1=b?seed=2&x")
    assert render.unpaired(together) is None
    assert render.headline(together).startswith("new.json against old.json, a@step1 → b?seed=2&x: 1 of the same")
    several = a_results_file({"model": "c"}, {"model": "d"})
    assert (render.unpaired(found(before, several)) or "").endswith("add --models OLD=NEW")
    assert render.unpaired(found(before, a_results_file())) is None  # nothing to pair it with


def test_several_models_are_named_in_each_row(a_results_file: Make) -> None:
    one = found(a_results_file({}, {"model": "b"}), a_results_file(ABSENT, {**ABSENT, "model": "b"}))
    (section,) = render.sections(one.comparison)
    assert [row[1] for row in section.rows] == [
        "router-norm[total] · a-model · builtin",
        "router-norm[total] · b · builtin",
    ]


def test_packs_are_named_where_there_are_several(a_results_file: Make) -> None:
    theirs = {"pack": "theirs"}
    gone = {"pack": "theirs", "claim": "top1-confidence", "variant": None}
    one = found(a_results_file({}, theirs, gone), a_results_file(ABSENT, {**ABSENT, **theirs}))
    changed, missing = render.sections(one.comparison)
    assert [row[1] for row in changed.rows] == [
        "look_into_moes/router-norm[total] · builtin",
        "theirs/router-norm[total] · builtin",
    ]
    assert [row[0] for row in missing.rows] == ["theirs/top1-confidence · a-model · builtin"]


def test_the_document_holds_numbers_that_are_not_rounded(two: render.Compared) -> None:
    document = json.loads(json.dumps(render.document([two]), allow_nan=False))
    assert document["comparison_version"] == 1
    (only,) = document["comparisons"]
    assert (only["earlier"], only["later"], only["worse"], only["changed"]) == ("old.json", "new.json", True, True)
    row = next(row for row in only["rows"] if row["claim"] == "look_into_moes/router-norm")
    assert (row["variant"], row["change"], row["not_comparable"]) == ("total", "worse", None)
    assert row["earlier"] == {"verdict": "replicated", "effect": 0.63, "ci_low": 0.6, "ci_high": 0.66}
    assert row["difference"]["value"] == pytest.approx(-0.61)
    assert row["difference"]["ci_low"] == pytest.approx(-0.61 - (0.03**2 + 0.03**2) ** 0.5)
    assert row["difference"]["level"] == 0.95
    assert len(only["missing"]) == 3
    assert only["new_errors"] == [{"model": "other", "claim": "", "message": "a shard is missing"}]


HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "a\u202eb",
    "| a | b |",
    "=HYPERLINK(1)",
    "a\nb",
    "![x](http://x)",
    "é🙂" * 150,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_files_are_inert(name: str, a_results_file: Make) -> None:
    before, after = a_results_file({}, {"model": "b"}, model=name), a_results_file(ABSENT, model=name)
    after["errors"] = [{"model": name, "claim": name, "message": name}]
    after["environment"] = {"moe_claims": name, "python": "3"}
    one = found(before, after)
    plain, marked = render.render([one]), render.markdown([one])
    assert all(sign.isprintable() or sign == "\n" for sign in plain + marked)
    assert "<script" not in marked
    assert "](" not in marked
    for line in marked.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (3, 4, 5, 8)  # tables of two, three, four and seven columns, and no more


@given(st.floats(-1, 1), st.floats(0.001, 0.5), st.floats(-1, 1), st.floats(0.001, 0.5))
def test_intervals_of_differences_never_look_narrower(
    a_results_file: Make, one: float, reach: float, other: float, width: float
) -> None:
    before = a_results_file({"effect": one, "interval": (one - reach, one + reach)})
    after = a_results_file({"verdict": "absent", "effect": other, "interval": (other - width, other + width)})
    result = found(before, after)
    (pair,) = result.comparison.pairs
    assert pair.apart is not None
    (section,) = render.sections(result.comparison)
    shown = section.rows[0][-1]
    low, high = (float(end) for end in shown.removesuffix(" *").strip("[]").split(", "))
    assert low <= pair.apart.interval.low + 1e-9
    assert high >= pair.apart.interval.high - 1e-9
    assert shown.endswith("*") == pair.apart.off_zero
