"""Runs of consecutive tokens that choose the same expert, against the same tokens in random order.

The k choices of a token are bits of a few machine words, one bit per layer and expert, so
that a run of five is four ANDs over all layers and experts at once.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, test_against

SHORTEST = 5
"""A run of more than four tokens counts."""
SHUFFLES = 199
"""Random orders of each sequence; any 199 orders of 26 sequences combine to 200²⁶ orders of all."""
_WORDS = 100_000
"""Words of shuffled tokens that are alive at once: 0.8 MB, which a processor keeps close."""

Words = NDArray[np.uint64]


@final
@dataclass(frozen=True, eq=False)
class RunsResult:
    """Choices in long runs, of the S sequences that are long enough to hold one."""

    in_runs: Floats
    """(S,) choices (token, layer, expert) that lie in a long run."""
    expected: Floats
    """(S,) how many do on average over all orders of the sequence's tokens, exactly."""
    choices: NDArray[np.integer[Any]]
    """(S,) choices in all, tokens × layers × k."""
    order: TestResult
    """The sum of ``in_runs`` against random orders."""

    @property
    def excess(self) -> float:
        """Share of choices in long runs, less what random order gives."""
        return float((self.in_runs - self.expected).sum() / self.choices.sum())


def expected_in_runs(tokens: int, chosen: ArrayLike, shortest: int = SHORTEST) -> Floats:
    """Tokens that lie in a run of at least g, averaged over all orders of c tokens of a kind among n.

    All windows of g positions are of that kind with the same probability P, and a run begins
    where such a window follows a token of another kind or begins the sequence. A run of r
    tokens holds r − g + 1 windows, so windows and g − 1 times the runs sum to its tokens:
    P · (n − g + 1 + (g − 1)(n − c + 1)).

    Args:
        tokens: n.
        chosen: (…) the number c of tokens of the kind.
        shortest: g, the tokens of the shortest run that counts.
    """
    count = np.asarray(chosen, dtype=np.float64)
    if tokens < shortest:
        return np.zeros_like(count)
    step = np.arange(shortest)
    probability = (np.maximum(count[..., None] - step, 0.0) / (tokens - step)).prod(axis=-1)
    return np.asarray(probability * (tokens - shortest + 1 + (shortest - 1) * (tokens - count + 1)))


def long_runs(
    chosen: ArrayLike,
    lengths: ArrayLike,
    experts: int,
    *,
    rng: np.random.Generator,
    shuffles: int = SHUFFLES,
    resamples: int = RESAMPLES,
) -> RunsResult:
    """Whether tokens of a sequence choose the same expert several times running more than their order explains.

    Null: within each sequence the tokens, with all their choices in all layers, could stand
    in any order. Each sequence is shuffled ``shuffles`` times. Given the set of its observed
    and its shuffled orders, each of them is equally likely to be the observed one, whatever
    the other sequences do; so any combination of one order per sequence is as likely as the
    observed combination, and ``resamples`` random combinations are an exact randomisation
    test, at a fiftieth of the cost of as many shuffles.

    Args:
        chosen: (L, T, k) chosen experts, different within a token; sequences one after the other.
        lengths: (S,) tokens of each sequence. Those of fewer than 5 hold no run and are left out.
        experts: E.
        rng: seeded generator.
        shuffles: random orders of each sequence.
        resamples: combinations of them.

    Raises:
        ValueError: shapes that do not fit, an expert that is not one of the E, or no sequence
            of 5 tokens or more.
    """
    choices, sizes = np.asarray(chosen), np.asarray(lengths)
    if choices.ndim != 3 or sizes.ndim != 1 or choices.shape[1] != sizes.sum():
        raise ValueError(f"chosen {choices.shape} must be (L, T, k) with the {sizes.sum()} tokens of all lengths")
    if choices.size == 0 or choices.min() < 0 or choices.max() >= experts:
        raise ValueError(f"chosen experts must be numbers from 0 to {experts - 1}")
    if not (sizes >= SHORTEST).any():
        raise ValueError(f"no sequence has the {SHORTEST} tokens of a run")
    layers, _, k = choices.shape
    first = np.arange(layers)[:, None, None] * experts
    observed, expected, kept = [], [], []
    total = np.zeros(resamples)
    for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        if size < SHORTEST:
            continue
        bits = choices[:, start : start + size].astype(np.int64) + first
        words = _packed(bits, layers * experts)
        counts = np.concatenate([[_in_runs(words[None])[0]], _shuffled(words, shuffles, rng)])
        total += counts[rng.integers(0, len(counts), resamples)]
        observed.append(counts[0])
        expected.append(expected_in_runs(int(size), np.bincount(bits.ravel(), minlength=layers * experts)).sum())
        kept.append(int(size) * layers * k)
    order = test_against(float(np.sum(observed)), total, exact=False)
    return RunsResult(np.asarray(observed, dtype=np.float64), np.asarray(expected), np.asarray(kept), order)


def _packed(bits: NDArray[np.int64], count: int) -> Words:
    """(L, n, k) numbers of bits that are set → (n, W) words of 64 of them."""
    words = np.zeros((bits.shape[1], -(-count // 64)), dtype=np.uint64)
    tokens = np.broadcast_to(np.arange(bits.shape[1])[None, :, None], bits.shape)
    np.bitwise_or.at(words, (tokens, bits >> 6), np.left_shift(np.uint64(1), (bits & 63).astype(np.uint64)))
    return words


def _in_runs(words: Words) -> NDArray[np.int64]:
    """(B, n, W) → (B,) bits that are set in SHORTEST consecutive tokens or more, counted once per token."""
    windows = words[:, : 1 - SHORTEST].copy()  # bit set: set in this token and the next ones
    for step in range(1, SHORTEST):
        windows &= words[:, step : words.shape[1] - SHORTEST + 1 + step]
    starts = windows[:, 1:] & ~windows[:, :-1]
    runs = _bits(starts) + _bits(windows[:, :1])
    return _bits(windows) + (SHORTEST - 1) * runs


def _bits(words: Words) -> NDArray[np.int64]:
    """(B, n, W) → (B,) bits that are set."""
    return np.asarray(np.bitwise_count(words).sum(axis=(1, 2), dtype=np.uint32).astype(np.int64))


def _shuffled(words: Words, shuffles: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(shuffles,) choices in long runs of a sequence whose tokens are shuffled."""
    orders = np.tile(np.arange(len(words)), (shuffles, 1))
    rng.permuted(orders, axis=1, out=orders)
    chunk = max(1, _WORDS // words.size)
    return np.concatenate(
        [_in_runs(words.take(orders[start : start + chunk], axis=0)) for start in range(0, shuffles, chunk)]
    )
