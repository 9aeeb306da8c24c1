"""p-values from null distributions against SciPy's resampling tests, and the relabelings they rest on."""

from collections.abc import Callable
from itertools import combinations, permutations, product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, monte_carlo_test, norm, permutation_test

from moe_claims.stats.permutation import (
    Floats,
    Labels,
    all_relabelings,
    as_layers,
    enumerable,
    mean_over_layers,
    off_diagonal,
    permute_labels,
    relabeled_pairs,
    relabelings,
    test_against,
)
from moe_claims.stats.quantiles import LEVELS
from moe_claims.types import NullDistribution


def symmetric(rng: np.random.Generator, experts: int) -> Floats:
    matrix = rng.standard_normal((experts, experts))
    return np.asarray(matrix + matrix.T)


# --- p-values ------------------------------------------------------------------------------------


def test_enumerated_p_is_scipys_permutation_test() -> None:
    x, y = np.array([1.3, 0.2, 2.4, 1.9]), np.array([0.1, 0.8, -0.4, 1.0])
    both = np.concatenate([x, y])

    def difference(a: Floats, b: Floats) -> float:
        return float(a.mean() - b.mean())

    null = [difference(both[list(c)], np.delete(both, list(c))) for c in combinations(range(8), 4)]
    ours = test_against(difference(x, y), null, exact=True)
    for alternative, p in (("greater", ours.p_greater), ("less", ours.p_less)):
        theirs = permutation_test((x, y), difference, alternative=alternative, n_resamples=np.inf)
        assert p == pytest.approx(theirs.pvalue, abs=1e-12)
    assert (ours.resamples, ours.smallest_p) == (70, 1 / 70)


def test_monte_carlo_p_is_scipys() -> None:
    sample = np.random.default_rng(1).normal(0.4, 1.0, 20)

    def same_draws(size: tuple[int, int]) -> Floats:
        return np.random.default_rng(2).standard_normal(size)

    ours = test_against(float(sample.mean()), same_draws((999, 20)).mean(axis=1), exact=False)
    for alternative, p in (("greater", ours.p_greater), ("less", ours.p_less)):
        theirs = monte_carlo_test(sample, same_draws, np.mean, n_resamples=999, alternative=alternative)
        assert p == pytest.approx(theirs.pvalue, abs=1e-12)
    assert ours.smallest_p == 1 / 1000


def test_p_is_the_tail_of_a_known_null() -> None:
    null = np.random.default_rng(3).standard_normal(9_999)
    result = test_against(1.5, null, exact=False)
    assert binomtest(round(result.p_greater * 10_000) - 1, 9_999, norm.sf(1.5)).pvalue > 0.001
    assert binomtest(round(result.p_less * 10_000) - 1, 9_999, norm.cdf(1.5)).pvalue > 0.001


def test_rejections_under_the_null_come_at_exactly_the_nominal_rate() -> None:
    # Observed and 19 resamples exchangeable: P(p ≤ 1/20) is 1/20 exactly, because the observed value is counted.
    values = np.random.default_rng(4).standard_normal((4_000, 20))
    results = [test_against(row[0], row[1:], exact=False) for row in values]
    assert binomtest(sum(r.p_greater <= 0.05 for r in results), 4_000, 0.05).pvalue > 0.001
    assert binomtest(sum(r.p_less <= 0.05 for r in results), 4_000, 0.05).pvalue > 0.001


def test_an_effect_beyond_the_null_gets_the_smallest_p() -> None:
    result = test_against(10.0, np.random.default_rng(5).standard_normal(999), exact=False)
    assert result.p_greater == result.smallest_p == 1 / 1000
    assert result.p_less == 1.0


@pytest.mark.parametrize("scale", [1e-14, 1.0, 3e9])
def test_rounding_makes_no_difference_between_equal_values(scale: float) -> None:
    observed = 0.1 + 0.2  # 0.30000000000000004
    result = test_against(scale * observed, scale * np.array([0.3, 0.3 - 1e-16, 0.3 + 1e-16, 0.2, 0.4]), exact=True)
    assert (result.p_greater, result.p_less) == (4 / 5, 4 / 5)


