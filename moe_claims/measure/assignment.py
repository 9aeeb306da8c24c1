"""The exact one-to-one assignment of one expert's neurons to another's, of largest total cosine.

Few neurons: all cosines in float64 and SciPy's solver. Many: the product of the two matrices is taken in float32,
whose error has a bound; an assignment is sought among each neuron's strongest partners only, and dual prices then
prove that no pair outside could better it. Every cosine that comes near the bound is computed again in float64, so
that the result is that of the float64 cosines, at half the memory and less than half the time of the dense solver.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Indices = NDArray[np.integer[Any]]

SPARSE_FROM = 1_024
"""Neurons from which on the search among strongest partners is faster (benchmarks/matching.py)."""
_PARTNERS = 16
"""Strongest partners of each neuron that the search starts from, and that prices may add in a round."""
_CROWDED = 4
"""Pairs per neuron that are worth a float64 cosine in a round; more of them are first sought better prices for."""
_ROUNDS = 30
_SWEEPS = 2_000
_BLOCK = 1 << 24
"""Numbers that are worked on at a time."""
UNIT = 2.0**-44
"""Step to which the sparse search rounds cosines: no assignment is better than its result by more than m times this.

In whole steps every sum and difference is exact. SciPy's sparse solver may go round in circles where they are not.
"""
_FALLBACK = Lock()
"""Held by the one thread that may hold twice the memory of the others."""


@final
@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of one expert: their directions and norms."""

    rows: "torch.Tensor"
    """(m, d) float32 (float64 if so stored), each scaled by a power of two (and so unrounded) to a norm near 1."""
    lengths: Floats
    """(m,) norms of ``rows``; 0 for a neuron of zeros, which has no direction: its cosines are 0."""
    norms: Floats
    """(m,) norms of the neurons as they are."""

    @classmethod
    def of(cls, stored: "torch.Tensor") -> "Neurons":
        """(m, d) neurons as stored, in any floating dtype and memory layout."""
        import torch

        wide = torch.float64 if stored.dtype == torch.float64 else torch.float32
        rows = stored.to(wide, copy=True, memory_format=torch.contiguous_format)
        norms, lengths = np.empty(len(rows)), np.empty(len(rows))
        largest = 126 if wide == torch.float32 else 1000  # a larger power of two would be infinite
        for part in _blocks(*rows.shape):
            length = torch.linalg.vector_norm(rows[part].double(), dim=1)
            power = torch.frexp(length).exponent.neg().clamp(-largest, largest).double()
            rows[part] *= torch.exp2(power)[:, None].to(wide)
            norms[part], lengths[part] = length.numpy(), (length * torch.exp2(power)).numpy()
        return cls(rows, lengths, norms)

    def __len__(self) -> int:
        return len(self.lengths)

    def ordered(self, order: Indices) -> "Neurons":
        """The same neurons in another order."""
        import torch

        return Neurons(self.rows[torch.from_numpy(order)], self.lengths[order], self.norms[order])

    def cosines(self, other: "Neurons", mine: Indices, theirs: Indices) -> Floats:
        """(n,), (n,) indices → (n,) cosines of those pairs, summed in float64."""
        import torch

        i, j = torch.from_numpy(mine), torch.from_numpy(theirs)
        dots = torch.empty(len(mine), dtype=torch.float64)
        for part in _blocks(len(mine), self.rows.shape[1], _BLOCK // 8):
            dots[part] = (self.rows[i[part]].double() * other.rows[j[part]].double()).sum(dim=1)
        return _over(dots.numpy(), self.lengths[mine] * other.lengths[theirs])


def _blocks(rows: int, columns: int, numbers: int = _BLOCK) -> Iterator[slice]:
    step = max(1, numbers // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _over(dots: Floats, lengths: Floats) -> Floats:
    return np.asarray(np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0))


def assign(first: Neurons, second: Neurons) -> Indices:
    """(m,) neuron of the second that goes with each of the first, so that the cosines add up to the most.

    Where several assignments are equally good, one of them. Takes O(m²d) time for the product, and in practice about
    as much again or less for the assignment; 4m² bytes (8m² below ``SPARSE_FROM`` neurons, and where too many pairs
    are alike to be told apart).
    """
    if len(first) < SPARSE_FROM:
        return assign_dense(first, second)
    found = assign_sparse(first, second)
    if found is not None:
        return found
    with _FALLBACK:
        return assign_dense(first, second)


def assign_dense(first: Neurons, second: Neurons) -> Indices:
    """The assignment from all m² cosines in float64, by SciPy's shortest augmenting paths."""
    import torch
    from scipy.optimize import linear_sum_assignment

    theirs = second.rows.double()
    costs = np.empty((len(first), len(second)))
    for part in _blocks(*first.rows.shape):
        torch.mm(first.rows[part].double(), theirs.T, out=torch.from_numpy(costs[part]))
    for part in _blocks(*costs.shape):
        # Negated here: SciPy's maximize=True would hold a negated copy of all of it.
        costs[part] = -_over(costs[part], np.outer(first.lengths[part], second.lengths))
    del theirs
    return np.asarray(linear_sum_assignment(costs)[1])


def assign_sparse(first: Neurons, second: Neurons) -> Indices | None:
    """The assignment among each neuron's strongest partners, proved against all others; None where neurons are alike.

    With prices u and v such that u_i + v_j is at least the cosine of every pair, and equal to it on the assignment,
    no other assignment can add up to more than Σu + Σv, which is what this one adds up to.
    """
    count = len(first)
    cosines, error = _cosines32(first, second)
    pairs = _Pairs.of(cosines, _start(cosines))
    for _ in range(_ROUNDS):
        partner = pairs.best(count)
        prices = pairs.prices(partner)
        if prices is None:
            return None
        near, all_of_them = _near(cosines, *prices, error)
        unproved = np.setdiff1d(near, pairs.keys[pairs.exact] if all_of_them else pairs.keys, assume_unique=True)
        if not len(unproved):
            return partner if all_of_them else None
        if not all_of_them:
            pairs = pairs.joined(_Pairs.of(cosines, unproved))
            continue
        exact = first.cosines(second, unproved // count, unproved % count)
        if np.abs(cosines.ravel()[unproved] - exact).max() > error:  # float32 products were made less exact than that
            return None
        pairs = pairs.joined(_Pairs(unproved, np.rint(exact / UNIT), np.ones(len(unproved), dtype=bool)))
    return None


def _cosines32(first: Neurons, second: Neurons) -> tuple[NDArray[np.float32], float]:
    """(m, m) cosines in float32, and a bound of their error (Higham 2002, section 3.1: d roundings, and a few more)."""
    import torch

    product = torch.mm(first.rows.float(), second.rows.float().T)
    mine, theirs = (torch.from_numpy(_over(np.ones(len(x)), x.lengths)).float() for x in (first, second))
    for part in _blocks(*product.shape):
        product[part].mul_(mine[part, None]).mul_(theirs)
    return product.numpy(), (first.rows.shape[1] + 8) * 2.0**-24


def _start(cosines: NDArray[np.float32]) -> Indices:
    """Sorted keys of each neuron's strongest partners, and of that of its own index, so that there is an assignment.

    A partner is as strong as it is closer to this neuron than to all: some are close to every neuron.
    """
    count = len(cosines)
    favour = cosines.mean(axis=0)
    keys = [np.arange(count) * (count + 1)]
    keys += [_top(cosines[part] - favour) + part.start * count for part in _blocks(*cosines.shape)]
    return np.unique(np.concatenate(keys))


def _top(values: NDArray[np.float32]) -> Indices:
    """(n, m) → flat indices of the largest few of every row."""
    import torch

    found = torch.topk(torch.from_numpy(values), min(_PARTNERS, values.shape[1]), dim=1, sorted=False).indices
    return np.asarray(found + torch.arange(len(values))[:, None] * values.shape[1]).ravel()


@final
@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of neurons that may be matched, sorted."""

    keys: Indices
    """(n,) index of the first neuron times m, plus that of the second."""
    steps: Floats
    """(n,) cosines in whole steps of ``UNIT``."""
    exact: NDArray[np.bool_]
    """(n,) whether the cosine is the float64 one."""

    @classmethod
    def of(cls, cosines: NDArray[np.float32], keys: Indices) -> "_Pairs":
        """Pairs with their float32 cosines."""
        steps = np.rint(cosines.ravel()[keys].astype(np.float64) / UNIT)
        return cls(keys, steps, np.zeros(len(keys), dtype=bool))

    def best(self, count: int) -> Indices:
        """(m,) the best assignment among these pairs."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        costs = 2 / UNIT - self.steps  # above 0, since SciPy takes 0 for no pair
        # SciPy 1.13 reads no wider indices.
        pair = ((self.keys // count).astype(np.int32), (self.keys % count).astype(np.int32))
        graph = csr_array((costs, pair), shape=(count, count))
        return np.asarray(min_weight_full_bipartite_matching(graph)[1], dtype=np.int64)

    def prices(self, partner: Indices) -> tuple[Floats, Floats] | None:
        """(m,) prices u and v: u_i + v_j ≥ cosine over these pairs, = on the assignment; None if they do not settle.

        v is the longest path to each second neuron, a step from the partner of i to j gaining what i would gain
        (Bellman–Ford, all pairs at once); on the best assignment no cycle gains anything, so that it ends.
        """
        count = len(partner)
        order = np.argsort(self.keys % count, kind="stable")  # by second neuron
        rows, columns, gains = self.keys[order] // count, self.keys[order] % count, self.steps[order]
        held = np.empty(count)
        matched = partner[rows] == columns
        held[rows[matched]] = gains[matched]
        starts = np.searchsorted(columns, np.arange(count))
        more, sources = gains - held[rows], partner[rows]
        v = np.zeros(count)
        for _ in range(_SWEEPS):
            raised = np.maximum(v, np.maximum.reduceat(v[sources] + more, starts))
            if np.array_equal(raised, v):
                return (held - v[partner]) * UNIT, v * UNIT
            v = raised
        return None

    def joined(self, other: "_Pairs") -> "_Pairs":
        """These pairs and the other ones, which replace them."""
        kept = ~np.isin(self.keys, other.keys, assume_unique=True)
        keys = np.concatenate([self.keys[kept], other.keys])
        order = np.argsort(keys)
        steps = np.concatenate([self.steps[kept], other.steps])
        return _Pairs(keys[order], steps[order], np.concatenate([self.exact[kept], other.exact])[order])


def _near(cosines: NDArray[np.float32], u: Floats, v: Floats, error: float) -> tuple[Indices, bool]:
    """Sorted keys of the pairs whose float32 cosine, with its error, reaches their prices, and whether these are all.

    For all others the prices are proved. Where they are many, only the strongest of each neuron are given.
    """
    count = len(cosines)
    # Prices in float32 are rounded themselves.
    margin = error + 2.0**-22 * (1 + float(np.abs(u).max()) + float(np.abs(v).max()))
    bars, discounts = (u - margin).astype(np.float32), v.astype(np.float32)
    found, all_of_them = [], True
    for part in _blocks(*cosines.shape):
        over = cosines[part] - discounts
        over -= bars[part, None]
        near: Indices = np.flatnonzero(over > 0)
        if len(near) > _CROWDED * len(over):
            top = np.sort(_top(over))
            near, all_of_them = top[over.ravel()[top] > 0], False
        found.append(near + part.start * count)
    return np.concatenate(found), all_of_them
