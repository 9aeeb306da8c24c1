"""Audits of Tables 4, 6 and 7: parameter counts, benchmark averages and the decline with depth.

Parameter counts include matrices only (attention, feed-forward, router, embeddings): norms and
biases add less than 0.01 % to any of these models. Counts are in parameters, or
in billions (B) if they are compared with a printed value.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

from moe_claims.packs.look_into_moes.audits.rounding import (
    ALPHA,
    TWO_DIGITS,
    Paper,
    by_model,
    columns,
    paper_name,
    rounding_error,
)
from moe_claims.packs.look_into_moes.paper import Architecture, architecture, published
from moe_claims.types import Audit, AuditOutcome

BILLION = 1e9


def activated_parameters(paper: Paper | None = None) -> Audit:
    """Audit of Table 4's activated parameters against each MoE model's architecture.

    A printed value agrees if, allowing for its rounding, it lies between the count without embeddings and
    the count with both of them. The totals, counted by the same rule, serve as control: they are
    within half a percent of the printed totals.
    """
    facts = published() if paper is None else paper
    models = [model for model, row in facts["models"].items() if "top_k" in row]
    shapes = {model: architecture(model, facts) for model in models}
    printed = {model: facts["models"][model]["activated_params_b"] for model in models}
    tolerance = {model: rounding_error(value) for model, value in printed.items()}
    bare = {model: _weights(shape, shape.top_k) / BILLION for model, shape in shapes.items()}
    full = {model: bare[model] + _embeddings(shape) / BILLION for model, shape in shapes.items()}
    totals = _totals(facts, shapes)
    shared_out = {m: totals["printed"][m] * shape.top_k / shape.routed_experts for m, shape in shapes.items()}
    off = [m for m in models if not bare[m] - tolerance[m] <= printed[m] <= full[m] + tolerance[m]]
    remarks = [
        f"{paper_name(facts, m)} has {full[m] / printed[m]:.2f} times the printed value"
        # xAI calls a quarter of Grok-1's weights active: 2 of 8 experts, as if the same held for attention.
        + (", which is its total times top-k / E" if abs(printed[m] - shared_out[m]) <= tolerance[m] else "")
        for m in off
    ]
    return Audit(
        id="activated-parameters",
        statement="Activated parameters per token, by model, in billions.",
        source="Table 4 against the architectures",
        outcome=AuditOutcome.DISAGREES if off else AuditOutcome.AGREES,
        printed=by_model(facts, printed, "g"),
        recomputed=f"with embeddings {by_model(facts, full, '.2f')}; without {by_model(facts, bare, '.2f')}",
        reason=("; ".join(remarks) or "The architectures give all printed values") + ".",
        values=columns(printed_b=printed, without_embeddings_b=bare, with_embeddings_b=full, rounding_b=tolerance)
        | columns(**{f"total_{column}_b": values for column, values in totals.items()})
        | columns(total_times_share_chosen_b=shared_out),
    )


def total_parameters(paper: Paper | None = None) -> Audit:
    """Audit of Table 7's stated total against its own architecture, with tied and with separate embeddings."""
    facts = published() if paper is None else paper
    table = facts["table7_architecture"]
    hidden, stated = table["hidden_size"], float(table["stated_total_params_b"])
    attention = 2 * hidden * table["head_dim"] * (table["q_head"] + table["kv_head"])
    experts = table["num_routed_expert"] + table["num_shared_expert"]
    layer = attention + experts * 3 * hidden * table["moe_hidden_dim"] + hidden * table["num_routed_expert"]
    embedding = table["vocab_size"] * hidden
    tied = (table["num_layers"] * layer + embedding) / BILLION
    untied = tied + embedding / BILLION
    tolerance = rounding_error(table["stated_total_params_b"])
    fits = {"separate": abs(untied - stated) <= tolerance, "tied": abs(tied - stated) <= tolerance}
    chosen = " or ".join(name for name, fit in fits.items() if fit)
    return Audit(
        id="total-parameters",
        statement=f"The models trained for Table 6 have {stated} B parameters.",
        source="Table 7 on its own",
        outcome=AuditOutcome.AGREES if chosen else AuditOutcome.DISAGREES,
        printed=f"{stated} B",
        recomputed=f"{untied:.3f} B with separate, {tied:.3f} B with tied embeddings",
        reason=f"The stated total fits {chosen} embeddings."
        if chosen
        else "The stated total fits neither tied nor separate embeddings.",
        values={"stated_b": stated, "untied_b": untied, "tied_b": tied, "rounding_b": tolerance, **fits},
    )


