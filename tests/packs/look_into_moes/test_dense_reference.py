"""Experts against a dense model, on made-up measurements whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from moe_claims.errors import ModelError, MoeClaimsError, NotComparableError, TextError
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import DenseWeights, RoutedMeasurement
from moe_claims.packs.look_into_moes.dense_reference import compared
from moe_claims.packs.look_into_moes.pack import LIVE

Array = NDArray[np.float64]
VARIANTS = LIVE["dense-reference"].variants
ROLES = ("up", "act", "down")


def _cosines(rows: Array) -> Array:
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(unit @ np.swapaxes(unit, -1, -2))


def _drawn(kind: str, rng: np.random.Generator, layers: int = 8, experts: int = 8, size: int = 48) -> Array:
    """(L, E + 1, E + 1) cosines of experts and, last, a dense model."""
    own, shared = rng.standard_normal((layers, experts + 1, size)), rng.standard_normal((layers, 1, size))
    rows = {
        "upcycled": lambda: np.concatenate([shared + own[:, :-1], shared], axis=1),
        "unrelated": lambda: np.concatenate([shared + own[:, :-1], own[:, -1:]], axis=1),
        "one more": lambda: shared * rng.uniform(0.3, 1.5, (layers, experts + 1, 1)) + own,
        "nothing shared": lambda: own,
    }[kind]()
    return _cosines(rows)


@pytest.fixture
def measured(made_up_weights: Callable[..., Any], made_up_routed: Callable[..., Any]) -> Callable[..., Measured]:
    """(kind, seed=0, layers=8, experts=8) → matrices, means and outputs, each drawn anew after the kind."""

    def make(kind: str, seed: int = 0, layers: int = 8, experts: int = 8) -> Measured:
        rng = np.random.default_rng(seed)
        matrix, mean = ({role: _drawn(kind, rng, layers, experts) for role in ROLES} for _ in range(2))
        weights = made_up_weights(
            layers,
            experts,
            matrix={role: values[:, :-1, :-1] for role, values in matrix.items()},
            mean={role: values[:, :-1, :-1] for role, values in mean.items()},
        )
        dense = DenseWeights(
            {role: values[:, -1, :-1] for role, values in matrix.items()},
            {role: values[:, -1, :-1] for role, values in mean.items()},
        )
        angles = 1 - np.arccos(np.clip(_drawn(kind, rng, layers, experts), -1, 1)) / np.pi
        routed: RoutedMeasurement = made_up_routed(layers=layers, experts=experts)
        noise = 0.01 * rng.standard_normal((layers, len(routed.lengths), 1, 1))
        sums = 0.9 * angles[:, None] * (1 + noise) * routed.lengths[:, None, None]
        text = replace(routed, angular_sums=sums[..., :-1, :-1], dense_sums=sums[..., -1, :-1])
        return Measured(weights, text, dense=dense)

    return make


def _oriented(variant: str, dense: float, experts: float) -> float:
    return dense - experts if variant.startswith("matrix") else experts - dense


# --- effects and directions ------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_effect_is_the_difference_of_two_means(variant: str, measured: Callable[..., Measured]) -> None:
    given = measured("one more", seed=2)
    finding = compared(variant, given, np.random.default_rng(0))
    off = ~np.eye(8, dtype=bool)
    level, _, role = variant.partition(" ")
    if level == "outputs":
        tokens = given.routed.lengths.sum()
        among = given.routed.angular_sums.sum(axis=1)[:, off].mean() / tokens
        assert given.routed.dense_sums is not None
        to_dense = given.routed.dense_sums.sum(axis=1).mean() / tokens
        assert finding.n_units == len(given.routed.lengths)
        assert finding.interval.method.endswith("over sequences")
    else:
        among = getattr(given.weights, level)[role][:, off].mean()
        to_dense = getattr(given.against_dense, level)[role].mean()
        assert finding.n_units == 8 * 9
    assert finding.details["mean_expert_dense"] == pytest.approx(to_dense)
    assert finding.details["mean_expert_expert"] == pytest.approx(among)
    assert finding.effect == pytest.approx(_oriented(variant, to_dense, among))
    assert finding.interval.low <= finding.effect <= finding.interval.high
    assert finding.interval.low <= finding.equivalence.low <= finding.equivalence.high <= finding.interval.high
    assert (finding.interval.level, finding.equivalence.level) == (0.95, 0.9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_dense_model_that_experts_come_from_is_more_like_them(
    variant: str, measured: Callable[..., Measured]
) -> None:
    finding = compared(variant, measured("upcycled"), np.random.default_rng(0))
    towards = 1 if variant.startswith("matrix") else -1
    assert finding.effect * towards > 0.05
    assert min(finding.p_value, finding.p_opposite) == finding.smallest_p <= 2.0**-12
    assert (finding.p_value < finding.p_opposite) == (towards > 0)
    assert finding.details["layers_as_claimed"] == (8 if towards > 0 else 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_dense_model_of_another_origin_is_less_like_them(variant: str, measured: Callable[..., Measured]) -> None:
    finding = compared(variant, measured("unrelated"), np.random.default_rng(0))
    towards = -1 if variant.startswith("matrix") else 1
    assert finding.effect * towards > 0.05
    assert (finding.p_value if towards > 0 else finding.p_opposite) == finding.smallest_p <= 2.0**-12


@pytest.mark.parametrize("kind", ["one more", "nothing shared"])
def test_level_holds_where_the_dense_model_is_one_more_expert(kind: str, measured: Callable[..., Measured]) -> None:
    runs = 60
    rejected = dict.fromkeys(VARIANTS, 0)
    for seed in range(runs):
        given = measured(kind, seed, layers=4, experts=5)
        for variant in VARIANTS:
            finding = compared(variant, given, np.random.default_rng(seed))
            rejected[variant] += finding.p_value <= 0.05
            rejected[variant] += finding.p_opposite <= 0.05
    for variant in VARIANTS:
        assert binom.sf(rejected[variant] - 1, runs, 0.10) > 0.001, variant


def test_outputs_must_hold_over_sequences_too(measured: Callable[..., Measured]) -> None:
    given = measured("unrelated")
    routed = given.routed
    assert routed.dense_sums is not None
    signs = np.where(np.arange(len(routed.lengths)) % 2, 1.0, -1.0)  # half the text speaks against it, far louder
    loud = routed.dense_sums + 5 * signs[:, None] * routed.lengths[:, None]
    finding = compared("outputs", replace(given, text=replace(routed, dense_sums=loud)), np.random.default_rng(0))
    assert finding.details["p_labels"] == 1e-4
    assert isinstance(finding.details["p_sign_flips"], float)
    assert finding.p_value == finding.details["p_sign_flips"] > 0.05
    assert finding.interval.low < 0 < finding.interval.high


def test_few_layers_say_what_they_can_reach(measured: Callable[..., Measured]) -> None:
    finding = compared("matrix up", measured("upcycled", layers=1), np.random.default_rng(0))
    assert finding.p_value == finding.smallest_p == 1 / 9
    assert (finding.interval.low, finding.interval.high) == (-2, 2)


def test_numbers_depend_on_the_seed_alone(measured: Callable[..., Measured]) -> None:
    given = measured("one more", layers=6)
    one, two = (compared("mean act", given, np.random.default_rng(7)) for _ in range(2))
    assert one == two


# --- where it does not apply -----------------------------------------------------------------------


def _message(given: Measured, variant: str, kind: type[MoeClaimsError]) -> str:
    with pytest.raises(kind) as caught:
        compared(variant, given, np.random.default_rng(0))
    return str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_dense_model_it_does_not_apply(variant: str, measured: Callable[..., Measured]) -> None:
    given = measured("one more")
    text = replace(given.routed, dense_sums=None)
    without = replace(given, dense=None, text=text)
    assert _message(without, variant, NotComparableError) == (
        "no dense model to compare with: --moe-dense-reference NAME gives one"
    )
    other = replace(without, dense=NotComparableError("another shape"))
    assert _message(other, variant, NotComparableError) == "another shape"
    broken = replace(without, dense=ModelError("lacks a tensor"))
    assert _message(broken, variant, ModelError) == "lacks a tensor"


def test_a_text_that_cannot_be_run_stops_only_the_outputs(measured: Callable[..., Measured]) -> None:
    given = replace(measured("upcycled"), text=TextError("too short"))
    assert _message(given, "outputs", TextError) == "too short"
    assert compared("matrix up", given, np.random.default_rng(0)).p_value < 0.05


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_expert_has_none_to_be_compared_with(variant: str, measured: Callable[..., Measured]) -> None:
    with np.errstate(invalid="ignore"):
        given = measured("one more", experts=1)
    expected = "experts are compared with each other: 2 are needed, not 1"
    assert _message(given, variant, NotComparableError) == expected
