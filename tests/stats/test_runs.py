"""Long runs against counting by hand, their expectation against all orders, and the test against its level."""

from itertools import groupby, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.stats import runs
from moe_claims.stats.runs import SHORTEST, RunsResult, expected_in_runs, long_runs

Choices = np.ndarray[Any, Any]


def counted(chosen: Choices, lengths: list[int], experts: int) -> list[int]:
    """Choices in runs of five tokens or more by sequence, one expert at a time."""
    found, start = [], 0
    for length in lengths:
        part = chosen[:, start : start + length]
        start += length
        total = 0
        for layer in part:
            for expert in range(experts):
                member = (layer == expert).any(axis=1)
                stretches = [len(list(group)) for yes, group in groupby(member) if yes]
                total += sum(stretch for stretch in stretches if stretch > 4)
        found.append(total)
    return found


def drawn(rng: np.random.Generator, layers: int, tokens: int, experts: int, k: int, stay: float = 0.0) -> Choices:
    """(L, T, k) random choices; a token repeats the one before with probability ``stay``."""
    chosen = rng.random((layers, tokens, experts)).argsort(axis=-1)[..., :k]
    for token in range(1, tokens):
        if rng.random() < stay:
            chosen[:, token] = chosen[:, token - 1]
    return chosen


def runs_in(chosen: Choices, lengths: list[int], experts: int, seed: int = 0, **options: int) -> RunsResult:
    return long_runs(chosen, lengths, experts, rng=np.random.default_rng(seed), **options)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 70), st.data())
def test_choices_in_runs_are_those_counted_by_hand(seed: int, layers: int, experts: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(3, experts - 1)))
    lengths = data.draw(st.lists(st.integers(SHORTEST, 24), min_size=1, max_size=4))
    chosen = drawn(np.random.default_rng(seed), layers, sum(lengths), experts, k, stay=0.8)
    result = runs_in(chosen, lengths, experts, shuffles=1, resamples=9)
    assert result.in_runs.tolist() == counted(chosen, lengths, experts)
    assert result.choices.tolist() == [length * layers * k for length in lengths]


def test_a_run_counts_once_ends_with_its_sequence_and_needs_five_tokens() -> None:
    five, four = [[0]] * 5, [[0]] * 4
    other = [[1]]
    row = np.array([five + other + four + other + [[0]] * 7 + four])  # 5, then 4, then 7 and 4 of the next sequence
    result = runs_in(row, [18, 4], 3, shuffles=1, resamples=9)
    assert result.in_runs.tolist() == [12]
    joined = runs_in(row, [22], 3, shuffles=1, resamples=9)
    assert joined.in_runs.tolist() == [16]


@pytest.mark.parametrize(("tokens", "chosen"), [(7, 5), (7, 6), (8, 5), (8, 7), (6, 4), (5, 5)])
def test_expectation_is_the_mean_over_all_orders(tokens: int, chosen: int) -> None:
    orders = set(permutations([1] * chosen + [0] * (tokens - chosen)))
    in_runs = [sum(n for n in (len(list(g)) for v, g in groupby(order) if v) if n > 4) for order in orders]
    assert expected_in_runs(tokens, chosen) == pytest.approx(np.mean(in_runs), abs=1e-12)


def test_expectation_by_simulation_and_at_its_ends() -> None:
    rng = np.random.default_rng(0)
    chosen = drawn(rng, 3, 60, 4, 2)
    shuffled = [counted(chosen[:, rng.permutation(60)], [60], 4)[0] for _ in range(400)]
    expected = runs_in(chosen, [60], 4).expected[0]
    assert expected == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 20)
    assert expected_in_runs(9, [0, 4, 9]).tolist() == [0.0, 0.0, 9.0]
    assert expected_in_runs(4, [4]).tolist() == [0.0]  # no room for a run


