"""Flagged experts: exact placements by brute force, the multinomial, Fisher's test, nulls and planted ones."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chisquare, hypergeom, multinomial

from moe_claims.stats.label_flags import flagged_difference, flagged_mean, most_flagged, random_flags
from moe_claims.stats.permutation import Floats

SEEDS = st.integers(0, 2**32 - 1)


def flags_at(layers: int, experts: int, *places: tuple[int, int]) -> np.ndarray:
    flags = np.zeros((layers, experts), dtype=bool)
    for layer, expert in places:
        flags[layer, expert] = True
    return flags


# --- random flags --------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 9))
def test_every_row_gets_its_number_of_flags(seed: int, experts: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, experts + 1, size=20)
    assert (random_flags(counts, experts, rng).sum(axis=1) == counts).all()


@pytest.mark.parametrize(("count", "experts"), [(1, 6), (2, 5), (3, 4)])
def test_all_sets_are_as_likely(count: int, experts: int) -> None:
    drawn = random_flags(np.full(6_000, count), experts, np.random.default_rng(count))
    sets = dict.fromkeys(combinations(range(experts), count), 0)
    for row in drawn:
        sets[tuple(np.flatnonzero(row).tolist())] += 1
    assert chisquare(list(sets.values())).pvalue > 0.001


# --- the most flagged -----------------------------------------------------------------------------


def test_one_mark_per_layer_is_the_multinomial() -> None:
    # Four layers of three experts, one mark in each: how often is one of them flagged three times or more?
    flags = flags_at(4, 3, (0, 1), (1, 1), (2, 2), (3, 1))
    result = most_flagged(flags, [1.0], rng=np.random.default_rng(0))
    assert (result.expert, result.count) == (1, 3)
    counts = [c for c in product(range(5), repeat=3) if sum(c) == 4 and max(c) >= 3]
    exact = sum(multinomial(4, [1 / 3] * 3).pmf(c) for c in counts)
    assert result.given_numbers.p_greater == pytest.approx(exact, abs=0.015)
    assert result.by_chance.p_greater == 1 / 10_000  # no flags by chance at all
    assert result.given_numbers.smallest_p == pytest.approx(3.0**-3)


def test_marks_by_chance_are_drawn_from_their_chances() -> None:
    flags = flags_at(6, 4, (0, 0), (3, 0))
    result = most_flagged(flags, [0.7, 0.3], rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    some = rng.random((50_000, 6)) < 0.3
    at = np.where(some, rng.integers(0, 4, (50_000, 6)), -1)
    most = np.stack([(at == expert).sum(axis=1) for expert in range(4)]).max(axis=0)
    assert result.by_chance.p_greater == pytest.approx((most >= 2).mean(), abs=0.02)
    assert result.by_chance.p_less == pytest.approx((most <= 2).mean(), abs=0.02)


def test_marks_on_any_expert_are_rejected_at_most_at_the_level() -> None:
    rng = np.random.default_rng(3)
    chances = [0.5, 0.3, 0.2]
    results = []
    for seed in range(300):
        flags = random_flags(rng.choice(3, size=12, p=chances), 8, rng)
        results.append(most_flagged(flags, chances, rng=np.random.default_rng(seed), resamples=199))
    for test in ("by_chance", "given_numbers"):
        rejected = sum(getattr(result, test).p_greater <= 0.05 for result in results)
        assert binomtest(rejected, 300, 0.05, alternative="greater").pvalue > 0.001


def test_the_same_expert_in_most_layers_is_found() -> None:
    rng = np.random.default_rng(4)
    flags = random_flags(np.full(12, 1), 8, rng)
    flags[::3] = flags[1::3] = np.arange(8) == 5
    result = most_flagged(flags, [0.95, 0.05], rng=rng)
    assert result.expert == 5 and result.count >= 8
    assert result.by_chance.p_greater == 1 / 10_000
    # Binomial tail of one expert, times the number of experts: two cannot have 8 of 12 both.
    assert result.given_numbers.p_greater == pytest.approx(8 * binom(12, 1 / 8).sf(result.count - 1), abs=5e-4)


@given(SEEDS)
def test_which_number_an_expert_has_is_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.random((6, 5)) < 0.3
    order = rng.permutation(5)
    one = most_flagged(flags, [0.5, 0.5], rng=np.random.default_rng(1), resamples=99)
    other = most_flagged(flags[:, order], [0.5, 0.5], rng=np.random.default_rng(1), resamples=99)
    assert (one.count, one.by_chance, one.given_numbers) == (other.count, other.by_chance, other.given_numbers)


def test_no_marks_are_no_finding() -> None:
    result = most_flagged(np.zeros((5, 8), dtype=bool), [0.95, 0.05], rng=np.random.default_rng(0))
    assert result.count == 0
    assert result.by_chance.p_greater == result.given_numbers.p_greater == 1.0


# --- values of the flagged ------------------------------------------------------------------------


def test_mean_of_marked_is_enumerated_where_that_is_possible() -> None:
    rng = np.random.default_rng(5)
    values = rng.standard_normal((4, 5))
    flags = flags_at(4, 5, (0, 1), (0, 3), (2, 4), (3, 0))
    sets = [combinations(range(5), count) for count in (2, 1, 1)]
    null = [
        np.concatenate([values[layer, list(s)] for layer, s in zip((0, 2, 3), choice, strict=True)]).mean()
        for choice in product(*sets)
    ]
    result = flagged_mean(values, flags, rng=rng)
    assert result.exact and result.resamples == 10 * 5 * 5
    assert result.statistic == pytest.approx(values[flags].mean())
    assert result.p_greater == pytest.approx((np.array(null) >= result.statistic - 1e-9).mean())
    assert result.p_less == pytest.approx((np.array(null) <= result.statistic + 1e-9).mean())
    assert result.smallest_p == 1 / 250


def test_of_zeros_and_ones_in_one_layer_it_is_fishers_exact_test() -> None:
    values = np.array([[1, 1, 1, 0, 0, 0, 0, 0]], dtype=float)
    flags = flags_at(1, 8, (0, 0), (0, 1), (0, 6))
    result = flagged_mean(values, flags, rng=np.random.default_rng(0))
    table = hypergeom(8, 3, 3)
    assert result.p_greater == pytest.approx(table.sf(1))
    assert result.p_less == pytest.approx(table.cdf(2))
    assert result.smallest_p == pytest.approx(table.pmf(3))  # all three flags on the ones


def test_many_layers_are_drawn_and_agree_with_the_exact_sum() -> None:
    rng = np.random.default_rng(6)
    layers = 7
    values = (rng.random((layers, 8)) < 0.4).astype(float)
    flags = np.tile(np.arange(8) == 2, (layers, 1))
    result = flagged_mean(values, flags, rng=rng)
    exact = np.array([1.0])
    for row in values:
        exact = np.convolve(exact, [1 - row.mean(), row.mean()])
    assert not result.exact and result.resamples == 9_999
    assert result.p_greater == pytest.approx(exact[int(values[:, 2].sum()) :].sum(), abs=0.02)


def test_level_and_power_of_the_marked_mean() -> None:
    rng = np.random.default_rng(7)
    false, found = 0, 0
    for seed in range(300):
        values = rng.standard_exponential((8, 8))
        flags = random_flags(np.full(8, 1), 8, rng)
        draw = np.random.default_rng(seed)
        false += flagged_mean(values, flags, rng=draw, resamples=199).p_less <= 0.05
        found += seed < 50 and flagged_mean(values + 2 * flags, flags, rng=draw, resamples=199).p_greater <= 0.05
    assert binomtest(false, 300, 0.05).pvalue > 0.001
    assert found > 45


# --- difference ----------------------------------------------------------------------------------


def ratio_of(values: Floats, flags: np.ndarray) -> float:
    """Pooled over layers with a flag."""
    some = flags.any(axis=1)
    return float(values[some][flags[some]].mean() - values[some][~flags[some]].mean())


@given(SEEDS, st.integers(2, 9))
def test_difference_is_jackknifed_over_the_layers_that_have_a_mark(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((layers + 1, 6))
    flags = random_flags(np.append(rng.integers(1, 4, size=layers), 0), 6, rng)
    result = flagged_difference(values, flags)
    assert result.estimate == pytest.approx(ratio_of(values, flags))
    left_out = [ratio_of(np.delete(values, layer, 0), np.delete(flags, layer, 0)) for layer in range(layers)]
    assert result.standard_error == pytest.approx(np.sqrt((layers - 1) * np.var(left_out)))
    assert result.degrees == layers - 1


def test_its_interval_covers_where_layers_differ() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(500):
        share = rng.uniform(0.1, 0.7, size=(10, 1))  # of outliers among the unmarked: layers are not alike
        flags = random_flags(rng.integers(1, 3, size=10), 8, rng)
        values = rng.random((10, 8)) < np.where(flags, 0.8, share)
        interval = flagged_difference(values, flags).interval(0.95, "layers")
        covered += interval.low <= 0.4 <= interval.high
    assert covered >= 450


# --- refusals ------------------------------------------------------------------------------------


def test_what_makes_no_comparison_is_refused() -> None:
    rng = np.random.default_rng(0)
    none, every = np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"flags must be \(L, E\), not \(4,\)"):
        most_flagged(none[0], [1.0], rng=rng)
    for chances in ([0.5, 0.4], [1.2, -0.2], [0.1] * 10):
        with pytest.raises(ValueError, match=r"chances of 0 to 4 flags at most must sum to 1"):
            most_flagged(none, chances, rng=rng)
    with pytest.raises(ValueError, match=r"at least one flag"):
        flagged_mean(np.zeros((3, 4)), none, rng=rng)
    with pytest.raises(ValueError, match=r"values \(2, 4\) must be finite, one for each of the flags \(3, 4\)"):
        flagged_mean(np.zeros((2, 4)), every, rng=rng)
    for flags in (every, flags_at(3, 4, (1, 1))):
        with pytest.raises(ValueError, match=r"flags on some experts, not all, of at least 2 layers"):
            flagged_difference(np.zeros((3, 4)), flags)
