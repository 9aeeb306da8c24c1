"""What is planted in each layer of a synthetic MoE: numbers over depth, drawn before any weight is.

A planted model makes every claim true at once, the more so the nearer ``strength`` is to
1; at 0 nothing is planted. A null model makes them false in awkward ways: levels that
wander smoothly over depth without a trend, static patterns in norms and in scores that
have nothing to do with each other, loads that are far from even, neurons that never fire.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class LayerPlan:
    """What one layer of a synthetic model is to be like."""

    shared: tuple[float, float, float]
    """Cosine of any two experts' up, act and down matrices, in expectation."""
    grouped: tuple[float, float, float]
    """What the experts of one group share of the rest, of each matrix; their router rows are alike too."""
    loners: Floats
    """(E,) how much of its share each expert takes part in; 1 for all but one that stands apart."""
    groups: float
    """Weight of what the router rows of one group have in common."""
    gate_shared: float
    """Cosine of any two router rows, in expectation."""
    steers: float
    """Weight of a direction that all rows of an expert's W_act have in common."""
    follows: float
    """How far that direction is the expert's router row, 0 to 1."""
    opens: float
    """Bias that keeps the gates of all experts open."""
    loud: float
    """Size of one neuron that always fires and says the same in all experts, but not in the dense model."""
    speaks: float
    """Size of one neuron that fires with the expert's score and says the same in all experts."""
    act_scale: float
    down_scale: float
    norms: Floats
    """(E,) factors of the experts' output norms that have nothing to do with scores."""
    offsets: Floats
    """(E,) scores that an expert gets from every token alike."""
    topics: float
    """How much of its score an expert owes to the token's topic."""
    asleep: float
    """Share of neurons that never fire."""
    hidden_pattern: float
    """Weight of a similarity pattern in neurons that never fire, invisible in outputs."""


def planted(pattern: str, strength: float, layers: int, experts: int, rng: np.random.Generator) -> list[LayerPlan]:
    """A model in which the claims hold, the more so the nearer ``strength`` is to 1.

    Upcycled experts are steered and opened less, so that their W_act stays near what they share. Where only the
    largest norms matter, nothing but a token's topic opens a gate.
    """
    upcycled = pattern == "upcycled"
    first, last = {"all": (0.6, 2.8), "upcycled": (0.4, 1.3), "extremes": (0.0, 0.0)}[pattern]
    up, act, down, gate = (_fall(*ends, layers, rng) for ends in _ENDS)
    depth = np.linspace(0.0, 1.0, layers)
    special = int(rng.integers(experts))
    loners, offsets = np.ones(experts), np.zeros(experts)
    loners[special] -= 0.75 * strength
    offsets[special] -= 0.135 * strength
    noise = np.exp(0.02 * rng.standard_normal((2, layers)))
    return [
        LayerPlan(
            shared=(strength * up[layer], strength * act[layer], strength * down[layer]),
            grouped=(0.0, 0.0, 0.0) if upcycled else (0.9 * strength, 0.0, 0.9 * strength),
            loners=loners,
            groups=1.7,
            gate_shared=strength * gate[layer],
            steers=strength * (0.6 if upcycled else 0.85),
            follows=strength,
            opens=strength * (first + (last - first) * depth[layer]),
            loud=strength if upcycled else 0.0,
            speaks=strength * (80.0 if layer == layers - 1 else 3.0 + 9.0 * depth[layer]) if pattern == "all" else 0.0,
            act_scale=float(noise[0, layer] * (1 + 1.5 * strength * depth[layer])),
            down_scale=float(noise[1, layer] * (1 + strength * depth[layer])),
            norms=np.ones(experts),
            offsets=offsets,
            topics=1.1 * strength,
            asleep=0.1 * (1 - strength),
            hidden_pattern=0.0,
        )
        for layer in range(layers)
    ]


_ENDS = ((0.9, 0.1, 0.95), (0.58, 0.05, 0.95), (0.9, 0.1, 0.95), (0.9, 0.0, 0.65))
"""Of up, act, down and router rows: cosine in the first layer, in the last but one, and in the last."""


def null(pattern: str, layers: int, experts: int, rng: np.random.Generator) -> list[LayerPlan]:
    """A model in which the claims do not hold; ``pattern`` says in which awkward way (see ``Shape``)."""
    apart = pattern == "apart"
    levels = np.clip(0.5 + 0.05 * wander((4, layers), rng), 0.05, 0.95)
    scales = np.exp(0.1 * wander((2, layers), rng))
    loners = np.ones(experts)
    if pattern == "special":
        loners[int(rng.integers(experts))] = 0.25
    return [
        LayerPlan(
            shared=(0.0, 0.0, 0.0) if apart else (levels[0, layer], levels[1, layer], levels[2, layer]),
            grouped=(0.0, 0.0, 0.0),
            loners=loners,
            groups=1.2,
            gate_shared=levels[3, layer] / 2,
            steers=0.0,
            follows=0.0,
            opens=0.0,
            loud=0.0,
            speaks=0.0,
            act_scale=scales[0, layer],
            down_scale=scales[1, layer],
            norms=np.exp(0.3 * rng.standard_normal(experts)),
            offsets=0.3 * rng.standard_normal(experts),
            topics=0.0,
            asleep=0.1,
            hidden_pattern=0.0 if apart else 1.0,
        )
        for layer in range(layers)
    ]


def _fall(first: float, last_but_one: float, last: float, layers: int, rng: np.random.Generator) -> Floats:
    """A straight fall with a little noise, and a last layer that is alike again."""
    levels = np.linspace(first, last_but_one, layers) + 0.015 * rng.standard_normal(layers)
    levels[-1] = last
    return np.asarray(np.clip(levels, 0.0, 1.0))


def wander(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """(n, L) AR(1) curves with φ = 0.7 and unit innovations, from their stationary distribution."""
    curves = rng.standard_normal(shape)
    curves[:, 0] /= np.sqrt(1 - 0.7**2)
    for layer in range(1, shape[1]):
        curves[:, layer] += 0.7 * curves[:, layer - 1]
    return curves
