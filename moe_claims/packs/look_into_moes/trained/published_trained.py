"""What the paper prints for the claims on trainings: its own trainings, and its models of either scheme."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from statistics import mean
from typing import Any, final

from moe_claims.judge.replication import Printed, as_published
from moe_claims.packs.look_into_moes.audits.parameters_and_table_6 import decline_with_depth
from moe_claims.packs.look_into_moes.audits.rounding import Paper
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.dense_layer_position import rise
from moe_claims.stats.regression_line import line
from moe_claims.types import Scalar


@final
@dataclass(frozen=True)
class PrintedBeside:
    """A row's ``published`` and the details that go with it."""

    published: Mapping[str, Any]
    details: Mapping[str, Scalar] = field(default_factory=dict)


def printed_for(claim: str, variant: str, paper: Paper | None = None) -> PrintedBeside:
    """What the paper has beside one variant of a claim on trainings."""
    facts = published() if paper is None else paper
    if claim == "depth-needs-experts":
        return _table6(variant.partition("-")[0], facts)
    return _schemes(variant, facts)


def _table6(what: str, facts: Paper) -> PrintedBeside:
    """The same line through the rows of Table 6 before the last: one training each, so that chance is their scatter.

    Its layers count from 1. The exact p over all orders of the rows is the audit's.
    """
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
    """Places of the dense layer, rising, and what a column of Table 6 has of them."""
    table = facts["table6_non_moe_layer"]
    depths = sorted(int(row) for row in table["rows"] if row != "none")
    return depths, [float(table["rows"][str(depth)][table["columns"].index(column)]) for depth in depths]


_UPCYCLED, _SCRATCH = "mixtral-8x7b", ("deepseek-moe-16b", "grok-1")
"""By the paper's reading of how alike their experts are (sections 4.1.1 and 4.1.2)."""


def _schemes(variant: str, facts: Paper) -> PrintedBeside:
    if variant == "similarity":
        said = facts["text_values"]["matrix_similarity"]
        upcycled, place = said[_UPCYCLED]["mean_about"], "section 4.1.1"
        scratch = [said[model]["expert_expert_about"] for model in _SCRATCH]
    else:
        table = facts["table2_reordering"]
        upcycled, place = table[_UPCYCLED]["kendall_tau_mean"], "Table 2"
        scratch = [table[model]["kendall_tau_mean"] for model in _SCRATCH]
    names = facts["models"]
    note = (
        f"{names[_UPCYCLED]['paper_name']} less the mean of "
        f"{' and '.join(names[model]['paper_name'] for model in _SCRATCH)}: finished models that differ in much else"
    )
    return PrintedBeside(as_published(Printed(upcycled - mean(scratch), place, note), _UPCYCLED, "holds"))
