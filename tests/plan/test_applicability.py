"""What is said of claims before measuring is what the run then says, word by word; and nothing is guessed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import NotComparableError, NotMeasuredError
from moe_claims.judge.pack import Pack
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.plan.applicability import foreseen
from moe_claims.plan.opening import Subject, open_all
from moe_claims.plan.planning import plan_of
from moe_claims.plan.unmeasured import NeedsNumbersError, Shaped, measured_of
from moe_claims.run.session import Session
from moe_claims.settings import Settings
from moe_claims.types import Verdict

SMALL = "synthetic:null?layers=2&experts=4&top_k=4&hidden=16&intermediate=6&context=12"
LARGE = "synthetic:planted?layers=7&experts=9&hidden=16&intermediate=16&context=24"


@pytest.mark.parametrize("model", [SMALL, LARGE, "synthetic:null?layers=1&experts=8&hidden=16&intermediate=8"])
def test_the_run_says_the_same(model: str, settings_of: Callable[..., Settings]) -> None:
    settings = settings_of(model, profile="quick")
    said = {(one.key, one.text): one for one in plan_of(settings, [PACK]).models[0].claims}
    judged = Session(settings, packs=[PACK]).judged(PACK, model)
    assert judged.broken == ()
    rows = {
        (f"look_into_moes/{row.claim}" + (f"[{row.variant}]" if row.variant else ""), row.corpus): row
        for row in judged.results
    }
    assert rows.keys() == said.keys()
    undecided = []
    for key, row in rows.items():
        if said[key].outcome == "not applicable":
            assert (row.verdict, row.reason) == (Verdict.NOT_APPLICABLE, said[key].reason)
        else:
            assert said[key].outcome == "decided when measured"
            # What only numbers tell: one expert stands apart, or none.
            if row.verdict == Verdict.NOT_APPLICABLE and "stands apart" not in row.reason:
                undecided.append((key, row.reason))
    assert undecided == []


def _subject(settings_of: Callable[..., Settings], model: str = LARGE) -> Subject:
    (found,) = open_all(settings_of(model)).models.values()
    assert isinstance(found, Subject)
    return found


def test_estimators_of_third_parties_are_asked_too(settings_of: Callable[..., Settings]) -> None:
    def not_for_nine(variant: str | None, measured: Any, rng: np.random.Generator) -> Any:
        if measured.weights.router.shape[-1] == 9:
            raise NotComparableError("nine are too many")
        raise AssertionError

    def broken(variant: str | None, measured: Any, rng: np.random.Generator) -> Any:
        return measured.weights.matrix["up"].no_such_thing / 0

    def greedy(variant: str | None, measured: Any, rng: np.random.Generator) -> Any:
        return np.mean(measured.matched["up"].tau)

    base = replace(LIVE["neuron-experts"], variants=(None,))
    claims = tuple(
        replace(base, id=name, estimator=estimator)
        for name, estimator in (("nine", not_for_nine), ("broken", broken), ("greedy", greedy))
    )
    pack = Pack("mine", "Mine", "nowhere", claims)
    subject = _subject(settings_of)
    stopped = NotMeasuredError("it takes days")
    given = measured_of(subject, matching=subject.layers, dense=None, second=None)
    without = measured_of(subject, matching=stopped, dense=None, second=None)
    assert [(one.key, one.outcome, one.reason) for one in foreseen([pack], given)] == [
        ("mine/nine", "not applicable", "nine are too many"),
        ("mine/broken", "decided when measured", ""),
        ("mine/greedy", "decided when measured", ""),
    ]
    assert [one.outcome for one in foreseen([pack], without)][2] == "not measured"


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        np.mean,
        lambda a: a + 1,
        lambda a: 1 - a,
        lambda a: np.arange(3) * a,
        lambda a: np.add(a, 1),
        lambda a: a @ a,
        lambda a: a.mean(axis=0),
        lambda a: bool(a),
        lambda a: a == a,
        lambda a: a > 0,
        lambda a: a[0, 0, 0],
        lambda a: a[9],
        lambda a: float(a),
        lambda a: np.stack([a, a]),
    ],
)
def test_a_shape_gives_no_number(use: Callable[[Any], Any]) -> None:
    with pytest.raises(NeedsNumbersError):
        use(Shaped((2, 3, 4)))


def test_a_shape_is_one() -> None:
    array = Shaped((2, 3, 4), "int16")
    assert (array.shape, array.ndim, array.size, len(array), array.dtype) == ((2, 3, 4), 3, 24, 2, np.int16)
    assert array[0].shape == (3, 4)
    assert array[:, 1:, ::2].shape == (2, 2, 2)
    assert array[..., None].shape == (2, 3, 4, 1)
    assert [part.shape for part in array] == [(3, 4), (3, 4)]
