"""The exact assignment: SciPy's, by the dense and by the sparse way, whatever the neurons look like."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from moe_claims.measure import assignment
from moe_claims.measure.assignment import Neurons, assign, assign_dense, assign_sparse

pytestmark = pytest.mark.numerics

WIDTH = 16


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cosines(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    a, b = (x.double().numpy() for x in (first, second))
    lengths = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return np.divide(a @ b.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def most(first: torch.Tensor, second: torch.Tensor) -> tuple[np.ndarray, float]:
    """SciPy's assignment on float64 cosines, and the total."""
    table = cosines(first, second)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return columns, float(table[rows, columns].sum())


def total(first: torch.Tensor, second: torch.Tensor, partner: np.ndarray) -> float:
    assert sorted(partner) == list(range(len(first)))
    return float(cosines(first, second)[np.arange(len(first)), partner].sum())


BOTH = pytest.mark.parametrize("solve", [assign_dense, assign_sparse], ids=["dense", "sparse"])


@BOTH
def test_it_is_the_best_of_all(solve: assignment.Indices) -> None:
    first, second = drawn(1, 6, 4), drawn(2, 6, 4)
    table = cosines(first, second)
    best = max(permutations(range(6)), key=lambda order: table[range(6), order].sum())  # all 720
    assert solve(Neurons.of(first), Neurons.of(second)).tolist() == list(best)


