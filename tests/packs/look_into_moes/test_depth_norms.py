"""Norms and activations over depth, on made-up curves."""

from collections.abc import Callable

import numpy as np
import pytest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes import depth_norms
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Verdict

LAYERS, SEQUENCES, TOKENS, EXPERTS = 14, 6, 10, 8
Analyse = Callable[..., Finding]


@pytest.fixture
def analyse(
    made_up_routed: Callable[..., RoutedMeasurement], made_up_weights: Callable[..., WeightMeasurement]
) -> Analyse:
    """(function, **fields of a measurement) → the finding."""

    def run(function: str, layers: int = LAYERS, **fields: Floats) -> Finding:
        routed = made_up_routed(layers=layers, sequences=SEQUENCES, tokens=TOKENS, **fields)
        found: Finding = getattr(depth_norms, function)(
            None, Measured(made_up_weights(), routed), np.random.default_rng(0)
        )
        return found

    return run


def norms(curve: Floats, variation: Floats | float = 0.2, seed: int = 0) -> Floats:
    """(L,) mean norms and coefficients of variation → (L, T, E) norms."""
    rng = np.random.default_rng(seed)
    shares = rng.standard_normal((len(curve), SEQUENCES * TOKENS, EXPERTS))
    shares -= shares.mean(axis=-1, keepdims=True)
    shares /= shares.std(axis=-1, ddof=1, keepdims=True)
    spread = np.broadcast_to(variation, (len(curve),))[:, None, None]
    return curve[:, None, None] * np.maximum(1 + spread * shares, 0.0)


def wander(seed: int, spread: float = 0.05) -> Floats:
    return np.exp(spread * np.random.default_rng(seed).standard_normal(LAYERS))


def verdict(claim: str, finding: Finding) -> Verdict:
    return decide(LIVE[claim], finding, finding.p_value, finding.p_opposite, 0.05).verdict


# --- growth --------------------------------------------------------------------------------------


def test_norms_that_grow_by_a_factor_replicate_and_falling_ones_contradict(analyse: Analyse) -> None:
    curve = 1.3 ** np.arange(LAYERS)
    found = analyse("norms_grow", output_norms=norms(curve * wander(1)))
    assert verdict("norm-grows-with-depth", found) == Verdict.REPLICATED
    assert found.n_units == LAYERS
    assert found.details["factor_by_theil_sen"] == pytest.approx(1.3 ** (LAYERS - 1), rel=0.2)
    assert found.details["last_layer"] == pytest.approx(curve[-1] * wander(1)[-1])
    fallen = analyse("norms_grow", output_norms=norms(wander(1) / curve))
    assert verdict("norm-grows-with-depth", fallen) == Verdict.CONTRADICTED


def test_the_last_layer_counts(analyse: Analyse) -> None:
    curve = 1.3 ** np.arange(LAYERS)
    curve[-1] = 0.5
    found = analyse("norms_grow", output_norms=norms(curve))
    pairs = LAYERS * (LAYERS - 1) / 2
    assert found.effect == pytest.approx(1 - 2 * (LAYERS - 1) / pairs)


def test_activations_are_read_from_their_magnitudes(analyse: Analyse) -> None:
    curve = 1.2 ** np.arange(LAYERS) * wander(2)
    sums = TOKENS * curve[:, None, None] * np.random.default_rng(3).uniform(0.9, 1.1, (LAYERS, SEQUENCES, EXPERTS))
    found = analyse("activations_grow", magnitude_sums=sums)
    assert verdict("activation-grows-with-depth", found) == Verdict.REPLICATED
    assert found.details["first_layer"] == pytest.approx(sums[0].mean() / TOKENS)
    assert found.interval.low <= found.effect <= found.interval.high


def test_flat_norms_do_not_grow(analyse: Analyse) -> None:
    found = [analyse("norms_grow", output_norms=norms(wander(seed))) for seed in range(10)]
    assert sum(verdict("norm-grows-with-depth", f) == Verdict.REPLICATED for f in found) <= 3


@pytest.mark.parametrize("function", ["norms_grow", "last_layer_norm_spread"])
def test_units_of_the_norms_are_nothing(analyse: Analyse, function: str) -> None:
    given = norms(wander(4), 0.2 * wander(5))
    plain, scaled = analyse(function, output_norms=given), analyse(function, output_norms=64.0 * given)
    assert scaled.effect == pytest.approx(plain.effect)
    assert scaled.p_value == plain.p_value


def test_a_layer_without_outputs_is_named(analyse: Analyse) -> None:
    curve = wander(6)
    curve[4] = 0.0
    with pytest.raises(NotComparableError, match="the mean output norm of layer 4 is zero"):
        analyse("norms_grow", output_norms=norms(curve))
    with pytest.raises(NotComparableError, match="the mean variation of output norms of layer 0 is zero"):
        analyse("last_layer_norm_spread", output_norms=np.ones((LAYERS, SEQUENCES * TOKENS, EXPERTS)))


# --- spread in the last layer --------------------------------------------------------------------


def variation(last: float, seed: int = 7) -> Floats:
    curve = 0.2 * wander(seed)
    curve[-1] = last
    return curve


def test_a_last_layer_that_varies_most_replicates(analyse: Analyse) -> None:
    given = variation(0.35)
    found = analyse("last_layer_norm_spread", output_norms=norms(wander(8), given))
    assert verdict("last-layer-norm-spread", found) == Verdict.REPLICATED
    assert found.falls_short is None
    assert found.details["last_layer"] == pytest.approx(given[-1], rel=1e-3)
    assert found.details["largest_of_the_others"] == pytest.approx(given[:-1].max(), rel=1e-3)


def test_a_jump_above_the_line_that_is_not_the_most_falls_short(analyse: Analyse) -> None:
    curve = 0.3 * 0.8 ** np.arange(LAYERS) * wander(9, 0.01)
    curve[-1] *= 2.0
    found = analyse("last_layer_norm_spread", output_norms=norms(wander(8), curve))
    assert verdict("last-layer-norm-spread", found) == Verdict.DIRECTION_ONLY
    assert found.falls_short == "layer 0 varies more"


def test_a_last_layer_that_varies_least_contradicts(analyse: Analyse) -> None:
    found = analyse("last_layer_norm_spread", output_norms=norms(wander(8), variation(0.05)))
    assert verdict("last-layer-norm-spread", found) == Verdict.CONTRADICTED


def test_others_on_one_line_have_no_unit(analyse: Analyse) -> None:
    curve = 0.2 * 1.05 ** np.arange(LAYERS)
    with pytest.raises(NotComparableError, match="deviations have no unit"):
        analyse("last_layer_norm_spread", output_norms=norms(np.ones(LAYERS), curve))


@pytest.mark.parametrize("function", ["norms_grow", "activations_grow", "last_layer_norm_spread"])
def test_few_layers_are_not_comparable(analyse: Analyse, function: str) -> None:
    with pytest.raises(NotComparableError, match="at least 6 MoE layers; this model has 5"):
        analyse(function, layers=5)
