"""Mean τ against random orders: exact moments, level, and smallest p."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, kendalltau

from moe_claims.stats.neuron_order import OrderResult, order_test

pytestmark = pytest.mark.numerics


def tau_of(orders: np.ndarray) -> np.ndarray:
    """(…, E, m) orders → (…, E, E) Kendall's τ."""
    first, second = np.triu_indices(orders.shape[-1], 1)
    signs = np.sign(orders[..., second] - orders[..., first]).astype(np.float32)
    return signs @ np.swapaxes(signs, -1, -2) / len(first)


def random_orders(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)


def unrelated(rng: np.random.Generator, count: int, layers: int, experts: int, neurons: int) -> np.ndarray:
    """(count, L, E, E) τ of matchings that fit no common order: expert f's neurons reshuffled for every partner e."""
    orders = random_orders(rng, count, layers, experts, neurons)
    tau = np.ones((count, layers, experts, experts))
    for e in range(experts):
        for f in range(e):
            pair = np.stack([orders[:, :, e], orders[:, :, f][..., rng.permutation(neurons)]], axis=-2)
            tau[..., e, f] = tau[..., f, e] = tau_of(pair)[..., 0, 1]
    return tau


def test_variance_and_skewness_are_those_of_all_orders_of_three_experts() -> None:
    neurons = 8
    rng = np.random.default_rng(0)
    tau = tau_of(random_orders(rng, 20_000, 3, neurons)).astype(float)
    result = order_test(tau[0], neurons)
    variance = 2 * (2 * neurons + 5) / (9 * neurons * (neurons - 1))  # Kendall 1938
    assert result.standard_deviation == pytest.approx((variance / 3) ** 0.5, rel=1e-12)
    # All orders of 5 neurons, by SciPy.
    every = np.asarray([kendalltau(p, np.arange(5)).statistic for p in permutations(range(5))])
    assert every.var() == pytest.approx(2 * 15 / (9 * 5 * 4), rel=1e-12)
    triple = tau[:, 0, 1] * tau[:, 0, 2] * tau[:, 1, 2]
    cubed = result.skewness * result.standard_deviation**3 * 3**3 / 6
    assert cubed == pytest.approx(triple.mean(), abs=4 * triple.std() / len(triple) ** 0.5)
    assert cubed > 8 * triple.std() / len(triple) ** 0.5  # far from none


@pytest.mark.parametrize(("layers", "experts", "neurons"), [(1, 4, 8), (2, 8, 12), (3, 6, 24)])
@pytest.mark.parametrize("same", [True, False], ids=["same neurons", "unrelated neurons"])
def test_level_under_random_orders(layers: int, experts: int, neurons: int, same: bool) -> None:
    rng = np.random.default_rng(layers)
    count = 400
    if same:
        tau = tau_of(random_orders(rng, count, layers, experts, neurons))
    else:
        tau = unrelated(rng, count, layers, experts, neurons)
    found = [order_test(one, neurons) for one in tau]
    means = np.asarray([result.mean for result in found])
    assert means.std() == pytest.approx(found[0].standard_deviation, rel=0.15)
    for p_values in ([r.p_greater for r in found], [r.p_less for r in found]):
        for level in (0.05, 0.01):
            assert (np.asarray(p_values) <= level).sum() <= binom.ppf(0.999, count, level)


def test_the_null_is_that_of_random_orders() -> None:
    rng = np.random.default_rng(5)
    tau = tau_of(random_orders(rng, 4_000, 2, 6, 10))
    null = order_test(tau[0], 10).null_distribution()
    means = tau[..., *np.triu_indices(6, 1)].mean(axis=(1, 2))
    assert null.observed == pytest.approx(means[0], abs=1e-6)
    for level, quantile in zip(null.levels, null.quantiles, strict=True):
        assert binomtest(int((means <= quantile).sum()), len(means), level).pvalue > 1e-4
    assert (null.tail, null.draws) == ("upper", None)


def test_a_common_order_that_is_loose_is_found() -> None:
    """Each expert moves every neuron by some places: τ is small, and far beyond random orders."""
    rng = np.random.default_rng(2)
    orders = (np.arange(48) + 30 * rng.standard_normal((2, 8, 48))).argsort(axis=-1).argsort(axis=-1)
    result = order_test(tau_of(orders), 48)
    assert 0.05 < result.mean < 0.2
    assert result.p_greater < 1e-6
    assert result.p_less > 0.999
    backward = orders.copy()
    backward[:, :4] = 47 - backward[:, :4]  # half the experts the other way round: pairs across are negative
    assert order_test(tau_of(backward), 48).mean < 0


def test_smallest_p_is_that_of_equal_orders_and_never_below_their_chance() -> None:
    everywhere = np.ones((2, 4, 4))
    result = order_test(everywhere, 8)
    assert result.p_greater == result.smallest_p >= factorial(8) ** -6
    assert result.p_less == pytest.approx(1.0)
    assert order_test(np.ones((40, 8, 8)), 1_408).p_greater > 0  # too small for a number, and yet not 0


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(8, 20))
@settings(max_examples=30)
def test_expert_labels_and_reversed_signs(seed: int, experts: int, neurons: int) -> None:
    rng = np.random.default_rng(seed)
    tau = tau_of(random_orders(rng, 2, experts, neurons))
    result = order_test(tau, neurons)
    labels = rng.permutation(experts)
    assert order_test(tau[:, labels][:, :, labels], neurons).p_greater == pytest.approx(result.p_greater, rel=1e-9)
    flipped = order_test(-tau, neurons)
    assert flipped.p_less == pytest.approx(result.p_greater, rel=1e-9)
    assert isinstance(result, OrderResult)
    assert result.smallest_p <= min(result.p_greater, result.p_less) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("tau", "neurons", "message"),
    [
        (np.ones((1, 4, 4)), 7, "at least 8 neurons"),
        (np.ones((1, 1, 1)), 9, "of 2 experts"),
        (np.full((1, 3, 3), 1.5), 9, "between −1 and 1"),
        (np.full((1, 3, 3), np.nan), 9, "not finite"),
    ],
)
def test_what_is_no_order_is_refused(tau: np.ndarray, neurons: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order_test(tau, neurons)
