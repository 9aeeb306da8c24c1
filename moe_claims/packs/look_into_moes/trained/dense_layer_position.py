"""Whether one dense layer hurts an MoE more the deeper it lies, save in the last place (paper, Table 6)."""

from dataclasses import dataclass
from typing import final

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.packs.look_into_moes.trained.seeds import Document, over_seeds
from moe_claims.stats.permutation import Floats
from moe_claims.stats.regression_line import line
from moe_claims.types import Finding, Scalar

FEWEST_PLACES = 2
"""Before the last layer: through fewer there is no line."""


@final
@dataclass(frozen=True, eq=False)
class Excess:
    """What one dense layer costs: loss on held-out text over that of the all-MoE model of the same seed."""

    layers: int
    """L of every model."""
    places: tuple[int, ...]
    """(P,) of the dense layer, from 0, rising."""
    nats: Floats
    """(S, P) per token."""
    parameters: int
    """Of a model with a dense layer."""
    width: int
    """Neurons of the dense block."""


def needs_experts(variant: str, document: Document) -> Finding:
    """Rise over depth (``slope-…``), or the last layer against the line through the others (``last-…``).

    Both are of excess losses within a seed, so that what a seed's models have in common (its
    windows of text, its initial weights, its all-MoE model) enters neither.

    Raises:
        NotComparableError: the experiment has no such models.
        NotMeasuredError: too few seeds.
    """
    what, _, matched = variant.partition("-")
    found = excess(document, matched)
    last = found.layers - 1
    before = [i for i, place in enumerate(found.places) if place < last]
    if len(before) < FEWEST_PLACES:
        raise NotComparableError(
            f"a line over depth takes dense layers in at least {FEWEST_PLACES} places before the last; here "
            f"are {len(before)}"
        )
    fit = line([found.places[i] for i in before], found.nats[:, before])
    details = _details(document, found) | {"slope_per_layer": float(fit.slope.mean())}
    if what == "slope":
        return over_seeds(rise(fit.slope, found.layers), +1, details)
    if found.places[-1] != last:
        raise NotComparableError(f"no model of the experiment has its dense layer in the last place ({last})")
    return over_seeds(found.nats[:, -1] - fit.at(last), -1, details | {"line_at_last": float(fit.at(last).mean())})


def rise(slope: Floats, layers: int) -> Floats:
    """Slope per layer → rise from the first to the last-but-one of so many layers."""
    return np.asarray(slope * (layers - 2))


def excess(document: Document, matched: str) -> Excess:
    """The excess losses of the models whose dense block has as many ``total`` or ``activated`` parameters.

    Raises:
        NotComparableError: there are none.
    """
    runs = [run for run in document["runs"] if run["matched"] == matched]
    if not runs:
        raise NotComparableError(f"no model of the experiment has a dense layer of as many {matched} parameters")
    loss = {(run["seed"], run["position"]): run["held_out_nats"] for run in runs}
    whole = {run["seed"]: run["held_out_nats"] for run in document["runs"] if run["position"] is None}
    places = tuple(sorted({place for _, place in loss}))
    nats = np.array([[loss[seed, place] - whole[seed] for place in places] for seed in sorted(whole)])
    return Excess(document["layers"], places, nats, runs[0]["parameters"], runs[0]["dense_width"])


def _details(document: Document, found: Excess) -> dict[str, Scalar]:
    whole = [run for run in document["runs"] if run["position"] is None]
    return {
        **{f"excess with dense layer {place}": float(found.nats[:, i].mean()) for i, place in enumerate(found.places)},
        "held_out_nats_all_moe": float(np.mean([run["held_out_nats"] for run in whole])),
        "parameters_all_moe": whole[0]["parameters"],
        "parameters_with_dense_layer": found.parameters,
        "dense_width": found.width,
        "steps": document["recipe"]["steps"],
    }
