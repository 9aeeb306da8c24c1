"""Power of the tests over depth by number of layers, simulated on random curves without models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.progress import track
from moe_claims.simulation.calibration import Rate
from moe_claims.simulation.trials import ALPHA
from moe_claims.stats.outlier import last_layer, others_mad
from moe_claims.stats.trend import kendall_tau, trend

Floats = NDArray[np.floating[Any]]
LAYERS = (16, 32, 64, 94)
TAUS = (0.3, 0.5, 0.7)
MADS = (3.0, 6.0, 9.0)
_RESAMPLES = 999


@final
@dataclass(frozen=True)
class DepthPower:
    """Power of one test for one size of effect and one number of layers, before correction."""

    test: str
    effect: float
    layers: int
    found: Rate


def depth_power(*, curves: int, layers: Sequence[int] = LAYERS, seed: int = 0) -> list[DepthPower]:
    """Simulates linear trends, and jumps of the last layer, in independent noise.

    Args:
        curves: number of simulated curves per effect and number of layers.
        layers: numbers of layers.
        seed: seed of the noise.
    """
    rng = np.random.default_rng(seed)
    cells: list[tuple[str, float, int, Callable[[], float]]] = []
    for count in layers:
        for tau in TAUS:
            cells.append(("trend", tau, count, partial(_trend_p, count, _slope_of(tau, count), rng)))
        cells += [("last layer", mads, count, partial(_last_p, count, mads, rng)) for mads in MADS]
    found = []
    for test, effect, count, p_value in track(cells, "power over depth", unit="cells"):
        hits = sum(p_value() <= ALPHA for _ in range(curves))
        found.append(DepthPower(test, effect, count, Rate(hits, curves)))
    return found


def _slope_of(tau: float, layers: int) -> float:
    """The rise from first to last layer, in standard deviations of the noise, that gives this mean τ."""
    from scipy.optimize import brentq

    noise = np.random.default_rng(1).standard_normal((1_000, layers))
    depth = np.linspace(0.0, 1.0, layers)
    return float(brentq(lambda rise: float(kendall_tau(noise + rise * depth).mean()) - tau, 0.0, 20.0))


def _trend_p(layers: int, rise: float, rng: np.random.Generator) -> float:
    values = rng.standard_normal(layers) + rise * np.linspace(0.0, 1.0, layers)
    return trend(values, rng=rng, resamples=_RESAMPLES).autoregressive.p_greater


def _last_p(layers: int, mads: float, rng: np.random.Generator) -> float:
    """P-value for a last layer that lies ``mads`` deviations above the line of the others, plus noise."""
    values = rng.standard_normal(layers)
    values[-1] += mads * float(others_mad(values))
    return last_layer(values, rng=rng, resamples=_RESAMPLES).studentised.p_greater


def summary(found: Sequence[DepthPower]) -> str:
    """The results as Markdown, a table per test."""
    parts = [
        "## What the number of layers allows",
        "Claims over depth have the layer as their unit: no text makes up for few layers. Simulated curves, a straight "
        "trend or a jump of the last layer in independent noise, at 5 % before any correction. A jump of 3 of the "
        "others' median absolute deviations is 2 standard deviations, which no number of layers tells safely from "
        "chance.",
    ]
    for test, unit in (("trend", "Kendall τ"), ("last layer", "jump, in MADs")):
        effects = sorted({cell.effect for cell in found if cell.test == test})
        layers = sorted({cell.layers for cell in found if cell.test == test})
        lines = [f"| {unit} | " + " | ".join(f"{count} layers" for count in layers) + " |"]
        lines.append("|---" * (len(layers) + 1) + "|")
        for effect in effects:
            cells = [c.found for c in found if (c.test, c.effect) == (test, effect)]
            lines.append(f"| {effect:g} | " + " | ".join(f"{100 * rate.share:.0f} %" for rate in cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def layers_that_reach(found: Sequence[DepthPower], test: str, effect: float, wanted: float) -> int | None:
    """The smallest simulated number of layers with the desired power; None if none has it."""
    reached = [c.layers for c in found if (c.test, c.effect) == (test, effect) and c.found.share >= wanted]
    return min(reached) if reached else None


def effect_that_is_reached(found: Sequence[DepthPower], test: str, layers: int, wanted: float) -> float | None:
    """The smallest simulated effect that is found with the desired power at a number of layers; None if none is."""
    reached = [c.effect for c in found if (c.test, c.layers) == (test, layers) and c.found.share >= wanted]
    return min(reached) if reached else None
