"""Optimal one-to-one matching of the neurons of two experts (paper, section 4.1.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.memory import GIB, free_bytes
from moe_claims._util.progress import track
from moe_claims._util.threads import parallel_map
from moe_claims.errors import NotMeasuredError, UsageError
from moe_claims.measure.assignment import Indices, Neurons, assign
from moe_claims.measure.matching_cost import PATIENCE, pair_bytes, pair_seconds, span
from moe_claims.measure.measurement import MatchingMeasurement
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, Role

if TYPE_CHECKING:
    import torch

_SMALL = 512
"""Below this many neurons one thread is as fast as several: the interpreter's lock is held most of the time."""


def measure_matching(
    checkpoint: Checkpoint, role: Role, layers: Sequence[int], *, workers: int | None = None
) -> MatchingMeasurement:
    """Matches the neurons of all pairs of experts of the given layers, and of one random pair per layer.

    A neuron is a row of up or act, a column of down. One layer's matrices are in memory at a time, and what
    ``pair_bytes`` says for every worker. The result does not depend on the number of workers.

    Args:
        checkpoint: the model whose experts are matched.
        role: the matrix kind whose rows or columns are the neurons.
        layers: true indices of MoE layers.
        workers: threads; by default as many as torch uses, as far as memory goes.

    Raises:
        UsageError: a layer that is not an MoE layer.
        NotMeasuredError: not even one pair fits in memory.
        ModelError: a tensor is missing, or holds NaN or infinite numbers.
    """
    return MatchingMeasurement.of(layers, list(match_layers(checkpoint, role, layers, workers=workers)))


def match_layers(
    checkpoint: Checkpoint, role: Role, layers: Sequence[int], *, workers: int | None = None
) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays of a ``MatchingMeasurement`` for each of these layers, as soon as it has been matched.

    Arguments and errors are those of ``measure_matching``.
    """
    _check(checkpoint, layers)
    experts, neurons, width = _shape(checkpoint, role)
    pairs = list(combinations(range(experts), 2))
    if workers is None:
        workers = _workers(checkpoint.name, neurons, width)
    matched = _match_layers(checkpoint, role, layers, pairs, workers)
    total = len(layers) * (len(pairs) + 1)
    found = iter(track(matched, f"matching {role} neurons", unit="pairs", total=total))
    for _ in layers:
        similarity, tau = np.ones((2, experts, experts))
        permutation = np.empty((experts, experts, neurons), dtype=np.int32)
        permutation[:] = np.arange(neurons)
        for there, pair in zip(pairs, found, strict=False):
            back = there[::-1]
            permutation[there], permutation[back] = pair.partner, np.argsort(pair.partner)
            similarity[there] = similarity[back] = pair.similarity
            tau[there] = tau[back] = pair.tau
        null = next(found)
        yield {
            "similarity": similarity,
            "tau": tau,
            "permutation": permutation,
            "null_gain": np.asarray(null.similarity - null.unmatched),
        }
    assert next(found, None) is None  # the bar is full, and threads are set back


def layers_to_match(checkpoint: Checkpoint, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    """The layers that were asked for; all MoE layers where none were, if matching these takes no more than minutes.

    Args:
        checkpoint: the model whose experts are to be matched.
        asked: true indices of layers, or None.

    Raises:
        UsageError: a layer was asked for that is not an MoE layer.
        NotMeasuredError: all layers would take longer than ``PATIENCE``; the message names some to ask for.
    """
    layers = checkpoint.moe_layers
    if asked is not None:
        _check(checkpoint, asked)
        return asked
    experts, neurons, width = _shape(checkpoint, "down")  # of all three matrices
    pairs = len(ROLES) * (experts * (experts - 1) // 2 + 1)
    one = pairs * pair_seconds(neurons, width) / _workers(checkpoint.name, neurons, width)
    if one * len(layers) <= PATIENCE:
        return layers
    some = ",".join(str(layers[i]) for i in sorted({0, (len(layers) - 1) // 2, len(layers) - 1}))
    raise NotMeasuredError(
        f"matching the neurons of all {len(layers)} MoE layers of '{checkpoint.name}' would take about "
        f"{span(one * len(layers))} here, {span(one)} per layer: --moe-layers {some} matches some of them"
    )


def _check(checkpoint: Checkpoint, layers: Sequence[int]) -> None:
    there = checkpoint.moe_layers
    for layer in layers:
        if layer not in there:
            whole = there == tuple(range(there[0], there[-1] + 1))
            listed = f"{there[0]} to {there[-1]}" if whole and len(there) > 1 else ", ".join(map(str, there))
            raise UsageError(f"--moe-layers: '{checkpoint.name}' has no MoE layer {layer}; its MoE layers are {listed}")


def _shape(checkpoint: Checkpoint, role: Role) -> tuple[int, int, int]:
    """Experts E, neurons m and weights d of each neuron."""
    experts, rows, columns = checkpoint.shape(checkpoint.moe_layers[0], role)
    return (experts, columns, rows) if role == "down" else (experts, rows, columns)


def _workers(name: str, neurons: int, width: int) -> int:
    """As many threads as torch would use, if each has work and memory enough.

    Raises:
        NotMeasuredError: memory does not reach for one.
    """
    import torch

    need, free = pair_bytes(neurons, width), free_bytes()
    if free is not None and need > free:
        raise NotMeasuredError(
            f"matching the {neurons:,} neurons of '{name}' needs {need / GIB:.1f} GiB of memory per pair, and "
            f"{free / GIB:.1f} GiB are free: measure it on a machine with more"
        )
    if neurons < _SMALL:
        return 1
    threads: int = torch.get_num_threads()
    return threads if free is None else max(1, min(threads, free // need))


@final
@dataclass(frozen=True, eq=False)
class Match:
    """A one-to-one matching of the neurons of two experts."""

    partner: Indices
    """(m,) neuron of the second that goes with each of the first."""
    similarity: float
    """Cosine of the flattened matrices after the second one's neurons are permuted."""
    unmatched: float
    """Cosine of the flattened matrices as they are."""
    tau: float
    """Kendall's τ between the matching and the original order."""


