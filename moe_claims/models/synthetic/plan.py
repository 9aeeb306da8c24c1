"""Plans the properties of each layer of a synthetic MoE, before any weight is drawn.

In a planted model every claim holds, with effects that grow with ``strength``; at strength 0 nothing is planted. In a
null model the claims are false, but in ways that could mislead a statistic: levels drift smoothly over depth without a
trend, static patterns in norms and in scores are unrelated, loads are far from even, and some neurons never fire.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class LayerPlan:
    """Properties of one layer of a synthetic model."""

    shared: tuple[float, float, float]
    """Expected cosine between the up, act and down matrices of any two experts."""
    grouped: tuple[float, float, float]
    """For up, act and down: share of the remaining variance that experts of one group have in common. Router rows of a
    group are similar too."""
    participation: Floats
    """(E,) factor of ``shared`` for each expert; below 1 for the special expert, if there is one."""
    groups: float
    """Weight of the component that the router rows of one group have in common."""
    gate_shared: float
    """Expected cosine between any two router rows."""
    act_direction: float
    """Weight of a direction that is added to all rows of an expert's W_act."""
    router_alignment: float
    """Cosine of that direction with the expert's router row, 0 to 1."""
    gate_bias: float
    """Bias on W_act that opens the gates of all experts."""
    common_neuron: float
    """Size of one neuron that always fires, with the same output in all experts but not in the dense model."""
    score_neuron: float
    """Size of one neuron that fires in proportion to the expert's score, with the same output in all experts."""
    act_scale: float
    """Factor of W_act."""
    down_scale: float
    """Factor of W_down."""
    norms: Floats
    """(E,) factors of the experts' output norms, unrelated to scores."""
    offsets: Floats
    """(E,) constant part of each expert's score, the same for every token."""
    topics: float
    """Size of the part of an expert's score that depends on the token's topic."""
    silent: float
    """Fraction of neurons that never fire."""
    hidden_pattern: float
    """Weight of a pattern of similarities in the silent neurons, which does not show in outputs."""


def planted(pattern: str, strength: float, layers: int, experts: int, rng: np.random.Generator) -> list[LayerPlan]:
    """Plans for all layers of a model in which the claims hold.

    Args:
        pattern: a planted pattern of ``Shape``. In ``upcycled`` models the directions and biases of W_act are weaker,
            so that it stays near the shared component. In ``extremes`` models only a token's topic opens a gate.
        strength: size of the planted effects, 0 to 1.
        layers: number of layers.
        experts: number E of experts.
        rng: seeded generator.
    """
    upcycled = pattern == "upcycled"
    first, last = {"all": (0.6, 2.8), "upcycled": (0.4, 1.3), "extremes": (0.0, 0.0)}[pattern]
    up, act, down, gate = (_decline(*ends, layers, rng) for ends in _ENDS)
    depth = np.linspace(0.0, 1.0, layers)
    special = int(rng.integers(experts))
    participation, offsets = np.ones(experts), np.zeros(experts)
    participation[special] -= 0.75 * strength
    offsets[special] -= 0.135 * strength
    noise = np.exp(0.02 * rng.standard_normal((2, layers)))
    return [
        LayerPlan(
            shared=(strength * up[layer], strength * act[layer], strength * down[layer]),
            grouped=(0.0, 0.0, 0.0) if upcycled else (0.9 * strength, 0.0, 0.9 * strength),
            participation=participation,
            groups=1.7,
            gate_shared=strength * gate[layer],
            act_direction=strength * (0.6 if upcycled else 0.85),
            router_alignment=strength,
            gate_bias=strength * (first + (last - first) * depth[layer]),
            common_neuron=strength if upcycled else 0.0,
            score_neuron=strength * (80.0 if layer == layers - 1 else 3.0 + 9.0 * depth[layer])
            if pattern == "all"
            else 0.0,
            act_scale=float(noise[0, layer] * (1 + 1.5 * strength * depth[layer])),
            down_scale=float(noise[1, layer] * (1 + strength * depth[layer])),
            norms=np.ones(experts),
            offsets=offsets,
            topics=1.1 * strength,
            silent=0.1 * (1 - strength),
            hidden_pattern=0.0,
        )
        for layer in range(layers)
    ]


_ENDS = ((0.9, 0.1, 0.95), (0.58, 0.05, 0.95), (0.9, 0.1, 0.95), (0.9, 0.0, 0.65))
"""For up, act, down and router rows: planned cosine in the first layer, in the last but one, and in the last."""


def null(pattern: str, layers: int, experts: int, rng: np.random.Generator) -> list[LayerPlan]:
    """Plans for all layers of a model in which the claims are false; ``pattern`` selects how (see ``Shape``)."""
    apart = pattern == "apart"
    levels = np.clip(0.5 + 0.05 * ar1_curves((4, layers), rng), 0.05, 0.95)
    scales = np.exp(0.1 * ar1_curves((2, layers), rng))
    participation = np.ones(experts)
    if pattern == "special":
        participation[int(rng.integers(experts))] = 0.25
    return [
        LayerPlan(
            shared=(0.0, 0.0, 0.0) if apart else (levels[0, layer], levels[1, layer], levels[2, layer]),
            grouped=(0.0, 0.0, 0.0),
            participation=participation,
            groups=1.2,
            gate_shared=levels[3, layer] / 2,
            act_direction=0.0,
            router_alignment=0.0,
            gate_bias=0.0,
            common_neuron=0.0,
            score_neuron=0.0,
            act_scale=scales[0, layer],
            down_scale=scales[1, layer],
            norms=np.exp(0.3 * rng.standard_normal(experts)),
            offsets=0.3 * rng.standard_normal(experts),
            topics=0.0,
            silent=0.1,
            hidden_pattern=0.0 if apart else 1.0,
        )
        for layer in range(layers)
    ]


def _decline(first: float, last_but_one: float, last: float, layers: int, rng: np.random.Generator) -> Floats:
    """(L,) levels that decline linearly with a little noise, except for the last layer, whose level is ``last``."""
    levels = np.linspace(first, last_but_one, layers) + 0.015 * rng.standard_normal(layers)
    levels[-1] = last
    return np.asarray(np.clip(levels, 0.0, 1.0))


def ar1_curves(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """(n, L) AR(1) curves with φ = 0.7 and unit innovations, from their stationary distribution."""
    curves = rng.standard_normal(shape)
    curves[:, 0] /= np.sqrt(1 - 0.7**2)
    for layer in range(1, shape[1]):
        curves[:, layer] += 0.7 * curves[:, layer - 1]
    return curves
