"""Router rows over depth, on made-up cosines whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import WeightMeasurement
from moe_claims.packs.look_into_moes.depth_router import gate_last_layer, opposite_trends
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.types import Finding, Verdict

MakeWeights = Callable[..., WeightMeasurement]
LAYERS = 16
RNG = np.random.default_rng
FALL, RISE = np.linspace(0.6, 0.1, LAYERS), np.linspace(0.1, 0.5, LAYERS)


def level(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """(L,) → (L, E, E) similarities of that mean level, but for a little noise."""
    noisy = values + 0.02 * RNG(seed).standard_normal(len(values))
    return noisy[:, None, None] + (1 - noisy)[:, None, None] * np.eye(8)


def verdict(claim: str, found: Finding) -> Verdict:
    """As judged alone, without any correction."""
    return decide(LIVE[claim], found, found.p_value, found.p_opposite, 0.05).verdict


@pytest.mark.parametrize(("jump", "expected"), [(0.5, Verdict.REPLICATED), (-0.5, Verdict.CONTRADICTED)])
def test_a_last_layer_off_the_line_is_an_outlier(made_up_weights: MakeWeights, jump: float, expected: Verdict) -> None:
    values = FALL.copy()
    values[-1] += jump
    found = gate_last_layer(None, Measured(made_up_weights(layers=LAYERS, router=level(values))), RNG(1))
    assert found.details["residual"] == pytest.approx(jump, abs=0.06)
    assert found.n_units == LAYERS and verdict("gate-last-layer", found) == expected


def test_a_last_layer_on_the_line_is_none(made_up_weights: MakeWeights) -> None:
    found = gate_last_layer(None, Measured(made_up_weights(layers=LAYERS, router=level(FALL))), RNG(1))
    assert found.p_value > 0.05


@pytest.mark.parametrize(
    ("gate", "act", "expected"),
    [
        (FALL, RISE, Verdict.REPLICATED),
        (RISE, FALL, Verdict.CONTRADICTED),
        (FALL, FALL, Verdict.INCONCLUSIVE),
        (FALL, np.full(LAYERS, 0.3), Verdict.INCONCLUSIVE),
    ],
)
def test_opposite_trends_need_both(
    made_up_weights: MakeWeights, gate: np.ndarray, act: np.ndarray, expected: Verdict
) -> None:
    weights = made_up_weights(layers=LAYERS, router=level(gate), mean={"act": level(act, seed=1)})
    found = opposite_trends(None, Measured(weights), RNG(2))
    assert found.effect == pytest.approx(found.details["tau_act"] - found.details["tau_gate"])
    assert found.p_value == max(found.details["p_act_rises"], found.details["p_gate_falls"])
    if expected == Verdict.INCONCLUSIVE:
        assert verdict("gate-act-opposite-trends", found) not in (Verdict.REPLICATED, Verdict.CONTRADICTED)
    else:
        assert verdict("gate-act-opposite-trends", found) == expected


def test_the_last_layer_has_its_part_in_the_trends(made_up_weights: MakeWeights) -> None:
    gate = FALL.copy()
    gate[-1] = 0.95
    taus = [
        opposite_trends(None, Measured(made_up_weights(layers=LAYERS, router=level(values))), RNG(0)).details[
            "tau_gate"
        ]
        for values in (FALL, gate)
    ]
    # A last layer above all others turns its 15 pairs of 120 round.
    assert taus[1] == pytest.approx(taus[0] + 2 * 15 / 120)


@pytest.mark.parametrize("analysis", [gate_last_layer, opposite_trends])
def test_few_layers_are_not_comparable(made_up_weights: MakeWeights, analysis: Callable[..., Finding]) -> None:
    with pytest.raises(NotComparableError, match="at least 6 MoE layers; this model has 5"):
        analysis(None, Measured(made_up_weights(layers=5)), RNG(0))


def test_router_rows_on_one_line_have_no_unit_for_an_outlier(made_up_weights: MakeWeights) -> None:
    line = np.tile(0.3 + 0.7 * np.eye(8), (LAYERS, 1, 1))
    with pytest.raises(NotComparableError, match="lie exactly on one line"):
        gate_last_layer(None, Measured(made_up_weights(layers=LAYERS, router=line)), RNG(0))
