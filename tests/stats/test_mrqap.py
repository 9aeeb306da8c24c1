"""MRQAP with double semi-partialling against explicit regressions, on nulls and on planted patterns."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from moe_claims.stats.mantel import mantel
from moe_claims.stats.mrqap import mrqap
from moe_claims.stats.permutation import Floats

pytestmark = pytest.mark.numerics

SEEDS = st.integers(0, 2**32 - 1)


def cosines(rng: np.random.Generator, layers: int, experts: int) -> Floats:
    rows = rng.standard_normal((layers, experts, 6))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows @ rows.transpose(0, 2, 1))


def noisy(rng: np.random.Generator, base: Floats, noise: float) -> Floats:
    return np.asarray(base + noise * cosines(rng, *base.shape[:2]))


def pairs_of(matrix: Floats) -> Floats:
    return np.asarray([matrix[i, j] for i in range(len(matrix)) for j in range(i + 1, len(matrix))])


def t_of_last_regressor(y: Floats, regressors: list[Floats]) -> tuple[float, int]:
    """Ordinary least squares with intercept, written out: t of the last coefficient, and its degrees."""
    design = np.column_stack([np.ones(len(y)), *regressors])
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    degrees = len(y) - design.shape[1]
    error = y - design @ beta
    covariance = error @ error / degrees * np.linalg.inv(design.T @ design)
    return float(beta[-1] / np.sqrt(covariance[-1, -1])), degrees


def naive_t(y: Floats, x: Floats, covariates: list[Floats], labels: Floats) -> tuple[float, list[float], int]:
    """One layer by the recipe of Dekker, Krackhardt and Snijders: observed t, permuted t, degrees."""
    experts = len(y)
    fixed = [pairs_of(z) for z in covariates]
    design = np.column_stack([np.ones(len(pairs_of(x))), *fixed])
    residuals = pairs_of(x) - design @ np.linalg.lstsq(design, pairs_of(x), rcond=None)[0]
    matrix = np.zeros((experts, experts))
    matrix[np.triu_indices(experts, 1)] = residuals
    matrix = matrix + matrix.T
    observed, degrees = t_of_last_regressor(pairs_of(y), [*fixed, pairs_of(x)])
    permuted = [t_of_last_regressor(pairs_of(y), [*fixed, pairs_of(matrix[np.ix_(p, p)])])[0] for p in labels]
    return observed, permuted, degrees


def as_r(t: float, degrees: int) -> float:
    """The partial correlation that belongs to t: a monotone function of it."""
    return float(t / np.sqrt(t**2 + degrees))


# --- against explicit regressions ----------------------------------------------------------------


@pytest.mark.parametrize(("experts", "covariates"), [(7, 0), (7, 1), (7, 2), (9, 3)])
def test_partial_r_and_p_are_those_of_explicit_regressions(experts: int, covariates: int) -> None:
    data = np.random.default_rng(experts + covariates)
    x = cosines(data, 2, experts)
    others = [noisy(data, x, 1.0) for _ in range(covariates)]
    y = noisy(data, x + sum(others, np.zeros_like(x)), 3.0)
    ours = mrqap(y, x, others, rng=np.random.default_rng(5), resamples=199)
    # The same permutations: one block of 199 random rows for each layer in turn.
    rng = np.random.default_rng(5)
    observed, null = [], []
    for layer in range(2):
        labels = rng.permuted(np.broadcast_to(np.arange(experts), (199, experts)), axis=1)
        t, permuted, degrees = naive_t(y[layer], x[layer], [z[layer] for z in others], labels)
        assert degrees == experts * (experts - 1) // 2 - covariates - 2
        observed.append(as_r(t, degrees))
        null.append([as_r(other, degrees) for other in permuted])
    assert ours.partial_r == pytest.approx(observed, abs=1e-9)
    signed, squared = np.mean(null, axis=0), np.mean(np.square(null), axis=0)
    assert ours.signed.statistic == pytest.approx(np.mean(observed))
    assert ours.squared.statistic == pytest.approx(np.mean(np.square(observed)))
    assert ours.signed.p_greater == (1 + np.sum(signed >= np.mean(observed) - 1e-9)) / 200
    assert ours.signed.p_less == (1 + np.sum(signed <= np.mean(observed) + 1e-9)) / 200
    assert ours.squared.p_greater == (1 + np.sum(squared >= np.mean(np.square(observed)) - 1e-9)) / 200


@pytest.mark.parametrize("seed", range(4))
def test_one_layer_is_enumerated_and_orders_relabelings_as_t_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, z = cosines(rng, 1, 5), cosines(rng, 1, 5)
    y = noisy(rng, x + z, 1.0)
    ours = mrqap(y, x, [z], rng=rng)
    t, permuted, degrees = naive_t(y[0], x[0], [z[0]], np.array(list(permutations(range(5)))))
    assert ours.partial_r == pytest.approx([as_r(t, degrees)], abs=1e-9)
    assert ours.signed.p_greater == np.mean(np.array(permuted) >= t - 1e-7)
    assert ours.squared.p_greater == np.mean(np.abs(permuted) >= abs(t) - 1e-7)
    assert ours.signed.exact and ours.signed.smallest_p == 1 / 120
    assert ours.signed.p_greater * 120 == pytest.approx(round(ours.signed.p_greater * 120), abs=1e-9)


def test_without_covariates_it_is_mantels_test() -> None:
    rng = np.random.default_rng(1)
    x = cosines(rng, 1, 6)
    y = noisy(rng, x, 2.0)
    plain, regression = mantel(x, y, rng=rng), mrqap(y, x, [], rng=rng)
    assert regression.partial_r == pytest.approx(plain.r)
    assert regression.signed.p_greater == plain.mean_r.p_greater
    assert regression.squared.p_greater == plain.mean_r2.p_greater


# --- null and planted ----------------------------------------------------------------------------


def test_a_pattern_that_only_mirrors_a_covariate_is_rejected_at_the_nominal_rate() -> None:
    # y and x both follow z, and neither the other: the plain correlation is no evidence, the partial one none too many.
    rng = np.random.default_rng(2)
    rejected = mirrored = 0
    for _ in range(400):
        z = cosines(rng, 2, 8)
        x, y = noisy(rng, z, 0.7), noisy(rng, z, 0.7)
        result = mrqap(y, x, [z, cosines(rng, 2, 8)], rng=rng, resamples=99)
        rejected += result.squared.p_greater <= 0.05
        mirrored += mantel(x, y, rng=rng, resamples=99).mean_r2.p_greater <= 0.05
    assert binomtest(rejected, 400, 0.05).pvalue > 0.001
    assert mirrored > 300


@pytest.mark.parametrize("experts", [4, 5])
def test_few_experts_are_not_rejected_too_often(experts: int) -> None:
    rng = np.random.default_rng(experts)
    rejected = 0
    for _ in range(300):
        y, x, z, w = (cosines(rng, 1, experts) for _ in range(4))
        rejected += mrqap(y, x, [z, w], rng=rng).squared.p_greater <= 0.05 + 1e-12
    assert binomtest(rejected, 300, 0.05, alternative="greater").pvalue > 0.001


def test_a_unique_association_is_found_beside_a_stronger_covariate() -> None:
    rng = np.random.default_rng(3)
    found = wrong = 0
    for _ in range(40):
        x, z = cosines(rng, 6, 8), cosines(rng, 6, 8)
        y = noisy(rng, 0.6 * x + z, 0.7)
        result = mrqap(y, x, [z], rng=rng, resamples=99)
        found += result.squared.p_greater <= 0.05 and result.signed.p_greater <= 0.05
        wrong += result.signed.p_less <= 0.05
    assert found == 40
    assert wrong == 0


# --- properties ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_relabeling_all_sides_alike_changes_no_r(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x, z = (cosines(rng, 1, 5) for _ in range(3))
    order = rng.permutation(5)
    plain = mrqap(y, x, [z], rng=rng)
    relabeled = mrqap(*(m[:, order][:, :, order] for m in (y, x)), [z[:, order][:, :, order]], rng=rng)
    assert relabeled.partial_r == pytest.approx(plain.partial_r, abs=1e-9)
    assert relabeled.squared.p_greater == plain.squared.p_greater
    assert relabeled.signed.p_greater == plain.signed.p_greater


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(-10, 10), st.floats(-10, 10), st.floats(0.1, 10))
def test_what_the_covariates_explain_changes_nothing(seed: int, a: float, b: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    y, x, z = (cosines(rng, 1, 5) for _ in range(3))
    plain = mrqap(y, x, [z], rng=rng)
    moved = mrqap(scale * y + a * z - 3.0, scale * x + b * z + 0.5, [z, 2 * z + 1], rng=rng)
    assert moved.partial_r == pytest.approx(plain.partial_r, abs=1e-8)
    assert moved.squared.p_greater == plain.squared.p_greater


# --- awkward cases -------------------------------------------------------------------------------


@pytest.mark.parametrize("experts", [4, 5, 8])
def test_what_leaves_nothing_to_compare_is_no_evidence(experts: int) -> None:
    # Rounding is left of a candidate that the covariates explain; it must not be taken for a pattern.
    rng = np.random.default_rng(experts)
    y, z = cosines(rng, 1, experts), cosines(rng, 1, experts)
    flat = np.full_like(y, 0.1)
    for outcome, candidate in ((y, 2 * z + 0.3), (y, z), (3 * z - 1, y), (y, flat), (flat, y), (flat, flat)):
        result = mrqap(outcome, candidate, [z], rng=rng)
        assert result.partial_r == 0.0
        assert (result.squared.p_greater, result.signed.p_greater, result.signed.p_less) == (1.0, 1.0, 1.0)


def test_a_layer_without_variation_leaves_the_others_to_decide() -> None:
    rng = np.random.default_rng(4)
    x = cosines(rng, 3, 6)
    x[0] = 0.1
    result = mrqap(x, x, [cosines(rng, 3, 6)], rng=rng, resamples=199)
    assert result.partial_r == pytest.approx([0.0, 1.0, 1.0])
    assert result.squared.p_greater == 1 / 200
    assert result.squared.statistic == pytest.approx(2 / 3)


def test_covariates_that_repeat_each_other_count_once() -> None:
    rng = np.random.default_rng(5)
    y, x, z = (cosines(rng, 2, 6) for _ in range(3))
    once, thrice = (mrqap(y, x, [z] * n, rng=np.random.default_rng(1), resamples=99) for n in (1, 3))
    assert thrice.partial_r == pytest.approx(once.partial_r, abs=1e-9)
    assert thrice.squared.p_greater == once.squared.p_greater


@pytest.mark.parametrize(
    ("shape", "covariates", "message"),
    [
        ((2, 5, 5), [np.zeros((1, 5, 5))], r"y, x and covariates must have one shape"),
        ((1, 3, 3), [np.zeros((1, 3, 3))], r"3 experts give 3 pairs, too few for 2 regressors"),
        ((1, 4, 4), [np.zeros((1, 4, 4))] * 4, r"4 experts give 6 pairs, too few for 5 regressors"),
        ((1, 5, 5), [np.full((1, 5, 5), np.inf)], r"covariate holds numbers that are not finite"),
        ((1, 5, 4), [], r"y must be \(L, E, E\), not \(1, 5, 4\)"),
    ],
)
def test_what_cannot_be_regressed_is_refused(shape: tuple[int, ...], covariates: list[Floats], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mrqap(np.zeros(shape), np.zeros(shape), covariates, rng=np.random.default_rng(0))