def match(first: Neurons, second: Neurons, norms: NDArray[Any] | None = None) -> Match:
    """Matches the neurons of two experts so that the cosines of matched neurons add up to the most.

    Args:
        first: m neurons.
        second: m neurons.
        norms: (2, m) norms to use for the similarity of the matrices, in place of the neurons' own.
    """
    identity = np.arange(len(first))
    # Neurons that are all zeros tie with each other: in shuffled order a tie is not broken towards the original one.
    shuffled = np.random.default_rng(len(first)).permutation(len(first))
    partner = shuffled[assign(first, second.ordered(shuffled))]
    mine, theirs = (first.norms, second.norms) if norms is None else norms
    scale = np.linalg.norm(mine) * np.linalg.norm(theirs)

    def flattened(order: Indices) -> float:
        dots = first.cosines(second, identity, order) * mine * theirs[order]
        return float(dots.sum() / scale) if scale > 0 else 0.0  # zeros have no direction

    return Match(partner, flattened(partner), flattened(identity), kendall(partner))


def kendall(order: Indices) -> float:
    """Kendall's τ of a permutation of m and the identity, in O(m log²m); 1 for a single one.

    Pairs in the wrong order are counted by the highest bit in which the two differ: from the top bit down, the
    numbers stand sorted by the bits above, and a pair is wrong where a 1 comes before a 0 of the same group.
    """
    count, wrong, numbers = len(order), 0, np.asarray(order)
    for bit in reversed(range((count - 1).bit_length())):
        ones = numbers >> bit & 1
        before = np.cumsum(ones) - ones
        group = numbers >> bit + 1
        before -= before[np.searchsorted(group, group)]
        wrong += int(before[ones == 0].sum())
        numbers = numbers[np.argsort(numbers >> bit, kind="stable")]
    return 1.0 - 4 * wrong / (count * (count - 1)) if count > 1 else 1.0


def _match_layers(
    checkpoint: Checkpoint, role: Role, layers: Sequence[int], pairs: list[tuple[int, int]], workers: int
) -> Iterator[Match]:
    """Every pair of every layer, in order; after each layer's pairs, the random pair."""
    for layer in layers:
        matrix = checkpoint.matrix(layer, role)
        rows = matrix.transpose(1, 2) if role == "down" else matrix

        def matched(pair: tuple[int, int] | None, rows: "torch.Tensor" = rows, layer: int = layer) -> Match:
            if pair is None:
                return _random_pair(rows, crc32(f"{role} {layer}".encode()))
            return match(Neurons.of(rows[pair[0]]), Neurons.of(rows[pair[1]]))

        with parallel_map(workers) as each:
            yield from each(matched, [*pairs, None])


def _random_pair(rows: "torch.Tensor", seed: int) -> Match:
    """Two random matrices of the same shape, whose neurons have the norms of the first two experts'."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    norms = np.stack([Neurons.of(expert).norms for expert in rows[:2]])
    first, second = (Neurons.of(torch.randn(rows.shape[1:], generator=generator)) for _ in range(2))
    return match(first, second, norms)
