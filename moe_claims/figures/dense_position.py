"""Figure of the cost of one dense layer by its position: our trainings, and the paper's Table 6 (Figure 5)."""

from typing import Any

from moe_claims.errors import NotComparableError
from moe_claims.figures import style
from moe_claims.figures.data import Drawing, Subject
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.dense_layer_position import excess
from moe_claims.packs.look_into_moes.trained.results import load

_MATCHED = {"total": (style.BLUE, "o", "-"), "activated": (style.VERMILION, "s", "--")}


def dense_position(subject: Subject) -> Drawing:
    """Excess loss over the position of the dense layer, per seed and mean; beside it, the paper's two scores."""
    document = load("dense-layer-position")
    figure = style.page(
        11.2,
        style.HEADING + 3.1,
        "One dense layer in place of an MoE layer",
        "trainings made for the question, and Table 6 as published; the same for every model",
    )
    ours, bench, perplexity = (style.box(figure, 0.75 + 3.65 * i, style.HEADING + 0.3, 2.85, 2.1) for i in range(3))
    seeds = _ours(ours, document)
    rows, columns = published()["table6_non_moe_layer"]["rows"], published()["table6_non_moe_layer"]["columns"]
    for axis, column, label in ((bench, "bench_avg", "mean of four benchmarks, %"), (perplexity, "ppl", "perplexity")):
        _theirs(axis, {position: row[columns.index(column)] for position, row in rows.items()}, label)
    recipe = document["recipe"]["settings"]
    of = f"{document['layers']} layers, top {recipe['num_experts_per_tok']} of {recipe['num_experts']} experts"
    return Drawing(
        figure,
        (
            f"Left: {seeds} seed{'' if seeds == 1 else 's'} of small models ({of}, {document['recipe']['steps']:,} "
            "steps), layers counted from 0.",
            "Middle and right: one model per place, as printed; its layers are numbered as in Table 6.",
        ),
    )


def _ours(axis: Any, document: dict[str, Any]) -> int:
    seeds = 0
    for matched, (colour, marker, line) in _MATCHED.items():
        try:
            found = excess(document, matched)
        except NotComparableError:  # the experiment has no models that are matched in this way
            continue
        seeds = max(seeds, len(found.nats))
        for nats in found.nats:
            axis.plot(found.positions, nats, color=colour, linewidth=0.6, alpha=0.45, linestyle=line)
        label = f"as many {matched} parameters"
        mean = found.nats.mean(axis=0)
        axis.plot(found.positions, mean, color=colour, marker=marker, linestyle=line, linewidth=1.8, label=label)
        axis.plot(found.positions[-1:], mean[-1:], **_ring(colour))
    if not seeds:
        raise NotComparableError("no model of the experiment has a dense layer")
    axis.axhline(0, color=style.GREY, linewidth=0.8, linestyle="--")
    axis.set_xticks(range(document["layers"]))
    axis.set_xlabel("place of the dense layer")
    axis.set_ylabel("loss over all-MoE, nats per token")
    axis.set_title("our trainings (thin: one seed; thick: mean)")
    axis.legend(fontsize=7)
    return seeds


def _theirs(axis: Any, values: dict[str, float], label: str) -> None:
    positions = sorted(int(position) for position in values if position != "none")
    found = [values[str(position)] for position in positions]
    axis.plot(positions, found, color=style.PURPLE, marker="D", linewidth=1.6)
    axis.plot(positions[-1:], found[-1:], **_ring(style.PURPLE))
    axis.axhline(values["none"], color=style.GREY, linewidth=0.8, linestyle="--", label="all-MoE")
    axis.set_xticks(positions)
    axis.set_xlabel("place of the dense layer")
    axis.set_ylabel(label)
    axis.set_title("paper, Table 6")
    axis.legend(fontsize=7)


def _ring(colour: str) -> dict[str, Any]:
    """Plot options of a ring around the last layer."""
    return {"marker": "o", "markersize": 11, "markerfacecolor": "none", "color": colour, "linestyle": ""}
