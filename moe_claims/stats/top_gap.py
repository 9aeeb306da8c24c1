"""How far the largest of E scores is above the second, against scores without preferred experts."""

from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.permutation import RESAMPLES, Floats, TestResult, test_against

_TOKENS = 256
"""Tokens that are rotated. Fewer than there are make the null wider, never narrower."""
_ROTATIONS = 500
_CHUNK = 4_000_000
"""Scores that are rotated at once."""


@lru_cache(maxsize=128)
def gap_ratio(experts: int) -> float:
    """Expected gap of the two largest of E normal values, over their standard deviation.

    E[X₍E₎ − X₍E−1₎] = E ∫ Φ(x)^(E−1) (1 − Φ(x)) dx; the ratio of gap and sample standard deviation is
    independent of the latter (Basu 1955), so that its expectation is the quotient of the two.

    Raises:
        ValueError: fewer than 2 values.

    Source: David and Nagaraja 2003, Order Statistics, section 3.1.
    """
    from scipy.integrate import quad
    from scipy.special import gammaln, ndtr

    if experts < 2:
        raise ValueError(f"a gap needs at least 2 scores, not {experts}")
    gap = experts * quad(lambda x: ndtr(x) ** (experts - 1) * ndtr(-x), -10, 10, epsabs=1e-12)[0]
    log_c4 = gammaln(experts / 2) - gammaln((experts - 1) / 2) + 0.5 * np.log(2 / (experts - 1))
    return float(gap / np.exp(log_c4))


def top_two(scores: ArrayLike) -> Floats:
    """(…, E) → (…) largest less second largest."""
    ascending = np.partition(np.asarray(scores, dtype=np.float64), -2, axis=-1)
    return np.asarray(ascending[..., -1] - ascending[..., -2])


@final
@dataclass(frozen=True, eq=False)
class GapResult:
    """Gaps between the largest and the second largest router score of tokens."""

    gaps: Floats
    """(L, T) largest less second largest score of each token."""
    expected: Floats
    """(L, T) what Gaussian scores with that token's standard deviation would have, on average."""
    rotations: TestResult
    """Mean of gap less expected gap over layers and tokens, against scores rotated at random over the experts."""


def top_gap(scores: ArrayLike, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> GapResult:
    """Whether the first score is further above the second than in Gaussian scores.

    Null: in every layer the scores of all tokens, less each token's mean, are rotated over the
    experts by one random rotation. That keeps every token's standard deviation and how alike any two
    tokens are, a static pattern and the tokens that a text repeats included, and it is exact where
    router rows are independent Gaussian vectors: their joint distribution is that of their rotations.
    Draws of the layers are combined at random, as they are independent.

    Args:
        scores: (L, T, E) router logits.
        rng: seeded generator.
        resamples: combinations of rotations.

    Raises:
        ValueError: another shape, fewer than 3 experts (two have one gap for one deviation), or not finite.

    Source: Langsrud 2005, Rotation tests, Statistics and Computing 15.
    """
    array = np.asarray(scores)
    if array.ndim != 3 or array.shape[-1] < 3 or array.shape[1] == 0:
        raise ValueError(f"scores must be (L, T, E) with at least 3 experts and a token, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("scores must be finite")
    layers, tokens, experts = array.shape
    gaps, spread = np.empty((layers, tokens)), np.empty((layers, tokens))
    for layer in range(layers):  # one at a time, so that no copy of all scores is made
        gaps[layer] = top_two(array[layer])
        spread[layer] = array[layer].std(axis=-1, ddof=1, dtype=np.float64)
    expected = gap_ratio(experts) * spread
    drawn = rng.choice(tokens, min(tokens, _TOKENS), replace=False)
    # One layer alone has no combinations: every resample needs its own rotation.
    pool = max(_ROTATIONS, -(-resamples // layers))
    rotated = _rotated_gaps(array[:, drawn], pool, rng)
    rotated -= rotated.mean(axis=1, keepdims=True)  # their expectation is the expected gap
    picks = rng.permuted(np.broadcast_to(np.arange(resamples) % pool, (layers, resamples)), axis=1)
    null = np.take_along_axis(rotated, picks, axis=1).mean(axis=0)
    observed = float((gaps - expected).mean())
    return GapResult(gaps, expected, test_against(observed, null, exact=False))


def _rotated_gaps(scores: Floats, rotations: int, rng: np.random.Generator) -> Floats:
    """(L, n, E) → (L, rotations) mean gap over the tokens after each rotation of the experts."""
    layers, tokens, experts = scores.shape
    centred = (scores - scores.mean(axis=-1, keepdims=True)).astype(np.float32)
    chunk = max(1, _CHUNK // (tokens * experts))
    means = np.empty((layers, rotations))
    for start in range(0, rotations, chunk):
        part = slice(start, min(start + chunk, rotations))
        turn = _rotations(experts, part.stop - part.start, rng)
        for layer in range(layers):
            means[layer, part] = _gaps_of_rotated(centred[layer], turn)
    return means


def _rotations(experts: int, count: int, rng: np.random.Generator) -> Floats:
    """(count, E, E) random linear maps that rotate what sums to 0 over the experts among itself."""
    basis = np.linalg.qr(np.eye(experts) - 1 / experts)[0][:, : experts - 1]
    frame, triangle = np.linalg.qr(rng.standard_normal((count, experts - 1, experts - 1)))
    frame *= np.sign(np.diagonal(triangle, axis1=1, axis2=2))[:, None, :]  # else not uniform (Mezzadri 2007)
    return np.asarray((basis @ frame @ basis.T).astype(np.float32))


def _gaps_of_rotated(centred: Floats, turn: Floats) -> Floats:
    """(n, E) scores and (r, E, E) rotations → (r,) mean gap of the two largest."""
    count, experts, _ = turn.shape
    rotated = (turn.transpose(1, 0, 2).reshape(-1, experts) @ centred.T).reshape(experts, count, -1)
    first = np.maximum(rotated[0], rotated[1])
    second = np.minimum(rotated[0], rotated[1])
    for scores in rotated[2:]:
        np.maximum(second, np.minimum(first, scores), out=second)
        np.maximum(first, scores, out=first)
    return np.asarray((first - second).mean(axis=-1, dtype=np.float64))
