"""Claim that a dense layer hurts an MoE more the deeper it is, except as the last layer (paper, Table 6)."""

from dataclasses import dataclass
from math import log
from typing import final

import numpy as np

from moe_claims.errors import NotComparableError
from moe_claims.judge.claim import Claim, Estimand, Printed
from moe_claims.judge.pack import as_published
from moe_claims.packs.look_into_moes.audits.parameters_and_table_6 import decline_with_depth
from moe_claims.packs.look_into_moes.audits.rounding import Paper
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.seeds import Document, PrintedBeside, over_seeds
from moe_claims.stats.permutation import Floats
from moe_claims.stats.regression_line import line
from moe_claims.types import Finding, Scalar

FEWEST_POSITIONS = 2
"""Fewest positions of the dense layer before the last layer; a line needs two."""


@final
@dataclass(frozen=True, eq=False)
class Excess:
    """Excess loss of one dense layer: loss on held-out text minus that of the all-MoE model of the same seed."""

    layers: int
    """Number L of layers of every model."""
    positions: tuple[int, ...]
    """(P,) indices of the dense layer, from 0, in increasing order."""
    nats: Floats
    """(S, P) excess loss by seed and position, in nats per token."""
    parameters: int
    """Number of parameters of a model with a dense layer."""
    width: int
    """Number of neurons of the dense block."""


def needs_experts(variant: str, document: Document) -> Finding:
    """The finding of one variant of ``depth-needs-experts``.

    ``slope-…`` is the rise over depth, ``last-…`` the deviation of the last layer from the line through the
    others. Both use excess losses within a seed, so what the models of a seed have in common (windows of text,
    initial weights, all-MoE model) cancels.

    Raises:
        NotComparableError: the experiment has no such models.
        NotMeasuredError: too few seeds.
    """
    what, _, matched = variant.partition("-")
    found = excess(document, matched)
    last = found.layers - 1
    before = [i for i, position in enumerate(found.positions) if position < last]
    if len(before) < FEWEST_POSITIONS:
        raise NotComparableError(
            f"a line over depth takes dense layers in at least {FEWEST_POSITIONS} places before the last; here "
            f"are {len(before)}"
        )
    fit = line([found.positions[i] for i in before], found.nats[:, before])
    details = _details(document, found) | {"slope_per_layer": float(fit.slope.mean())}
    if what == "slope":
        return over_seeds(rise(fit.slope, found.layers), +1, details)
    if found.positions[-1] != last:
        raise NotComparableError(f"no model of the experiment has its dense layer in the last place ({last})")
    return over_seeds(found.nats[:, -1] - fit.at(last), -1, details | {"line_at_last": float(fit.at(last).mean())})


def rise(slope: Floats, layers: int) -> Floats:
    """Slope per layer → rise from the first to the last-but-one of ``layers`` layers."""
    return np.asarray(slope * (layers - 2))


def excess(document: Document, matched: str) -> Excess:
    """The excess losses of models whose dense block matches the MoE layer in ``total`` or ``activated`` parameters.

    Raises:
        NotComparableError: there are none.
    """
    runs = [run for run in document["runs"] if run["matched"] == matched]
    if not runs:
        raise NotComparableError(f"no model of the experiment has a dense layer of as many {matched} parameters")
    loss = {(run["seed"], run["position"]): run["held_out_nats"] for run in runs}
    whole = {run["seed"]: run["held_out_nats"] for run in document["runs"] if run["position"] is None}
    positions = tuple(sorted({position for _, position in loss}))
    nats = np.array([[loss[seed, position] - whole[seed] for position in positions] for seed in sorted(whole)])
    return Excess(document["layers"], positions, nats, runs[0]["parameters"], runs[0]["dense_width"])


def _details(document: Document, found: Excess) -> dict[str, Scalar]:
    whole = [run for run in document["runs"] if run["position"] is None]
    return {
        **{f"excess with dense layer {at}": float(found.nats[:, i].mean()) for i, at in enumerate(found.positions)},
        "held_out_nats_all_moe": float(np.mean([run["held_out_nats"] for run in whole])),
        "parameters_all_moe": whole[0]["parameters"],
        "parameters_with_dense_layer": found.parameters,
        "dense_width": found.width,
        "steps": document["recipe"]["steps"],
    }


def printed_position(variant: str, facts: Paper | None = None) -> PrintedBeside:
    """The paper's value for a variant, from the line through the rows of Table 6 before the last.

    Each row is one training, so the error is estimated from the scatter about the line. Layers in Table 6 count
    from 1. The exact p over all orders of the rows is taken from the audit.
    """
    what, facts = variant.partition("-")[0], published() if facts is None else facts
    layers = int(facts["table7_architecture"]["num_layers"])
    depths, perplexities = _by_depth("ppl", facts)
    _, averages = _by_depth("bench_avg", facts)
    nats = [log(perplexity) for perplexity in perplexities]
    loss, average = line(depths[:-1], nats[:-1]), line(depths[:-1], averages[:-1])
    note = f"ln perplexity; error from the scatter about a line through {len(depths) - 1} trainings"
    details: dict[str, Scalar]
    if what == "slope":
        audit = decline_with_depth(facts).values
        value, error = float(rise(loss.slope, layers)), float(rise(loss.slope_error, layers))
        note += f"; p = {audit['p_perplexity']:.3f} by the order of rows, where {audit['smallest_p']:.3f} is the least"
        details = {
            "paper_bench_average_rise": float(rise(average.slope, layers)),
            "paper_p_by_order_perplexity": audit["p_perplexity"],
            "paper_p_by_order_bench_average": audit["p_average"],
            "paper_smallest_p_by_order": audit["smallest_p"],
        }
    else:
        last = depths[-1]
        value, error = nats[-1] - float(loss.at(last)), float(loss.error_of_new(last))
        details = {"paper_bench_average_of_last": averages[-1] - float(average.at(last))}
    printed = Printed(value, "Table 6", note, error)
    return PrintedBeside(as_published(printed, f"{layers}-layer MoEs of Table 7", "holds"), details)


def _by_depth(column: str, facts: Paper) -> tuple[list[int], list[float]]:
    """Positions of the dense layer, in increasing order, and their values in a column of Table 6."""
    table = facts["table6_non_moe_layer"]
    depths = sorted(int(row) for row in table["rows"] if row != "none")
    return depths, [float(table["rows"][str(depth)][table["columns"].index(column)]) for depth in depths]


_LAST = Estimand(
    effect="excess loss of the last layer over the line through the others, in nats per token",
    # As large as the rise: the exception must undo the cost of the layers before.
    smallest=-0.01,
)

DEPTH_NEEDS_EXPERTS = Claim(
    id="depth-needs-experts",
    statement="Replacing one MoE layer by a dense one hurts more the deeper it lies, except in the last place.",
    section="Table 6, Figure 5",
    family="trained",
    needs="trainings",
    effect="rise of the excess loss from the first to the last-but-one layer, in nats per token",
    # About the paper's value: perplexities of 8.50 with dense layer 1 and of 8.59 with dense layer 18 are
    # ln(8.59 / 8.50) = 0.0105 nats apart (Table 6); the line through its four positions rises by 0.013.
    smallest=0.01,
    estimands={"last-total": _LAST, "last-activated": _LAST},
    null="no difference on average: Student t over seeds",
    unit="seed",
    estimator=needs_experts,
    variants=("slope-total", "last-total", "slope-activated", "last-activated"),
    applies="the trainings of the dense-layer-position experiment, 3 seeds or more (--moe-experiments)",
)