def test_sequences_too_short_for_a_run_are_left_out() -> None:
    chosen = drawn(np.random.default_rng(1), 2, 30, 4, 1, stay=0.9)
    result = runs_in(chosen, [12, 4, 14], 4)
    assert len(result.in_runs) == len(result.expected) == len(result.choices) == 2
    assert result.in_runs.tolist() == [counted(chosen, [12, 4, 14], 4)[place] for place in (0, 2)]
    assert result.excess == pytest.approx((result.in_runs.sum() - result.expected.sum()) / (26 * 2))


@pytest.mark.parametrize("loads", ["even", "favourites", "topics"])
def test_holds_its_level_whatever_the_loads(loads: str) -> None:
    # 30 tokens in 3 sequences and 19 orders each: few, so that a fault in how they are combined would show.
    rng = np.random.default_rng(3)
    lengths = [12, 8, 10]
    hits = 0
    for seed in range(400):
        scores = rng.standard_normal((2, 30, 4))
        if loads == "favourites":
            scores += 2 * rng.standard_normal((2, 1, 4))
        if loads == "topics":
            scores += 2 * np.repeat(rng.standard_normal((2, 3, 4)), lengths, axis=1)
        chosen = scores.argsort(axis=-1)[..., :2]
        hits += runs_in(chosen, lengths, 4, seed, shuffles=19, resamples=199).order.p_greater <= 0.05
    assert binomtest(hits, 400, 0.05, alternative="greater").pvalue > 0.001
    assert hits > 0


def test_runs_are_found_and_alternation_is_the_opposite() -> None:
    rng = np.random.default_rng(4)
    lengths = [20] * 8
    found = [runs_in(drawn(rng, 2, 160, 6, 2, stay=0.6), lengths, 6, seed) for seed in range(20)]
    assert all(one.order.p_greater <= 0.001 and one.excess > 0.1 for one in found)
    alternating = np.tile(np.array([[[0], [0], [0], [1]]]), (1, 40, 1))
    assert runs_in(alternating, lengths, 2).order.p_less <= 0.001


def test_names_of_experts_and_order_of_layers_mean_nothing() -> None:
    rng = np.random.default_rng(5)
    chosen = drawn(rng, 9, 60, 70, 3, stay=0.7)  # 630 bits: ten words
    names = rng.permutation(70)
    plain, renamed = (runs_in(c, [25, 35], 70) for c in (chosen, names[chosen][::-1, :, ::-1]))
    assert renamed.in_runs.tolist() == plain.in_runs.tolist()
    assert renamed.expected == pytest.approx(plain.expected)
    assert renamed.order == plain.order  # the same tokens are moved


def test_memory_for_shuffles_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = drawn(np.random.default_rng(6), 2, 30, 4, 2, stay=0.5)
    plain = runs_in(chosen, [16, 14], 4)
    monkeypatch.setattr(runs, "_WORDS", 40)
    assert runs_in(chosen, [16, 14], 4).order == plain.order


def test_smallest_p_is_that_of_the_combinations() -> None:
    chosen = np.repeat(np.arange(4), 10)[None, :, None]  # each expert once, in one run
    result = runs_in(chosen, [20, 20], 4)
    assert result.in_runs.tolist() == [20.0, 20.0]
    assert result.order.smallest_p == 1 / 10_000
    assert result.order.p_greater <= 0.001


@pytest.mark.parametrize(
    ("chosen", "lengths", "message"),
    [
        (np.zeros((2, 5)), [5], r"chosen \(2, 5\) must be \(L, T, k\)"),
        (np.zeros((1, 6, 1)), [5], r"chosen \(1, 6, 1\) must be \(L, T, k\) with the 5 tokens of all lengths"),
        (np.full((1, 5, 1), 3), [5], r"chosen experts must be numbers from 0 to 2"),
        (np.full((1, 5, 1), -1), [5], r"chosen experts must be numbers from 0 to 2"),
        (np.zeros((1, 8, 1)), [4, 4], r"no sequence has the 5 tokens of a run"),
    ],
)
def test_what_holds_no_runs_is_refused(chosen: Choices, lengths: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runs_in(chosen, lengths, 3)
