"""What estimators are given: parts made once, when they are read, and never written to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import ModelError, MoeClaimsError, NotComparableError
from moe_claims.measure.measured import Deferred, Measured


class Counting:
    """Makes a value, and counts how often."""

    def __init__(self, value: Any) -> None:
        self.value, self.made = value, 0

    def __call__(self) -> Any:
        self.made += 1
        if isinstance(self.value, MoeClaimsError):
            raise self.value
        return self.value


def test_a_deferred_part_is_made_once_and_so_is_its_error(made_up_weights: Callable[..., Any]) -> None:
    weights, text = Counting(made_up_weights()), Counting(ModelError("cannot be run"))
    given = Measured(Deferred(weights), Deferred(text))
    assert (weights.made, text.made) == (0, 0)
    assert not given.has("weights") and not given.has("text") and not given.has("matching")
    assert given.weights is given.weights is weights.value
    for _ in range(2):
        with pytest.raises(ModelError, match="cannot be run"):
            given.routed  # noqa: B018
    assert given.text is text.value
    assert (weights.made, text.made) == (1, 1)
    assert given.has("weights") and given.has("text")


def test_weights_that_cannot_be_measured_are_an_error_where_they_are_read() -> None:
    given = Measured(Deferred(Counting(ModelError("a shard is missing"))))
    with pytest.raises(ModelError, match="a shard is missing"):
        given.weights  # noqa: B018


def test_another_text_makes_nothing(made_up_weights: Callable[..., Any], made_up_routed: Callable[..., Any]) -> None:
    weights, second = Counting(made_up_weights()), Counting(made_up_routed())
    given = Measured(Deferred(weights), second=Deferred(second))
    other = given.protected().on(made_up_routed(experts=5))
    assert (weights.made, second.made) == (0, 0)
    assert other.routed.router_logits.shape[-1] == 5
    assert other.second_routed is second.value and second.made == 1
    assert given.second is second.value and second.made == 1


def test_protected_measurements_cannot_be_written_to(
    made_up_weights: Callable[..., Any], made_up_routed: Callable[..., Any]
) -> None:
    given = Measured(Deferred(made_up_weights), made_up_routed(), texts={"one": made_up_routed()})
    found = given.protected()
    for array in (found.weights.matrix["up"], found.routed.router_logits, found.texts["one"].router_logits):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError):
        found.weights.matrix["up"] = np.zeros(3)
    with pytest.raises(TypeError):
        found.texts["one"] = None


def test_what_was_not_given_is_said() -> None:
    given = Measured(weights=None)  # type: ignore[arg-type]
    assert dict(given.texts) == {}
    for part, kind in (("routed", MoeClaimsError), ("matched", MoeClaimsError), ("against_dense", NotComparableError)):
        with pytest.raises(kind):
            getattr(given, part)
