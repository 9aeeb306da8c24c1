"""Rows of two files joined and judged: what is better or worse, what is new, and what is not comparable."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from moe_claims.compare.pairs import SUPPORT, Outcome, change_of, compared, pairing
from moe_claims.errors import UsageError
from moe_claims.report import results
from moe_claims.report.formatting import claim
from moe_claims.types import Verdict

Make = Callable[..., dict[str, Any]]
OPPOSITE = {"better": "worse", "worse": "better"}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("replicated", "direction-only", "worse"),
        ("direction-only", "inconclusive", "worse"),
        ("direction-only", "absent", "worse"),
        ("inconclusive", "contradicted", "worse"),
        ("absent", "contradicted", "worse"),
        ("inconclusive", "absent", "other"),
        ("replicated", "not-applicable", "other"),
        ("contradicted", "not-applicable", "other"),
    ],
)
def test_worse_is_what_speaks_less_for_the_claim(before: str, after: str, change: str) -> None:
    assert change_of(before, after) == change
    assert change_of(after, before) == OPPOSITE.get(change, change)


def test_every_verdict_has_its_place_and_only_itself_is_the_same() -> None:
    assert {*SUPPORT, "not-applicable"} == {verdict.value for verdict in Verdict}
    for one, other in product(Verdict, Verdict):
        assert (change_of(one.value, other.value) == "same") == (one == other)


def test_rows_are_joined_by_what_they_test(a_results_file: Make) -> None:
    before = a_results_file(
        {},
        {"variant": "token-specific", "verdict": "direction-only"},
        {"claim": "matrices-agree", "variant": None, "corpus": None, "verdict": "inconclusive"},
        {"evidence": "public", "family": "public", "model": "org/m", "corpus": "counts"},
        {"claim": "top1-confidence", "variant": None},
    )
    after = a_results_file(
        {"verdict": "absent", "effect": 0.02, "interval": (-0.01, 0.06)},
        {"variant": "token-specific", "verdict": "replicated"},
        {"claim": "matrices-agree", "variant": None, "corpus": None, "verdict": "absent"},
        {"evidence": "public", "family": "public", "model": "org/m", "corpus": "counts"},
        {"claim": "balanced-routing", "variant": None},
    )
    found = compared(before, after)
    by_claim = {(p.before["evidence"], claim(p.before), p.before["variant"]): p.change for p in found.pairs}
    assert by_claim == {
        ("live", "router-norm", "total"): "worse",
        ("live", "router-norm", "token-specific"): "better",
        ("live", "matrices-agree", None): "other",
        ("public", "router-norm", "total"): "same",
    }
    assert [row["claim"] for row in found.new] == ["look_into_moes/balanced-routing"]
    assert [row["claim"] for row in found.missing] == ["look_into_moes/top1-confidence"]
    assert found.worse and found.changed and not found.vacuous
    assert not compared(after, after).changed
    assert not compared(after, after).worse


def test_the_difference_has_an_interval_from_both(a_results_file: Make) -> None:
    found = compared(a_results_file({}), a_results_file({"effect": 0.50, "interval": (0.46, 0.54)}))
    (pair,) = found.pairs
    assert pair.change == "same"
    assert not pair.same_numbers
    assert pair.apart is not None
    assert pair.apart.value == pytest.approx(-0.13)
    assert (pair.apart.interval.low, pair.apart.interval.high) == pytest.approx((-0.18, -0.08))  # 3, 4, 5 hundredths
    assert not found.worse and not found.changed  # effects alone do not count


def test_where_one_has_no_effect_there_is_no_difference(a_results_file: Make) -> None:
    none = {"verdict": "not-applicable", "effect": None, "interval": None}
    (pair,) = compared(a_results_file({}), a_results_file(none)).pairs
    assert (pair.change, pair.apart, pair.notes) == ("other", None, ())


def test_an_interval_that_cannot_serve_is_told(a_results_file: Make) -> None:
    (pair,) = compared(a_results_file({}), a_results_file({"interval": (0.7, 0.9)})).pairs
    assert pair.apart is None
    assert pair.notes == ("no interval of the difference: the interval [0.7, 0.9] does not hold its estimate 0.63",)


def test_on_other_texts_rows_are_not_compared(a_results_file: Make) -> None:
    rows: tuple[dict[str, Any], ...] = (
        {},
        {"claim": "matrices-agree", "variant": None, "corpus": None},
        {"claim": "corpus-robust", "variant": "router-norm", "corpus": None},
    )
    before, after = a_results_file(*rows), a_results_file(*({**row, "verdict": "absent"} for row in rows))
    for name in ("text_sha256", "token_ids_sha256"):
        after["corpora"][0][name] = "9" * 64
    found = compared(before, after)
    assert {claim(pair.before): (pair.change, pair.void) for pair in found.pairs} == {
        "router-norm": ("void", "the texts differ"),
        "corpus-robust": ("void", "the texts differ"),  # rests on all texts
        "matrices-agree": ("worse", None),  # on none
    }
    assert all(pair.apart is None for pair in found.pairs if pair.void)
    assert not found.vacuous
    alone = compared(a_results_file(rows[0]), {**after, "results": after["results"][-1:]})
    assert [pair.void for pair in alone.pairs] == ["the texts differ"]
    assert alone.vacuous and alone.changed and not alone.worse


def test_the_same_text_in_other_tokens_is_compared_with_a_note(a_results_file: Make) -> None:
    after = a_results_file({})
    after["corpora"][0]["token_ids_sha256"] = "9" * 64
    (pair,) = compared(a_results_file({}), after).pairs
    assert (pair.void, pair.notes) == (None, ("the same text, read as other tokens",))


def test_another_estimand_is_not_compared_and_another_bar_is_told(a_results_file: Make) -> None:
    (pair,) = compared(a_results_file({}), a_results_file({"effect_name": "Kendall τ"})).pairs
    assert pair.void == "another effect: 'mean Spearman ρ' then, 'Kendall τ' now"
    (pair,) = compared(a_results_file({}), a_results_file({"smallest": 0.2})).pairs
    assert (pair.void, pair.notes) == (None, ("the smallest effect of interest was 0.1 and is 0.2",))


def test_two_checkpoints_are_compared_where_they_are_paired(a_results_file: Make) -> None:
    before = a_results_file({}, model="a@step1", errors=[{"model": "a@step1", "claim": "x", "message": "old"}])
    after = a_results_file({}, model="a@step2", errors=[{"model": "a@step2", "claim": "x", "message": "as before"}])
    apart = compared(before, after)
    assert apart.pairs == ()
    assert (apart.alone_before, apart.alone_after) == (("a@step1",), ("a@step2",))
    assert apart.vacuous
    names = pairing(["a@step1=a@step2"], before, [after])
    together = compared(before, after, names)
    assert [(pair.before["model"], pair.after["model"]) for pair in together.pairs] == [("a@step1", "a@step2")]
    assert (together.alone_before, together.alone_after) == ((), ())
    assert (together.new_errors, together.gone_errors) == ((), ())


def test_names_may_hold_the_sign_that_parts_them(a_results_file: Make) -> None:
    old, new = "synthetic:planted?seed=1", "synthetic:planted?seed=2&layers=7"
    before, after = a_results_file({}, model=old), a_results_file({}, model=new)
    assert pairing([f"{old}={new}"], before, [after]) == {new: old}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a@step1"], r"--models 'a@step1': give OLD=NEW, where OLD is one of a@step1 and NEW is one of b, c$"),
        (["b=a@step1"], "give OLD=NEW, where OLD is one of a@step1"),
        (["a@step1=d"], "NEW is one of b, c"),
    ],
)
def test_pairs_of_models_that_are_not_there_are_refused(given: list[str], message: str, a_results_file: Make) -> None:
    before = a_results_file({}, model="a@step1")
    after = [a_results_file({}, model="b"), a_results_file({}, model="c")]
    with pytest.raises(UsageError, match=message):
        pairing(given, before, after)


def test_one_model_is_compared_with_one(a_results_file: Make) -> None:
    before = a_results_file({"model": "a"}, {"model": "b"})
    after = a_results_file({"model": "c"}, {"model": "a"})
    with pytest.raises(UsageError, match="--models compares 'c' with 'a' and with 'b': give one of them"):
        pairing(["a=c", "b=c"], before, [after])
    with pytest.raises(UsageError, match="both 'a' and 'c' would be compared with 'a': leave one out"):
        compared(before, after, pairing(["a=c"], before, [after]))


def test_a_row_that_stands_twice_is_refused(a_results_file: Make) -> None:
    with pytest.raises(
        UsageError, match="holds the row live · look_into_moes/router-norm · total · a-model · builtin twice"
    ):
        compared(a_results_file({}), a_results_file({}, {}))


def test_what_broke_is_worse_and_what_is_gone_is_not(a_results_file: Make) -> None:
    broken = a_results_file(errors=[{"model": "a-model", "claim": "", "message": "a shard is missing"}])
    found = compared(a_results_file({}), broken)
    assert [error["message"] for error in found.new_errors] == ["a shard is missing"]
    assert found.worse and found.changed
    back = compared(broken, a_results_file({}))
    assert [error["message"] for error in back.gone_errors] == ["a shard is missing"]
    assert back.changed and not back.worse
    # Without an error, rows that are gone were not asked for, and a gate must not pass on none.
    assert compared(a_results_file({}), a_results_file()).vacuous


def test_audits_have_other_outcomes_and_none_is_worse(a_results_file: Make) -> None:
    def audits(**outcomes: str) -> list[dict[str, Any]]:
        rest = {
            "pack": "look_into_moes",
            "kind": "printed",
            "statement": "s",
            "source": "t",
            "printed": "1",
            "recomputed": "2",
            "reason": "r",
            "values": {},
        }
        return [{"id": name, "outcome": outcome, **rest} for name, outcome in outcomes.items()]

    before = a_results_file(audits=audits(one="agrees", two="agrees", gone="agrees"))
    after = a_results_file(audits=audits(one="disagrees", two="agrees"))
    found = compared(before, after)
    assert found.audits == (
        Outcome("look_into_moes/gone", "agrees", None),
        Outcome("look_into_moes/one", "agrees", "disagrees"),
    )
    assert found.changed and not found.worse and not found.vacuous


# --- packs, and versions of claims and of files -----------------------------------------------------


def test_another_version_of_a_claim_is_told(a_results_file: Make) -> None:
    (pair,) = compared(a_results_file({}), a_results_file({"claim_version": 2})).pairs
    assert pair.void == "version 1 of the claim then, 2 now: its estimand or null has changed"
    assert (pair.change, pair.apart) == ("void", None)
    (pair,) = compared(a_results_file({"claim_version": 2}), a_results_file({"claim_version": 2})).pairs
    assert (pair.void, pair.notes) == (None, ())


@pytest.mark.parametrize("version", [3, 4])
def test_a_file_from_before_packs_is_compared_as_what_it_says(
    version: int, a_results_file: Make, tmp_path: Path
) -> None:
    new = a_results_file({}, {"claim": "matrices-agree", "variant": None, "corpus": None})
    old = {name: part for name, part in new.items() if name != "packs"} | {"schema_version": version}
    gone = ("pack", "claim_version", *(("null_distribution",) if version == 3 else ()))
    old["results"] = [
        {name: value for name, value in row.items() if name not in gone} | {"claim": claim(row)}
        for row in new["results"]
    ]
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    read = results.read(tmp_path / "old.json")
    for one, other in ((read, new), (new, read)):
        found = compared(one, other)
        assert len(found.pairs) == 2
        assert all(pair.same_numbers and not pair.notes and pair.void is None for pair in found.pairs)
        assert not found.changed and not found.worse
        assert found.depends == ()


def test_claims_of_one_id_in_two_packs_are_two(a_results_file: Make) -> None:
    theirs = {"pack": "theirs", "verdict": "absent"}
    both = a_results_file({}, theirs)
    assert [pair.change for pair in compared(both, both).pairs] == ["same", "same"]
    found = compared(a_results_file({}), both)
    assert [row["claim"] for row in found.new] == ["theirs/router-norm"]
    assert [pair.change for pair in found.pairs] == ["same"]
    alone = compared(a_results_file({}), a_results_file(theirs))
    assert alone.pairs == () and alone.vacuous
