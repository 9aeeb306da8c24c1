"""What two files must share for their numbers to be compared, and what is said where they do not."""

from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.compare.provenance import Dependence, depends, other_text, other_tokens

TEXT = {"text_sha256": "a", "token_ids_sha256": "b", "sequences": 26}
Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (TEXT, None),
        ({**TEXT, "token_ids_sha256": "c"}, None),  # another tokenizer, of the same passages
        ({**TEXT, "text_sha256": "c"}, None),  # a name of its own for the same tokens
        ({**TEXT, "text_sha256": "c", "token_ids_sha256": "c"}, "the texts differ"),
        ({**TEXT, "token_ids_sha256": "c", "sequences": 9}, "the texts differ: cut to 26 and to 9 sequences"),
        (None, "the texts differ: one run has a text more"),
    ],
)
def test_the_same_text_is_one_of_the_same_passages(after: dict[str, Any] | None, why: str | None) -> None:
    assert other_text(TEXT, after) == why
    assert other_text(None, None) is None


def test_token_ids_that_came_as_such_are_their_own_text() -> None:
    ids = {**TEXT, "text_sha256": None}
    assert other_text(ids, ids) is None
    assert other_text(ids, {**ids, "token_ids_sha256": "c"}) == "the texts differ"


def test_other_tokens_are_those_of_a_text_that_both_have() -> None:
    assert other_tokens(TEXT, {**TEXT, "token_ids_sha256": "c"})
    assert not other_tokens(TEXT, TEXT)
    assert not other_tokens(TEXT, None)


def test_what_numbers_depend_on_is_told_once_for_all_models(a_results_file: Make) -> None:
    plain = a_results_file()
    text, card = plain["corpora"][0], plain["models"][0]
    names = ("one", "other")
    before = a_results_file(
        models=[{**card, "name": name} for name in names], corpora=[{**text, "model": name} for name in names]
    )
    later = [{**text, "model": name, "text_sha256": "9" * 64, "nats_per_token": 2.0} for name in names]
    after = a_results_file(
        models=[{**card, "name": "one", "weights_sha256": "8" * 64}, {**card, "name": "other"}],
        corpora=[*later, {**text, "model": "other", "name": "more"}],
        environment={"moe_claims": "1", "python": "3.11", "dtype": "bfloat16", "seed": 0},
    )
    assert depends(before, before, {}) == ()
    command = {"environment": {**before["environment"], "command": "pytest claims/ --model ./elsewhere"}}
    assert depends(before, {**before, **command}, {}) == ()  # its parts are compared, each by what it is
    assert depends(before, after, {}) == (
        Dependence("moe_claims", "0", "1"),
        Dependence("dtype", None, "bfloat16"),
        Dependence("weights_sha256 of one", "0" * 64, "8" * 64),
        Dependence("text builtin: text_sha256 of one, other", "1" * 64, "9" * 64),
        Dependence("texts of other", "builtin", "builtin, more"),
    )


def test_models_of_other_names_are_compared_where_they_are_paired(a_results_file: Make) -> None:
    before, after = a_results_file(model="a@step1"), a_results_file(model="a@step2")
    after["models"][0]["weights_sha256"] = "8" * 64
    assert depends(before, after, {}) == ()  # nothing in common, which is said elsewhere
    found = depends(before, after, {"a@step2": "a@step1"})
    assert found == (Dependence("weights_sha256 of a@step1", "0" * 64, "8" * 64),)
