"""Documents that do not follow the schema are refused by the field, and without repeating what it holds."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.errors import UsageError
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
