"""Names in results that are replaced before they are published: wholly, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.publish.renaming import renamed

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def document(a_results_file: Make) -> dict[str, Any]:
    said = "'runs/a-3' and runs/a-30 and x/runs/a-3, not runs/a-3/x; runs/a-3."
    found = a_results_file({"reason": said, "details": {"runs/a-3": 1.0}}, {"model": "runs/a-30"}, model="runs/a-3")
    found["environment"] |= {"dense_reference": "runs/dense", "experiments": None}
    return found


def test_a_name_is_replaced_wherever_it_stands(document: dict[str, Any]) -> None:
    found = renamed(document, ["runs/a-3=small", "runs/dense=dense"], "r.json")
    assert found["models"][0]["name"] == found["corpora"][0]["model"] == found["results"][0]["model"] == "small"
    assert found["results"][1]["model"] == "runs/a-30"
    said = "'small' and runs/a-30 and x/runs/a-3, not runs/a-3/x; small."
    assert found["results"][0]["reason"] == said
    assert found["results"][0]["details"] == {"small": 1.0}
    assert found["environment"]["dense_reference"] == "dense"
    assert document["models"][0]["name"] == "runs/a-3"


def test_without_a_wish_nothing_changes(document: dict[str, Any]) -> None:
    assert renamed(document, [], "r.json") == document


def test_names_may_have_a_sign_of_equality(a_results_file: Make) -> None:
    found = renamed(a_results_file({}, model="a/step=3"), ["a/step=3=last"], "r.json")
    assert found["results"][0]["model"] == "last"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["runs/a-3"], "--rename runs/a-3: give OLD=NEW, such as runs/ckpt-30=ckpt-30"),
        (["=x"], "--rename =x: give OLD=NEW"),
        (["runs/a-3="], "--rename runs/a-3=: give OLD=NEW"),
        (["runs/a-4=x"], "--rename runs/a-4=x: nothing in 'r.json' is called 'runs/a-4'; there are runs/a-3, builtin"),
        (["runs/a-3=runs/a-30"], "--rename runs/a-3=runs/a-30: 'runs/a-30' is named already in 'r.json'"),
        (["runs/a-3=x", "runs/a-30=x"], "--rename runs/a-30=x: 'x' is named already in 'r.json'"),
        (["runs/a-3=x", "runs/a-3=y"], "--rename runs/a-3=y: 'runs/a-3' is named already in 'r.json'"),
    ],
)
def test_wishes_that_cannot_be_met(wanted: list[str], message: str, document: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        renamed(document, wanted, "r.json")
    assert str(caught.value).startswith(message)
