"""Every claim that has a p-value shows the null that it is a tail of: over the whole registry, on a planted model."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from moe_claims.judge.combined_null import of_largest_p
from moe_claims.judge.trial import Trial, try_all
from moe_claims.measure.measured import Measured
from moe_claims.packs.look_into_moes.pack import LIVE, PACK, TRAINED
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.packs.look_into_moes.trained.judging import judged_documents
from moe_claims.stats.permutation import test_against
from moe_claims.stats.quantiles import LEVELS, OPEN_LEVELS
from moe_claims.types import Finding, NullDistribution, Result

SHAPE = "layers=8&seed=3"
TEXTS = ("builtin", "builtin-math")
Room = Callable[[NullDistribution], tuple[float, float]]


@pytest.fixture(scope="module")
def planted() -> dict[str, Measured]:
    """A planted model on two texts, with all that it can be compared with."""
    from moe_claims.measure.measurer import Measurer
    from moe_claims.measure.store import Forgetful
    from moe_claims.models.loading import open_model
    from moe_claims.settings import settings_from

    settings = settings_from(
        {
            "model": [f"synthetic:planted?{SHAPE}"],
            "dense-reference": f"synthetic:dense?{SHAPE}",
            "second-model": f"synthetic:planted?{SHAPE}&noise=0.1",
            "text": list(TEXTS),
            "tokens": "600",
            "device": "cpu",
        }
    )
    measured, _ = Measurer(settings, Forgetful()).measure(open_model(settings.models[0]))
    return measured


@pytest.fixture(scope="module")
def tried(planted: dict[str, Measured]) -> Callable[[str], list[Trial]]:
    """(claim) → its trials, every variant on every text."""
    return lru_cache(lambda claim: try_all(PACK, planted, 0, [LIVE[claim]]))


def _check(null: NullDistribution | None, effect: float, p_value: float, room: Room) -> None:
    assert null is not None
    assert null.levels == (OPEN_LEVELS if null.draws is None else LEVELS)
    assert len(null.quantiles) == len(null.levels)
    assert list(null.quantiles) == sorted(null.quantiles)
    assert all(type(number) is float and np.isfinite(number) for number in (null.observed, *null.quantiles))
    assert null.of_tests >= 1 and not (null.exact and null.draws is None)
    if null.statistic is None:  # a measured share cannot be more than all, its unbiased estimate can
        assert effect == pytest.approx(null.observed, rel=1e-6, abs=1e-7) or effect == 1.0 < null.observed
    least, most = room(null)
    assert least <= p_value <= most


@pytest.mark.parametrize("key", [key for claim in LIVE.values() for key in claim.row_keys()])
def test_every_live_claim_has_the_null_of_its_p(
    key: str, tried: Callable[[str], list[Trial]], room_for_p: Room
) -> None:
    trials = [trial for trial in tried(key.partition("[")[0]) if trial.key == key]
    assert trials
    for trial in trials:
        assert isinstance(trial.outcome, Finding), trial.outcome
        _check(trial.outcome.null_distribution, trial.outcome.effect, trial.outcome.p_value, room_for_p)


@pytest.mark.parametrize("row", judged_counts(PACK).results, ids=lambda row: f"{row.claim} {row.variant} {row.model}")
def test_every_row_on_published_counts_has_the_null_of_its_p(row: Result, room_for_p: Room) -> None:
    assert row.effect is not None
    assert row.p_value is not None
    _check(row.null_distribution, row.effect, row.p_value, room_for_p)


@pytest.mark.parametrize(("rise", "apart"), [(0.005, 0.6), (0.0, 0.0), (-0.002, -0.1)])
def test_every_row_on_trainings_has_the_null_of_its_p(
    rise: float, apart: float, made_up_positions: Any, made_up_schemes: Any, room_for_p: Room
) -> None:
    rng = np.random.default_rng(4)

    def noise(size: int) -> np.ndarray:
        return rng.normal(scale=0.004, size=size)

    documents = [made_up_positions(lambda place: rise * place * (place < 7), noise), made_up_schemes(apart, noise)]
    judged = judged_documents(PACK, {document["experiment"]: document for document in documents}, 0.05)
    assert not judged.broken
    assert len(judged.results) == sum(len(claim.row_keys()) for claim in TRAINED.values())
    for row in judged.results:
        assert row.effect is not None
        assert row.p_value is not None
        assert row.null_distribution is not None
        _check(row.null_distribution, row.effect, row.p_value, room_for_p)
        falls = row.claim == "depth-needs-experts" and str(row.variant).startswith("last")
        assert row.null_distribution.tail == ("lower" if falls else "upper")


def test_of_tests_that_must_all_reject_the_largest_p_counts() -> None:
    first, second = (test_against(observed, np.arange(20.0), exact=False) for observed in (25.0, 10.0))
    labels, signs = first.null_distribution("labels"), second.null_distribution("signs", "sum")
    found = of_largest_p((first.p_greater, labels), (second.p_greater, signs))
    assert (found.method, found.statistic, found.of_tests) == ("signs", "sum", 2)
    assert of_largest_p((0.5, found), (0.5, labels)).of_tests == 3
    assert of_largest_p((0.5, found), (0.5, labels)).method == "signs"
    assert of_largest_p((0.1, labels)) == labels
