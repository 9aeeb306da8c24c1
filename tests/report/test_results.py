"""Documents that do not follow the schema are refused by the field, without repeating it; older ones are brought up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import results

Make = Callable[..., dict[str, Any]]


def _set(*path: str | int, to: Any) -> Callable[[Any], None]:
    def damage(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda document: document.pop("errors"), "the whole lacks errors"),
        (lambda document: document["results"][1].pop("verdict"), "results[1] lacks verdict"),
        (_set("results", 1, "effect", "value", to="secret"), "results[1].effect.value is not number or null"),
        (_set("results", 0, "verdict", to="secret"), "results[0].verdict is not replicated or direction-only or contr"),
        (_set("results", 0, "p_value", to=1.5), "results[0].p_value breaks the rule 'maximum'"),
        (_set("secret", to=1), "the whole has a part that the schema does not know"),
        (_set("schema_version", to=2), f"schema_version is not {results.SCHEMA_VERSION}"),
        (_set("models", to={}), "models is not array"),
        (_set("results", 1, "evidence", to="secret"), "results[1].evidence is not live and not one of its pack's"),
        (_set("results", 1, "pack", to="secret"), "results[1].pack is not one of packs"),
        (_set("packs", to=[]), "results[0].pack is not one of packs"),
        (lambda document: document["packs"][0].pop("evidence"), "packs[0] lacks evidence"),
    ],
)
def test_what_is_wrong_is_named_and_not_shown(damage: Callable[[Any], None], said: str, a_results_file: Make) -> None:
    document = a_results_file({}, {"variant": "token-specific"})
    results.check(document, "r.json")
    damage(document)
    with pytest.raises(UsageError) as caught:
        results.check(document, "r.json")
    assert str(caught.value).startswith(f"'r.json' is no results file that this package reads: {said}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("whole", [[], None, 3, "text"])
def test_something_else_than_an_object_is_refused(whole: object) -> None:
    with pytest.raises(UsageError, match="the whole is not object"):
        results.check(whole, "r.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number: str, a_results_file: Make) -> None:
    document = a_results_file({})
    document["results"][0]["effect"]["value"] = json.loads(number)
    with pytest.raises(UsageError, match=r"'r\.json' holds NaN or infinity, which stand for no number: write null"):
        results.check(document, "r.json")


# --- files of older versions ------------------------------------------------------------------------

PLACE = "look_into_moes"


def _older(document: dict[str, Any], version: int) -> dict[str, Any]:
    """The document as a version before packs wrote it."""
    old = {name: part for name, part in document.items() if name != "packs"} | {"schema_version": version}
    gone = {"pack", "claim_version"} | ({"null_distribution"} if version == 3 else set())
    old["results"] = [
        {name: value for name, value in row.items() if name not in gone}
        | {"claim": row["claim"].removeprefix(f"{PLACE}/")}
        for row in document["results"]
    ]
    old["audits"] = [{name: value for name, value in row.items() if name != "pack"} for row in document["audits"]]
    old["errors"] = [{**row, "claim": row["claim"].removeprefix(f"{PLACE}/")} for row in document["errors"]]
    return old


@pytest.fixture
def whole(a_results_file: Make) -> dict[str, Any]:
    """A document with every part: rows of three kinds of evidence, an audit, and errors with a claim and without."""
    audit = {
        "id": "one", "statement": "s", "source": "t", "outcome": "agrees", "printed": "1", "recomputed": "1",
        "reason": "r", "values": {}, "kind": "printed", "pack": PLACE,
    }  # fmt: skip
    errors = [
        {"model": "b", "claim": "", "message": "no config.json"},
        {"model": "", "claim": f"{PLACE}/training-scheme[order]", "message": "no file"},
    ]
    public = {"evidence": "public", "family": "public", "model": "org/m", "claim": "balanced-routing"}
    trained = {"evidence": "trained", "family": "trained", "model": "8-layer", "claim": "training-scheme"}
    return a_results_file({}, public, trained, audits=[audit], errors=errors)


@pytest.mark.parametrize("version", [3, 4])
def test_a_file_from_before_packs_is_brought_up(version: int, whole: dict[str, Any], tmp_path: Path) -> None:
    old = _older(whole, version)
    with pytest.raises(UsageError, match="'old' is no results file"):
        results.check(old, "old")
    path = tmp_path / "results.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    found = results.read(path)
    results.check(found, "results.json")
    assert found == whole
    assert {row["claim"] for row in found["results"]} == {
        f"{PLACE}/{claim}" for claim in ("router-norm", "balanced-routing", "training-scheme")
    }
    assert {(row["pack"], row["claim_version"]) for row in found["results"]} == {(PLACE, 1)}
    assert found["packs"] == [PACK.described()]
    assert [error["claim"] for error in found["errors"]] == [f"{PLACE}/training-scheme[order]", ""]
    assert {audit["pack"] for audit in found["audits"]} == {PLACE}
    # It is written again as a file of this version.
    results.write(path, found)
    assert results.read(path) == whole


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.pop("results"),
        lambda document: document.pop("audits"),
        lambda document: document.pop("errors"),
        lambda document: document["results"][0].pop("claim"),
        lambda document: document["errors"][0].pop("claim"),
        _set("results", to=3),
        _set("results", to=[3]),
        _set("audits", to=None),
        _set("errors", 0, to=[]),
    ],
)
def test_an_older_file_that_lacks_parts_is_refused_in_one_line(
    version: int, damage: Callable[[Any], None], whole: dict[str, Any], tmp_path: Path
) -> None:
    old = _older(whole, version)
    damage(old)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        results.read(path)
    said = str(caught.value)
    assert "\n" not in said
    assert f"says that it has schema version {version} and has not its parts (" in said
    assert said.endswith("): give a file as 'pytest claims/' wrote it")


@pytest.mark.parametrize("version", [0, 1, 2, 6, True, "4", 4.5, None, [4], {}])
def test_a_version_that_is_not_known_is_refused_in_one_line(version: Any, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema_version": version}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"has schema version .*; this package reads versions 3, 4, 5$"):
        results.read(path)


def test_packs_and_what_is_of_them_stand_in_the_order_of_the_report(a_results_file: Make) -> None:
    theirs = {"id": "theirs", "title": "T", "paper": "P", "evidence": {}}
    rows = [{"pack": "theirs"}, {}]
    document = a_results_file(*rows, packs=[theirs, PACK.described()], order={PLACE: 0, "theirs": 1})
    assert [pack["id"] for pack in document["packs"]] == [PLACE, "theirs"]
    assert [row["claim"] for row in document["results"]] == [f"{PLACE}/router-norm", "theirs/router-norm"]
    results.check(document, "r.json")
