"""Unique association of one similarity matrix given others: MRQAP, double semi-partialling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import (
    RESAMPLES,
    Floats,
    TestResult,
    all_relabelings,
    as_layers,
    enumerable,
    mean_over_layers,
    off_diagonal,
    relabeled_pairs,
    relabelings,
    test_against,
)

_CHUNK = 1_000


@final
@dataclass(frozen=True, eq=False)
class QapResult:
    """Partial association of y and x given covariates."""

    partial_r: Floats
    """(L,) partial correlation over the pairs of each layer."""
    squared: TestResult
    """Mean over layers of the squared partial correlation, against relabeled residuals."""
    signed: TestResult
    """Mean over layers of the partial correlation, against the same."""


def _project_out(basis: Floats, values: Floats) -> Floats:
    """What is left of (n, P) values after the columns of an orthonormal (P, q) basis.

    Where that is rounding, because the basis explains the values in full, it is 0: the
    pattern of rounding errors must not be taken for a pattern of experts.
    """
    left = values - (values @ basis) @ basis.T
    length = np.linalg.norm(left, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-12 * np.linalg.norm(values, axis=-1, keepdims=True), left, 0.0))


def mrqap(
    y: ArrayLike,
    x: ArrayLike,
    covariates: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> QapResult:
    """Whether x explains what the covariates leave unexplained of y.

    In every layer x is regressed on the covariates; the residual matrix is relabeled,
    and y is regressed on it and the covariates anew. The statistic of a layer is the
    partial correlation, a monotone function of the pivotal t that bounds the weight of
    any one layer; it is averaged over layers, squared (does the pattern follow?) and
    signed (does it follow with one sign?). Labels are permuted independently in every
    layer; up to 40,320 relabelings are enumerated in full.

    Args:
        y: (L, E, E) similarities to be explained.
        x: (L, E, E) the candidate.
        covariates: further (L, E, E) similarities that are held fixed.
        rng: seeded generator.
        resamples: Monte Carlo relabelings.

    Raises:
        ValueError: shapes that differ, or too few pairs for the regression.

    Source: Dekker, Krackhardt and Snijders 2007, Psychometrika 72, 563–581.
    """
    outcome, candidate = as_layers(y, "y"), as_layers(x, "x")
    others = [as_layers(z, "covariate") for z in covariates]
    if any(m.shape != outcome.shape for m in (candidate, *others)):
        raise ValueError("y, x and covariates must have one shape")
    layers, experts, _ = outcome.shape
    pairs = experts * (experts - 1) // 2
    if pairs < len(others) + 3:
        raise ValueError(f"{experts} experts give {pairs} pairs, too few for {len(others) + 1} regressors")
    exact = enumerable(experts, layers)
    labels = all_relabelings(experts) if exact else None
    count = len(labels) if labels is not None else resamples
    partial, null = np.empty(layers), np.empty((layers, count))
    rows, columns = np.triu_indices(experts, 1)
    for layer in range(layers):
        design = np.column_stack([np.ones(pairs), *(off_diagonal(z[layer]) for z in others)])
        basis, _, _ = np.linalg.svd(design, full_matrices=False)
        basis = basis[:, : np.linalg.matrix_rank(design)]
        left_y = _project_out(basis, off_diagonal(outcome[layer])[None])[0]
        left_x = _project_out(basis, off_diagonal(candidate[layer])[None])[0]
        partial[layer] = pearson(left_x, left_y)
        residual = np.zeros((experts, experts))
        residual[rows, columns] = residual[columns, rows] = left_x
        for start in range(0, count, _CHUNK):
            part = slice(start, min(start + _CHUNK, count))
            draw = labels[part] if labels is not None else relabelings(experts, part.stop - part.start, rng)
            null[layer, part] = pearson(_project_out(basis, relabeled_pairs(residual, draw)), left_y)
    return QapResult(
        partial,
        test_against(float((partial**2).mean()), mean_over_layers(null**2, exact=exact), exact=exact),
        test_against(float(partial.mean()), mean_over_layers(null, exact=exact), exact=exact),
    )
