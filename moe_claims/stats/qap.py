"""Unique association of one similarity matrix given others: MRQAP, double semi-partialling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from moe_claims.stats.mantel import pearson
from moe_claims.stats.nulls import (
    RESAMPLES,
    Floats,
    TestResult,
    as_layers,
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
    """What is left of (n, P) values after the columns of an orthonormal (P, q) basis."""
    return np.asarray(values - (values @ basis) @ basis.T)


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
    layer.

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
    partial = np.empty(layers)
    null_signed, null_squared = np.zeros(resamples), np.zeros(resamples)
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
        for start in range(0, resamples, _CHUNK):
            part = slice(start, min(start + _CHUNK, resamples))
            relabeled = relabeled_pairs(residual, relabelings(experts, part.stop - part.start, rng))
            r = pearson(_project_out(basis, relabeled), left_y)
            null_signed[part] += r / layers
            null_squared[part] += r**2 / layers
    return QapResult(
        partial,
        test_against(float((partial**2).mean()), null_squared, exact=False),
        test_against(float(partial.mean()), null_signed, exact=False),
    )