def test_rounding_of_large_terms_that_cancel_is_a_tie() -> None:
    # The observed value is small, the terms it is summed from are not: 1e7 holds no more than 2e-9.
    terms = np.array([1e7, 1 / 3, 1e7, 0.1])
    signs = np.array([1.0, 1.0, -1.0, 1.0])
    forwards, backwards = float(np.cumsum(terms * signs)[-1]), float(np.cumsum((terms * signs)[::-1])[-1])
    assert forwards != backwards
    result = test_against(max(forwards, backwards), [min(forwards, backwards), 2e7, -2e7], exact=True)
    assert result.p_greater == 2 / 3


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.integers(-50, 50), st.integers(-12, 12), st.booleans()
)
def test_units_of_measurement_change_no_p(null: list[int], observed: int, power: int, exact: bool) -> None:
    plain = test_against(float(observed), np.array(null, float), exact=exact)
    scaled = test_against(observed * 10.0**power, np.array(null) * 10.0**power, exact=exact)
    assert (plain.p_greater, plain.p_less) == (scaled.p_greater, scaled.p_less)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(-1e6, 1e6))
def test_both_tails_cover_the_null_and_mirror_each_other(null: list[float], observed: float) -> None:
    result = test_against(observed, null, exact=False)
    mirrored = test_against(-observed, [-value for value in null], exact=False)
    assert result.p_greater + result.p_less >= 1.0
    assert min(result.p_greater, result.p_less) >= result.smallest_p
    assert (result.p_greater, result.p_less) == (mirrored.p_less, mirrored.p_greater)


@pytest.mark.parametrize(("observed", "null"), [(0.0, []), (np.nan, [0.0]), (0.0, [0.0, np.inf]), (0.0, [np.nan])])
def test_a_null_without_finite_values_is_refused(observed: float, null: list[float]) -> None:
    with pytest.raises(ValueError, match=r"a null distribution needs at least one value, and all of them finite"):
        test_against(observed, null, exact=False)


# --- the null itself -----------------------------------------------------------------------------


def test_quantiles_are_numpys_of_the_null_without_interpolation() -> None:
    null = np.random.default_rng(8).standard_normal(9_999)
    result = test_against(0.3, null, exact=False)
    assert result.quantiles == tuple(np.quantile(null, LEVELS, method="inverted_cdf"))
    assert result.null_distribution("draws") == NullDistribution(
        "draws", None, 0.3, "upper", LEVELS, result.quantiles, draws=9_999, exact=False
    )


def test_the_axis_is_moved_and_scaled_as_a_whole() -> None:
    result = test_against(7.0, [4.0, 5.0, 6.0, 7.0], exact=True)
    null = result.null_distribution("labels", "share", tail="lower", origin=3.0, per=4)
    assert (null.observed, null.quantiles[0], null.quantiles[-1]) == (1.0, 0.25, 1.0)
    assert (null.statistic, null.tail, null.draws, null.exact) == ("share", "lower", 4, True)
    for per in (0.0, -2.0, np.nan):
        with pytest.raises(ValueError, match=f"values of a null are given per a positive number, not per {per}"):
            result.null_distribution("labels", per=per)


@given(
    st.lists(st.integers(-6, 6), min_size=1, max_size=60), st.integers(-7, 7), st.booleans(), st.sampled_from([1, 30])
)
def test_the_observed_value_lies_in_the_tail_that_p_says(
    room_for_p: Callable[[NullDistribution], tuple[float, float]],
    values: list[int],
    observed: int,
    exact: bool,
    per: float,
) -> None:
    result = test_against(float(observed), values, exact=exact)
    least, most = room_for_p(result.null_distribution("values", per=per))
    assert least <= result.p_greater <= most
    least, most = room_for_p(result.null_distribution("values", tail="lower", per=per))
    assert least <= result.p_less <= most


# --- relabelings ---------------------------------------------------------------------------------


def test_random_relabelings_are_uniform() -> None:
    drawn = relabelings(4, 12_000, np.random.default_rng(6))
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("experts", [1, 2, 3, 5, 7])
def test_all_relabelings_are_all_and_begin_with_identity(experts: int) -> None:
    labels = all_relabelings(experts)
    assert len(np.unique(labels, axis=0)) == len(labels) == factorial(experts)
    assert (labels[0] == np.arange(experts)).all()
    assert (np.sort(labels, axis=1) == np.arange(experts)).all()