def related(kind: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two experts' neurons that make the search easy, hard or lopsided."""
    first, second, base = (drawn(seed, count, WIDTH) for seed in (3, 4, 5))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(6))
    walk = drawn(7, count + 1, WIDTH).cumsum(dim=0)
    return {
        "unrelated": (first, second),
        "noise on a base": (base + first, base + second),
        "base shuffled": (base + 0.5 * first, (base + 0.5 * second)[order]),
        "one direction in common": (first + 3, second + 3),
        "unlike spreads": (first + 3, second),
        "a few favourites": (first, torch.cat([second[: count // 2], 0.1 * second[: count - count // 2] + base[:1]])),
        "neighbours on a walk": (walk[:-1], walk[1:]),
        "bfloat16": ((base + first).bfloat16(), (base + second).bfloat16()),
        "float64": (first.double() * 1e-100, second.double() * 1e100),
        "tiny and huge": (first * 1e-38, second * 1e30),
        "column view": (drawn(3, WIDTH, count).T, drawn(4, WIDTH, count).T),
    }[kind]


KINDS = (
    "unrelated", "noise on a base", "base shuffled", "one direction in common", "unlike spreads", "a few favourites",
    "neighbours on a walk", "bfloat16", "float64", "tiny and huge", "column view",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@BOTH
def test_it_is_that_of_scipy(kind: str, solve: assignment.Indices) -> None:
    first, second = related(kind, 200)
    partner = solve(Neurons.of(first), Neurons.of(second))
    expected, best = most(first, second)
    np.testing.assert_array_equal(partner, expected)
    assert total(first, second, partner) == pytest.approx(best, abs=1e-11)


@given(
    st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 12), st.sampled_from(["float", "few", "zeros", "copies"])
)
@settings(max_examples=60)
def test_total_is_that_of_scipy_also_where_neurons_tie(seed: int, count: int, width: int, kind: str) -> None:
    first, second = drawn(seed, count, width), drawn(seed + 1, count, width)
    if kind == "few":  # few values: many cosines are equal
        first, second = first.sign(), second.sign()
    elif kind == "zeros":
        first[: count // 2], second[count // 3 :] = 0, 0
    elif kind == "copies":
        first, second = first[:1].expand(count, width), second[torch.arange(count) % 3 % count]
    neurons = Neurons.of(first), Neurons.of(second)
    _, best = most(first, second)
    assert total(first, second, assign_dense(*neurons)) == pytest.approx(best, abs=1e-11)
    sparse = assign_sparse(*neurons)
    assert sparse is None or total(first, second, sparse) == pytest.approx(best, abs=1e-11)


def test_cosines_that_float32_cannot_tell_apart_are_told_apart() -> None:
    """Pairs of neurons differ by 1e-9: their order among each other is lost in float32, not in the result."""
    rows = drawn(8, 150, WIDTH, dtype=torch.float64)
    twins = torch.cat([rows, rows + 1e-9 * drawn(9, 150, WIDTH, dtype=torch.float64)])
    order = torch.randperm(300, generator=torch.Generator().manual_seed(10))
    partner = assign_sparse(Neurons.of(twins), Neurons.of(twins[order]))
    _, best = most(twins, twins[order])
    assert partner is not None
    # Twins themselves are alike to 1e-18, which float64 cosines cannot tell apart either.
    np.testing.assert_array_equal(order[partner] % 150, np.arange(300) % 150)
    assert total(twins, twins[order], partner) == pytest.approx(best, abs=1e-11)


def test_the_sparse_search_adds_in_whole_steps() -> None:
    """SciPy's sparse solver never comes back from "unlike spreads" of 1,500 neurons where costs are not rounded."""
    first, second = map(Neurons.of, related("unlike spreads", 300))
    table, error = assignment._cosines32(first, second)
    start = assignment._Pairs.of(table, assignment._start(table))
    keys = start.keys[::7]
    exact = np.rint(first.cosines(second, keys // 300, keys % 300) / assignment.UNIT)
    pairs = start.joined(assignment._Pairs(keys, exact, np.ones(len(keys), dtype=bool)))
    np.testing.assert_array_equal(pairs.steps, np.rint(pairs.steps))
    np.testing.assert_array_equal(pairs.keys, start.keys)
    np.testing.assert_array_equal(pairs.steps[pairs.exact], exact)
    assert np.abs(pairs.steps - start.steps).max() * assignment.UNIT < error
    partner = pairs.best(300)
    prices = pairs.prices(partner)
    assert prices is not None
    u, v = (price / assignment.UNIT for price in prices)
    slack = u[pairs.keys // 300] + v[pairs.keys % 300] - pairs.steps
    assert slack.min() == 0  # no pair above its prices, exactly
    assert (slack[np.isin(pairs.keys, np.arange(300) * 300 + partner)] == 0).all()


def test_neurons_all_alike_are_left_to_the_dense_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "SPARSE_FROM", 100)
    alike = Neurons.of(torch.ones(150, 3))
    assert assign_sparse(alike, alike) is None
    assert sorted(assign(alike, alike)) == list(range(150))


def test_a_product_less_exact_than_its_bound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another part of the program lets torch multiply float32 in bfloat16."""
    first, second = related("noise on a base", 120)
    plain = torch.mm

    def rough(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return plain(a.bfloat16(), b.bfloat16()).float()

    monkeypatch.setattr(torch, "mm", rough)
    assert assign_sparse(Neurons.of(first), Neurons.of(second)) is None


@pytest.mark.parametrize(("count", "sparse"), [(99, False), (100, True)])
def test_many_neurons_go_the_sparse_way(count: int, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "SPARSE_FROM", 100)
    monkeypatch.setattr(assignment, "assign_dense", lambda *_: "dense")
    first, second = related("noise on a base", count)
    assert isinstance(assign(Neurons.of(first), Neurons.of(second)), np.ndarray) is sparse


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = related("unrelated", 200)
    whole = [solve(Neurons.of(first), Neurons.of(second)) for solve in (assign_dense, assign_sparse)]
    monkeypatch.setattr(assignment, "_BLOCK", 1_000)
    blocks = assignment._blocks
    monkeypatch.setattr(assignment, "_blocks", lambda rows, columns, _=0: blocks(rows, columns, 1_000))
    assert len(list(assignment._blocks(200, 200))) == 40
    for solve, expected in zip((assign_dense, assign_sparse), whole, strict=True):
        np.testing.assert_array_equal(solve(Neurons.of(first), Neurons.of(second)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@given(exponent=st.integers(-12, 12))
@settings(max_examples=10)
def test_rows_are_scaled_without_rounding(dtype: torch.dtype, exponent: int) -> None:
    stored = (drawn(11, 20, WIDTH) * 2.0**exponent).to(dtype)
    stored[3] = 0
    neurons = Neurons.of(stored)
    powers = np.divide(neurons.lengths, neurons.norms, out=np.ones(20), where=neurons.norms > 0)
    np.testing.assert_array_equal(np.frexp(powers)[0], 0.5)  # powers of two
    np.testing.assert_array_equal(neurons.rows.double().numpy(), stored.double().numpy() * powers[:, None])
    np.testing.assert_allclose(neurons.norms, stored.double().norm(dim=1).numpy(), rtol=1e-15)
    assert neurons.lengths[3] == neurons.norms[3] == 0
    assert ((np.delete(neurons.lengths, 3) >= 0.5) & (np.delete(neurons.lengths, 3) < 1)).all()


def test_the_stored_matrix_is_left_as_it_was() -> None:
    stored = drawn(12, 10, WIDTH)
    before = stored.clone()
    Neurons.of(stored)
    assert torch.equal(stored, before)
