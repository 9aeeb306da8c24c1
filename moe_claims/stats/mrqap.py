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
    Labels,
    TestResult,
    as_layers,
    off_diagonal,
    permute_labels,
    relabeled_pairs,
)


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


@final
@dataclass(frozen=True, eq=False)
class _Regression:
    """One layer's y and x less what the covariates and a constant explain of them."""

    basis: Floats
    """(P, q) orthonormal, spans the covariates and a constant."""
    left_y: Floats
    """(P,) what is left of y."""
    left_x: Floats
    """(P,) what is left of x."""
    residual: Floats
    """(E, E) symmetric, the same with ``left_x`` on both sides of a diagonal of zeros."""

    @classmethod
    def of(cls, y: Floats, x: Floats, covariates: Sequence[Floats]) -> "_Regression":
        """From (E, E) matrices of one layer."""
        rows, columns = np.triu_indices(len(y), 1)
        design = np.column_stack([np.ones(len(rows)), *(off_diagonal(z) for z in covariates)])
        basis, _, _ = np.linalg.svd(design, full_matrices=False)
        basis = basis[:, : np.linalg.matrix_rank(design)]
        left_y, left_x = (_project_out(basis, off_diagonal(values)[None])[0] for values in (y, x))
        residual = np.zeros_like(x)
        residual[rows, columns] = residual[columns, rows] = left_x
        return cls(basis, left_y, left_x, residual)

    def relabeled(self, labels: Labels) -> Floats:
        """(n, E) labels of the residual's experts → (n,) partial correlations."""
        return pearson(_project_out(self.basis, relabeled_pairs(self.residual, labels)), self.left_y)


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
    regressions = [
        _Regression.of(outcome[layer], candidate[layer], [z[layer] for z in others]) for layer in range(layers)
    ]
    partial = np.asarray([float(pearson(one.left_x, one.left_y)) for one in regressions])

    def relabeled(layer: int, labels: Labels) -> Floats:
        return regressions[layer].relabeled(labels)

    null = permute_labels(relabeled, layers=layers, experts=experts, rng=rng, resamples=resamples)
    return QapResult(partial, null.squared().test(float((partial**2).mean())), null.test(float(partial.mean())))