def bench_averages(paper: Paper | None = None) -> Audit:
    """Audit of Table 6's averages against the means of its four benchmarks."""
    facts = published() if paper is None else paper
    column = facts["table6_non_moe_layer"]["columns"].index("bench_avg")
    rows = {name: [float(value) for value in row] for name, row in facts["table6_non_moe_layer"]["rows"].items()}
    printed = {name: row[column] for name, row in rows.items()}
    recomputed = {name: sum(row[column + 1 :]) / len(row[column + 1 :]) for name, row in rows.items()}
    # The mean of values rounded to ±0.005 is off by at most 0.005, and the printed mean was rounded again.
    tolerance = 2 * TWO_DIGITS
    off = [name for name in rows if abs(printed[name] - recomputed[name]) > tolerance]
    return Audit(
        id="bench-averages",
        statement="The average is the mean of HellaSwag, MMLU, GSM8K and C-Eval.",
        source="Table 6 on its own",
        outcome=AuditOutcome.DISAGREES if off else AuditOutcome.AGREES,
        printed=", ".join(f"{value:.2f}" for value in printed.values()),
        recomputed=", ".join(f"{value:.4f}" for value in recomputed.values()),
        reason=f"{len(rows) - len(off)} of {len(rows)} rows agree within rounding.",
        values={"tolerance": tolerance} | columns(printed=printed, recomputed=recomputed),
    )


def decline_with_depth(paper: Paper | None = None) -> Audit:
    """Audit of Table 6's statement 'the deeper the dense layer the worse, but for the last', on rows before the last.

    Null: the same results in any other order of the rows, enumerated; statistic: Kendall's count of
    pairs in the claimed order, which rounding cannot reverse. The statement rests on two
    summaries, the average and the perplexity, so the level of each test is divided by two.
    """
    facts = published() if paper is None else paper
    table = facts["table6_non_moe_layer"]
    every_depth = sorted(int(row) for row in table["rows"] if row != "none")
    losses = [-float(table["rows"][str(depth)][table["columns"].index("bench_avg")]) for depth in every_depth]
    perplexities = [float(table["rows"][str(depth)][table["columns"].index("ppl")]) for depth in every_depth]
    depths, falls = every_depth[:-1], losses[:-1]
    tau_average, p_average, smallest = _rising(falls)
    tau_perplexity, p_perplexity, _ = _rising(perplexities[:-1])
    tau_with_last, p_with_last, _ = _rising(losses)
    level = ALPHA / 2
    if tau_average <= 0:
        outcome, reason = AuditOutcome.DISAGREES, "The averages do not fall with depth."
    elif p_average <= level:
        outcome, reason = AuditOutcome.AGREES, "The fall with depth is more than the order of rows gives by chance."
    else:
        outcome = AuditOutcome.LACKS_POWER
        reason = (
            f"{len(depths)} rows in {'the claimed' if tau_average == 1.0 else 'this'} order have p = {p_average:.3f}, "
            f"no order of {len(depths)} rows can go below {smallest:.3f}, and the level is {level}."
        )
    return Audit(
        id="decline-with-depth",
        statement="Replacing one MoE layer by a dense one hurts more the deeper it lies, except the last.",
        source="Table 6, Figure 5",
        outcome=outcome,
        printed=", ".join(f"layer {depth}: {-value:.2f}" for depth, value in zip(depths, falls, strict=True)),
        recomputed=f"Kendall τ of the average with depth {-tau_average:+.2f}, of the perplexity {tau_perplexity:+.2f}",
        reason=reason,
        values={
            "rows": len(depths),
            "tau_average": -tau_average,
            "p_average": p_average,
            "tau_perplexity": tau_perplexity,
            "p_perplexity": p_perplexity,
            "tau_average_with_last_row": -tau_with_last,
            "p_average_with_last_row": p_with_last,
            "smallest_p": smallest,
            "level": level,
            "rounding": TWO_DIGITS,
        },
    )


def _rising(values: Sequence[float]) -> tuple[float, float, float]:
    """Kendall τ_a of values with their order, its exact one-sided p, and the smallest p that any order can reach."""
    observed = _concordance(values)
    orders = [_concordance(order) for order in permutations(values)]
    pairs = len(values) * (len(values) - 1) // 2
    return (
        observed / pairs,
        sum(order >= observed for order in orders) / len(orders),
        orders.count(max(orders)) / len(orders),
    )


def _concordance(values: Sequence[float]) -> int:
    """Number of pairs in rising order minus pairs in falling order; ties count as neither."""
    return sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))


def _weights(shape: Architecture, experts: int) -> int:
    """Parameters of all layers without embeddings, counting ``experts`` routed experts per MoE layer."""
    heads = shape.attention.query_heads + shape.attention.kv_heads
    attention = 2 * shape.hidden * shape.attention.head_dim * heads
    dense = 3 * shape.hidden * shape.dense_intermediate
    routed = 3 * shape.hidden * shape.intermediate * (experts + shape.shared_experts)
    moe = routed + shape.hidden * shape.routed_experts
    return shape.total_layers * attention + shape.moe_layers * moe + (shape.total_layers - shape.moe_layers) * dense


def _embeddings(shape: Architecture) -> int:
    """Parameters of input embedding and output projection, counted once if they are one matrix."""
    return shape.attention.vocabulary * shape.hidden * (1 if shape.attention.tied_embeddings else 2)


def _totals(facts: Paper, shapes: Mapping[str, Architecture]) -> dict[str, dict[str, float]]:
    """Total parameters in billions: printed, and recomputed without and with embeddings."""
    bare = {model: _weights(shape, shape.routed_experts) / BILLION for model, shape in shapes.items()}
    return {
        "printed": {model: facts["models"][model]["total_params_b"] for model in shapes},
        "without_embeddings": bare,
        "with_embeddings": {model: bare[model] + _embeddings(shape) / BILLION for model, shape in shapes.items()},
    }
