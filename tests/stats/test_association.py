"""Rank association within tokens against SciPy's Spearman, with static patterns as the awkward null."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test, spearmanr

from moe_claims.stats.association import (
    CrossTable,
    centre_across_sequences,
    centred_ranks,
    cross_table,
    label_test,
)
from moe_claims.stats.cluster_bootstrap import sign_flips
from moe_claims.stats.permutation import Floats

pytestmark = pytest.mark.numerics

SEEDS = st.integers(0, 2**32 - 1)


def table_of(a: Floats, b: Floats, lengths: list[int]) -> CrossTable:
    return cross_table(centred_ranks(a), centred_ranks(b), np.repeat(np.arange(len(lengths)), lengths))


def token_specific(a: Floats, b: Floats, lengths: list[int]) -> CrossTable:
    of = np.repeat(np.arange(len(lengths)), lengths)
    return table_of(centre_across_sequences(a, of), centre_across_sequences(b, of), lengths)


# --- ranks ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=12))
def test_inner_product_of_ranks_is_spearmans_rho(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, float).T  # few values, so ties are common
    rho = float(centred_ranks(a) @ centred_ranks(b))
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert rho == 0.0
    else:
        assert rho == pytest.approx(spearmanr(a, b).statistic)


@given(SEEDS, st.sampled_from([np.exp, np.cbrt, lambda v: 3 * v - 7]))
def test_monotone_transforms_leave_ranks_alone(seed: int, transform: np.ufunc) -> None:
    values = np.random.default_rng(seed).standard_normal((2, 3, 6)).round(1)
    assert (centred_ranks(transform(values)) == centred_ranks(values)).all()
    assert np.allclose(centred_ranks(-values), -centred_ranks(values))


# --- cross table ---------------------------------------------------------------------------------


def test_table_holds_the_mean_of_each_tokens_rho() -> None:
    rng = np.random.default_rng(1)
    lengths = [3, 1, 5]
    norms, logits = rng.standard_normal((2, 2, 9, 5))
    table = table_of(norms, logits, lengths)
    rho = np.array([[spearmanr(norms[i, t], logits[i, t]).statistic for t in range(9)] for i in range(2)])
    assert table.mean == pytest.approx(rho.mean())
    assert table.by_layer == pytest.approx(rho.mean(axis=1))
    assert table.by_sequence == pytest.approx([part.sum() for part in np.split(rho.mean(axis=0), [3, 4])])
    assert table.counts.tolist() == lengths
    assert table.sums.shape == (3, 2, 5, 5)
    a, b = centred_ranks(norms), centred_ranks(logits)
    assert table.sums[2, 1, 0, 3] == pytest.approx(sum(a[1, t, 0] * b[1, t, 3] for t in range(4, 9)))


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_relabeling_both_sides_alike_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 1, 6, 5))
    order = rng.permutation(5)
    plain, moved = table_of(a, b, [2, 4]), table_of(a[..., order], b[..., order], [2, 4])
    assert moved.by_sequence == pytest.approx(plain.by_sequence)
    results = [label_test(table, rng=rng) for table in (plain, moved)]
    assert results[0].p_greater == results[1].p_greater
    assert results[0].p_greater * 120 == pytest.approx(round(results[0].p_greater * 120), abs=1e-9)


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_one_token_is_scipys_exact_spearman_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, (2, 6)).astype(float)
    ours = label_test(table_of(a[None, None], b[None, None], [1]), rng=rng)
    for alternative, p in (("greater", ours.p_greater), ("less", ours.p_less)):
        theirs = permutation_test(
            (a,), lambda x, b=b: spearmanr(x, b).statistic, permutation_type="pairings", alternative=alternative,
            n_resamples=np.inf, vectorized=False,
        )  # fmt: skip
        assert p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_labels_are_permuted_alike_for_all_tokens_of_a_layer() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 1, 7, 4))
    result = label_test(table_of(a, b, [4, 3]), rng=rng)
    null = [np.mean([spearmanr(a[0, t, list(p)], b[0, t]).statistic for t in range(7)]) for p in permutations(range(4))]
    assert result.exact and result.smallest_p == 1 / 24
    assert result.p_greater == np.mean(np.array(null) >= null[0] - 1e-9)
    assert result.p_less == np.mean(np.array(null) <= null[0] + 1e-9)


@pytest.mark.parametrize(("experts", "layers", "smallest"), [(3, 2, 1 / 36), (4, 2, 1 / 576), (8, 1, 1 / 40_320)])
def test_the_smallest_p_is_what_few_experts_allow(experts: int, layers: int, smallest: float) -> None:
    # A perfect association: no number of resamples would make it more.
    values = np.broadcast_to(np.arange(float(experts)), (layers, 2, experts))
    result = label_test(table_of(values, values, [1, 1]), rng=np.random.default_rng(0))
    assert result.p_greater == result.smallest_p == pytest.approx(smallest)


def test_monte_carlo_agrees_with_independent_layers() -> None:
    # Six experts in two layers are drawn; the mean of two tables is the same statistic as one table of both means.
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 2, 5, 6))
    table = table_of(a, b, [5])
    drawn = label_test(table, rng=rng)
    assert not drawn.exact and drawn.resamples == 9_999
    single = [label_test(CrossTable(table.sums[:, [i]], table.counts), rng=rng) for i in range(2)]
    assert drawn.statistic == pytest.approx(np.mean([s.statistic for s in single]))
    columns = np.arange(6)
    every = [np.array([table.sums[0, i][list(p), columns].sum() / 5 for p in permutations(range(6))]) for i in range(2)]
    tail = np.mean(np.add.outer(*every) / 2 >= drawn.statistic - 1e-9)
    assert binomtest(round(drawn.p_greater * 10_000) - 1, 9_999, tail).pvalue > 0.001


# --- null and planted ----------------------------------------------------------------------------


def static(rng: np.random.Generator, layers: int, tokens: int, experts: int, noise: float) -> Floats:
    """A fixed pattern over experts that every token repeats."""
    pattern = rng.standard_normal((layers, 1, experts))
    return np.asarray(pattern + noise * rng.standard_normal((layers, tokens, experts)))


def test_static_patterns_without_association_are_rejected_at_the_nominal_rate() -> None:
    # The null that fools flips of sequences: every sequence repeats whatever the two patterns happen to share.
    rng = np.random.default_rng(4)
    by_labels = by_flips = 0
    for _ in range(400):
        table = table_of(static(rng, 2, 20, 8, 0.3), static(rng, 2, 20, 8, 0.3), [2] * 10)
        by_labels += label_test(table, rng=rng, resamples=99).p_greater <= 0.05
        by_flips += sign_flips(table.by_sequence, rng=rng).p_greater <= 0.05
    assert binomtest(by_labels, 400, 0.05).pvalue > 0.001
    assert by_flips > 120


def test_what_is_left_of_static_patterns_is_rejected_at_the_nominal_rate() -> None:
    # Associated and static: the total is real, the token-specific part is nothing.
    rng = np.random.default_rng(5)
    total = labels = flips = 0
    for _ in range(300):
        a = static(rng, 2, 24, 8, 0.5)
        b = a.mean(axis=1, keepdims=True) + 0.5 * rng.standard_normal(a.shape)
        total += label_test(table_of(a, b, [2] * 12), rng=rng, resamples=99).p_greater <= 0.05
        rest = token_specific(a, b, [2] * 12)
        labels += label_test(rest, rng=rng, resamples=99).p_greater <= 0.05
        flips += sign_flips(rest.by_sequence, rng=rng).p_greater <= 0.05
    assert total == 300
    assert binomtest(labels, 300, 0.05).pvalue > 0.001
    assert binomtest(flips, 300, 0.05).pvalue > 0.001


def test_an_association_from_token_to_token_is_found_under_a_static_pattern() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        shared = rng.standard_normal((2, 60, 8))
        a = static(rng, 2, 60, 8, 1.0) + shared
        b = static(rng, 2, 60, 8, 1.0) + shared
        rest = token_specific(a, b, [5] * 12)
        assert label_test(rest, rng=rng, resamples=199).p_greater == 1 / 200
        assert sign_flips(rest.by_sequence, rng=rng).p_greater <= 0.01
        assert 0.3 < rest.mean < 0.6


# --- centring ------------------------------------------------------------------------------------


def test_centring_is_the_naive_one() -> None:
    rng = np.random.default_rng(7)
    values, of = rng.standard_normal((2, 9, 3)), np.repeat(np.arange(3), [2, 3, 4])
    expected = np.empty_like(values)
    for token in range(9):
        expected[:, token] = values[:, token] - values[:, of != of[token]].mean(axis=1)
    assert np.allclose(centre_across_sequences(values, of), expected)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(2, 5), st.floats(-1e4, 1e4))
def test_a_sequence_has_no_part_in_what_is_subtracted_from_it(seed: int, sequences: int, change: float) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, sequences)
    of = np.repeat(np.arange(sequences), lengths)
    values = rng.standard_normal((2, len(of), 4))
    own = of == rng.integers(sequences)
    changed = values.copy()
    changed[:, own] += change * rng.standard_normal((2, own.sum(), 4))
    before = values - centre_across_sequences(values, of)
    after = changed - centre_across_sequences(changed, of)
    assert after[:, own] == pytest.approx(before[:, own], abs=1e-7)
    if abs(change) > 1:
        assert not np.allclose(after[:, ~own], before[:, ~own], atol=1e-7)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6, -2e-9])
def test_experts_that_never_change_are_left_with_nothing_to_rank(value: float) -> None:
    # Rounding differs from expert to expert; ranked, it once gave every sequence one and the same association.
    rng = np.random.default_rng(8)
    sides = [np.broadcast_to(value * rng.random((3, 1, 8)), (3, 120, 8)) for _ in range(2)]
    of = np.repeat(np.arange(6), 20)
    assert (centre_across_sequences(sides[0], of) == 0.0).all()
    rest = token_specific(*sides, [20] * 6)
    assert rest.mean == 0.0
    assert sign_flips(rest.by_sequence, rng=rng).p_greater == label_test(rest, rng=rng, resamples=99).p_greater == 1.0


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [[0, 1, 0], [1, 1, 2], [0, 0, 2], [0, -1, 0]])
def test_sequence_indices_out_of_order_are_refused(of: list[int]) -> None:
    values = np.zeros((1, 3, 4))
    message = r"sequence indices must count up from 0 in the order of the tokens, leaving none out"
    with pytest.raises(ValueError, match=message):
        cross_table(values, values, np.array(of))
    with pytest.raises(ValueError, match=message):
        centre_across_sequences(values, np.array(of))


def test_shapes_that_do_not_fit_are_refused() -> None:
    values = np.zeros((1, 3, 4))
    with pytest.raises(
        ValueError, match=r"both sides must have one shape \(L, T, E\), not \(1, 3, 4\) and \(1, 3, 5\)"
    ):
        cross_table(values, np.zeros((1, 3, 5)), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"3 tokens need as many sequence indices, not shape \(2,\)"):
        cross_table(values, values, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"0 tokens need as many sequence indices"):
        cross_table(values[:, :0], values[:, :0], np.array([], int))


def test_one_sequence_has_no_others_to_be_centred_by() -> None:
    with pytest.raises(ValueError, match=r"means over the other sequences need at least 2 sequences, not 1"):
        centre_across_sequences(np.zeros((1, 3, 4)), np.zeros(3, int))


def test_nan_is_refused_and_not_taken_for_no_association() -> None:
    values = np.ones((1, 2, 4))
    values[0, 1, 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN has no rank: the values to be ranked must all be numbers"):
        centred_ranks(values)