@given(st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_relabeled_pairs_are_those_of_the_relabeled_matrix(experts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, labels = symmetric(rng, experts), relabelings(experts, 5, rng)
    expected = [matrix[np.ix_(row, row)][np.triu_indices(experts, 1)] for row in labels]
    assert (relabeled_pairs(matrix, labels) == expected).all()
    assert (relabeled_pairs(matrix, labels[:1] * 0 + np.arange(experts))[0] == off_diagonal(matrix)).all()


def test_layers_are_combined_in_every_way_or_draw_by_draw() -> None:
    rng = np.random.default_rng(7)
    first, second, third = rng.standard_normal((3, 6))
    every = [np.mean(c) for c in product(first, second, third)]
    assert np.allclose(np.sort(mean_over_layers([first, second, third], exact=True)), np.sort(every))
    assert np.allclose(mean_over_layers([first, second, third], exact=False), (first + second + third) / 3)


@pytest.mark.parametrize(
    ("experts", "layers", "few"),
    [
        (8, 1, True),
        (9, 1, False),
        (5, 2, True),
        (6, 2, False),
        (4, 3, True),
        (4, 4, False),
        (3, 5, True),
        (256, 60, False),
    ],
)
def test_up_to_40320_relabelings_are_enumerated(experts: int, layers: int, few: bool) -> None:
    assert enumerable(experts, layers) is few
    if few:
        assert len(list(permutations(range(experts)))) ** layers <= 40_320


# --- matrices ------------------------------------------------------------------------------------


def test_what_float32_leaves_of_asymmetry_is_averaged_away() -> None:
    matrix = np.array([[1.0, 0.5], [0.5 + 1e-7, 1.0]])
    layers = as_layers(matrix, "x")
    assert layers.shape == (1, 2, 2)
    assert layers[0, 0, 1] == layers[0, 1, 0] == pytest.approx(0.5 + 5e-8, abs=1e-12)
    assert matrix[0, 1] == 0.5  # the caller's array is left as it was


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_off_diagonal_holds_every_pair_once(experts: int, layers: int, seed: int) -> None:
    stack = np.stack([symmetric(np.random.default_rng(seed + layer), experts) for layer in range(layers)])
    pairs = off_diagonal(stack)
    assert pairs.shape == (layers, experts * (experts - 1) // 2)
    traces = np.trace(stack, axis1=1, axis2=2)
    assert np.allclose(2 * pairs.sum(axis=1) + traces, stack.sum(axis=(1, 2)))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros(3), r"similarity must be \(L, E, E\), not \(3,\)"),
        (np.zeros((2, 3, 4)), r"similarity must be \(L, E, E\), not \(2, 3, 4\)"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), r"similarity holds numbers that are not finite"),
        (np.array([[1.0, 0.2], [0.3, 1.0]]), r"similarity must be symmetric"),
    ],
)
def test_what_is_no_similarity_matrix_is_refused(matrix: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_layers(matrix, "similarity")


@pytest.mark.parametrize("at_once", [1, 7, 50, 1_000])
def test_permuted_labels_are_the_same_draws_however_many_are_taken_at_once(at_once: int) -> None:
    values = np.random.default_rng(11).standard_normal((3, 9))
    drawn: list[Labels] = []

    def first_less_last(layer: int, labels: Labels) -> Floats:
        drawn.append(labels)
        return np.asarray(values[layer][labels[:, 0]] - values[layer][labels[:, -1]])

    rng = np.random.default_rng(12)
    null = permute_labels(first_less_last, layers=3, experts=9, rng=rng, resamples=50, at_once=at_once)
    again = np.random.default_rng(12)
    expected = [relabelings(9, 50, again) for _ in range(3)]
    assert max(map(len, drawn)) <= at_once
    np.testing.assert_array_equal(np.concatenate(drawn), np.concatenate(expected))
    assert rng.bit_generator.state == again.bit_generator.state
    assert not null.exact
    for layer, labels in enumerate(expected):
        np.testing.assert_array_equal(null.by_layer[layer], values[layer][labels[:, 0]] - values[layer][labels[:, -1]])
    np.testing.assert_array_equal(null.mean(), null.by_layer.sum(axis=0) / 3)
    np.testing.assert_array_equal(null.squared().by_layer, null.by_layer**2)


def test_few_permuted_labels_are_enumerated_and_draw_nothing() -> None:
    values = np.random.default_rng(13).standard_normal((2, 4))
    rng = np.random.default_rng(14)
    null = permute_labels(lambda layer, labels: values[layer][labels[:, 0]], layers=2, experts=4, rng=rng, at_once=5)
    assert null.exact
    assert null.by_layer.shape == (2, 24)
    assert rng.bit_generator.state == np.random.default_rng(14).bit_generator.state
    observed = float(values[:, 0].mean())
    means = [(one + other) / 2 for one in values[0] for other in values[1]]
    found = null.test(observed)
    assert found.resamples == 24**2
    assert found.p_greater == pytest.approx(np.mean([mean >= observed - 1e-9 for mean in means]))
