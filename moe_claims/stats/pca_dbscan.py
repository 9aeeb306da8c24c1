"""Two principal components from similarities alone, and clusters by density in that plane."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_claims.stats.permutation import Floats

NOISE = -1
"""Label of points outside every cluster."""


def principal_plane(similarity: ArrayLike) -> Floats:
    """(…, n, n) inner products of n points → (…, n, 2) their first two principal components.

    Centring the inner products on both sides gives those of the centred points, whose
    leading eigenvectors, scaled by the root of the eigenvalue, are the component scores;
    signs are arbitrary.

    Raises:
        ValueError: not square, fewer than 3 points, or numbers that are not finite.

    Source: Torgerson 1958; Gower 1966 (principal coordinates).
    """
    inner = np.asarray(similarity, dtype=np.float64)
    if inner.ndim < 2 or inner.shape[-1] != inner.shape[-2] or inner.shape[-1] < 3 or not np.isfinite(inner).all():
        raise ValueError(f"principal components need finite (n, n) inner products of 3 points or more: {inner.shape}")
    left = inner - inner.mean(axis=-1, keepdims=True)
    centred = left - left.mean(axis=-2, keepdims=True)
    values, vectors = np.linalg.eigh((centred + np.swapaxes(centred, -1, -2)) / 2)
    return np.asarray(vectors[..., :-3:-1] * np.sqrt(np.maximum(values[..., None, :-3:-1], 0.0)))


def dbscan(points: ArrayLike, reach: float, least: int) -> NDArray[np.integer[Any]]:
    """(n, D) points → (n,) cluster of each, numbered from 0, or ``NOISE``.

    A point with at least ``least`` points within ``reach``, itself included, is a core
    point; core points within reach of each other are one cluster. Others belong to the
    nearest core point within reach (the original takes the first one found, which depends
    on the order of the points), or are noise.

    Raises:
        ValueError: points that are not (n, D) and finite, a negative reach, or ``least`` below 1.

    Source: Ester, Kriegel, Sander and Xu 1996.
    """
    from scipy.sparse.csgraph import connected_components

    places = np.asarray(points, dtype=np.float64)
    if places.ndim != 2 or len(places) == 0 or not np.isfinite(places).all():
        raise ValueError(f"points must be finite and (n, D), not {places.shape}")
    if reach < 0 or least < 1:
        raise ValueError(f"a cluster needs a reach of 0 or more and 1 point or more, not {reach} and {least}")
    distance = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=-1))
    core = (distance <= reach).sum(axis=1) >= least
    labels = np.full(len(places), NOISE)
    if not core.any():
        return labels
    labels[core] = connected_components(distance[np.ix_(core, core)] <= reach, directed=False)[1]
    nearest = np.where(core, distance, np.inf).argmin(axis=1)
    border = ~core & (distance[np.arange(len(places)), nearest] <= reach)
    labels[border] = labels[nearest[border]]
    return labels
