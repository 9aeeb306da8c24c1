"""Order of matched neurons: kept, shuffled, loose, and where it cannot be judged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from moe_claims.errors import NotComparableError, NotMeasuredError
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import MatchingMeasurement, WeightMeasurement
from moe_claims.models.families.table import ROLES
from moe_claims.packs.look_into_moes.neuron_order import order
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding

LAYERS, EXPERTS, NEURONS = 3, 8, 24
CLAIM = LIVE["neuron-order"]
Weights = Callable[..., WeightMeasurement]


def matched(orders: np.ndarray, layers: list[int], gain: float = 0.1) -> MatchingMeasurement:
    """(L, E, m) place of each neuron in a common order → what matching the very same neurons would give."""
    first, second = np.triu_indices(orders.shape[-1], 1)
    signs = np.sign(orders[..., second] - orders[..., first]).astype(float)
    tau = signs @ np.swapaxes(signs, -1, -2) / len(first)
    # Neuron i of e holds place orders[e][i]; its partner in f holds the same.
    places = np.argsort(orders, axis=-1)
    partner = np.stack([[[places[n, f][orders[n, e]] for f in range(orders.shape[1])]
                         for e in range(orders.shape[1])] for n in range(len(orders))])  # fmt: skip
    similarity = np.full(tau.shape, 0.3 + gain)
    return MatchingMeasurement(np.asarray(layers), similarity, tau, partner, np.full(len(layers), 0.08))


def judged(weights: WeightMeasurement, found: MatchingMeasurement, variant: str = "up") -> Finding:
    measured = Measured(weights, matching=dict.fromkeys(ROLES, found))
    return order(variant, measured, np.random.default_rng(0))


def orders(rng: np.random.Generator, spread: float, layers: int = LAYERS, experts: int = EXPERTS) -> np.ndarray:
    """(L, E, m) neurons that stand ``spread`` places from where they should, more or less."""
    wanted = np.arange(NEURONS) + spread * rng.standard_normal((layers, experts, NEURONS))
    return wanted.argsort(axis=-1).argsort(axis=-1)


@pytest.fixture
def flat(made_up_weights: Weights) -> WeightMeasurement:
    """Ten layers whose flattened matrices have cosines of 0.3 + 0.01 times the layer."""
    level = np.broadcast_to((0.3 + 0.01 * np.arange(10))[:, None, None], (10, EXPERTS, EXPERTS))
    return made_up_weights(layers=10, matrix=dict.fromkeys(ROLES, level))


def test_order_that_is_kept(flat: WeightMeasurement) -> None:
    finding = judged(flat, matched(orders(np.random.default_rng(1), 1.5), [0, 4, 9]))
    assert finding.effect > CLAIM.smallest
    assert finding.interval.low > CLAIM.smallest
    assert finding.p_value < 1e-12
    assert finding.p_opposite > 0.999
    assert finding.n_units == LAYERS * EXPERTS


def test_order_that_is_shuffled_is_as_good_as_none(flat: WeightMeasurement) -> None:
    rng = np.random.default_rng(2)
    found = matched(rng.permuted(np.broadcast_to(np.arange(128), (10, EXPERTS, 128)), axis=-1), list(range(10)))
    finding = judged(flat, found)
    assert finding.equivalence.inside(CLAIM.equivalence)
    assert finding.p_value > 0.001
    assert finding.p_opposite > 0.001
    assert finding.details["tau_standard_deviation_by_chance"] == pytest.approx(
        (2 * 261 / (9 * 128 * 127) / 280) ** 0.5
    )


def test_level_where_orders_are_random(flat: WeightMeasurement) -> None:
    rng = np.random.default_rng(3)
    findings = [judged(flat, matched(orders(rng, 1e6), [0, 4, 9])) for _ in range(200)]
    most = binom.ppf(0.999, 200, 0.05)
    assert sum(finding.p_value <= 0.05 for finding in findings) <= most
    assert sum(finding.p_opposite <= 0.05 for finding in findings) <= most
    assert sum(not finding.interval.low <= 0 <= finding.interval.high for finding in findings) <= most
    assert np.mean([finding.effect for finding in findings]) == pytest.approx(0, abs=0.01)


def test_loose_order_is_significant_and_less_than_claimed(flat: WeightMeasurement) -> None:
    finding = judged(flat, matched(orders(np.random.default_rng(4), 12.0), [0, 4, 9]))
    assert 0.05 < finding.effect < CLAIM.smallest
    assert finding.p_value < 0.001


def test_order_the_other_way_round_speaks_against(flat: WeightMeasurement) -> None:
    """Two halves of the experts in opposite order: pairs across outnumber those within."""
    found = orders(np.random.default_rng(5), 1.0)
    found[:, ::2] = NEURONS - 1 - found[:, ::2]
    finding = judged(flat, matched(found, [0, 4, 9]))
    assert finding.effect < 0
    assert finding.p_opposite < 0.05 < finding.p_value


def test_gain_is_over_the_same_layers_of_the_matrices(flat: WeightMeasurement) -> None:
    found = matched(orders(np.random.default_rng(6), 1.0), [2, 5, 8], gain=0.2)
    details = judged(flat, found).details
    assert details["similarity_gain"] == pytest.approx(0.2 - 0.05)
    assert details["similarity_gain_of_random_matrices"] == pytest.approx(0.08)
    assert details["gain_over_random_gain"] == pytest.approx(0.15 / 0.08)
    assert details["layers_matched"] == "2, 5, 8"
    assert details["tau_lowest_layer"] < details["tau_highest_layer"]


def test_true_layer_indices_with_dense_layers_between(made_up_weights: Weights) -> None:
    level = np.broadcast_to(np.array([0.1, 0.2, 0.3])[:, None, None], (3, EXPERTS, EXPERTS))
    made = made_up_weights(layers=3, matrix=dict.fromkeys(ROLES, level))
    weights = WeightMeasurement(np.array([1, 3, 6]), made.router, made.matrix, made.mean)
    found = matched(orders(np.random.default_rng(7), 1.0, layers=1), [6], gain=0.1)
    assert judged(weights, found).details["similarity_gain"] == pytest.approx(0.4 - 0.3)


def test_no_gain_by_chance_gives_no_ratio(flat: WeightMeasurement) -> None:
    found = matched(orders(np.random.default_rng(8), 1.0), [0, 4, 9])
    still = MatchingMeasurement(found.layers, found.similarity, found.tau, found.permutation, np.zeros(LAYERS))
    assert judged(flat, still).details["gain_over_random_gain"] is None


def test_labels_of_experts_change_nothing(flat: WeightMeasurement) -> None:
    made = orders(np.random.default_rng(9), 4.0)
    plain, relabeled = (
        judged(flat, matched(made[:, labels], [0, 4, 9])) for labels in (slice(None), [3, 1, 7, 0, 2, 5, 4, 6])
    )
    assert relabeled.effect == pytest.approx(plain.effect)
    assert relabeled.p_value == pytest.approx(plain.p_value)
    assert relabeled.interval.low == pytest.approx(plain.interval.low)


def test_the_variant_is_the_matrix_kind(flat: WeightMeasurement) -> None:
    rng = np.random.default_rng(10)
    kinds = {role: matched(orders(rng, spread), [0, 4, 9]) for role, spread in zip(ROLES, (1.0, 8.0, 1e6), strict=True)}
    measured = Measured(flat, matching=kinds)
    effects = [order(variant, measured, np.random.default_rng(0)).effect for variant in CLAIM.variants]
    expected = [kinds[role].tau[:, *np.triu_indices(EXPERTS, 1)].mean() for role in ROLES]
    assert CLAIM.variants == ROLES
    np.testing.assert_allclose(effects, expected)


def test_few_experts_or_neurons_are_not_judged(made_up_weights: Weights) -> None:
    few: Any = made_up_weights(layers=1, experts=3)
    with pytest.raises(NotComparableError, match="at least 4 of them; this model has 3"):
        judged(few, matched(orders(np.random.default_rng(11), 1.0, layers=1, experts=3), [0]))
    short = np.broadcast_to(np.arange(7), (1, EXPERTS, 7))
    with pytest.raises(NotComparableError, match="at least 8 neurons; these experts have 7"):
        judged(made_up_weights(layers=1), matched(short, [0]))


def test_what_was_left_out_says_how_to_ask_for_it(flat: WeightMeasurement) -> None:
    measured = Measured(flat, matching=NotMeasuredError("three days: --moe-layers 0,15,31 matches some of them"))
    with pytest.raises(NotMeasuredError, match="--moe-layers 0,15,31"):
        order("up", measured, np.random.default_rng(0))
