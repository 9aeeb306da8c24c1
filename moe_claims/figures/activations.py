"""Figure of intermediate states |σ(W_act x)| by layer and expert: active share and magnitude (paper, Appendix H)."""

from moe_claims.figures import heatmaps
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.figures.layer_maps import side_by_side
from moe_claims.packs.look_into_moes.paper import published


def intermediate_states(subject: Subject) -> Drawing:
    """Two maps of layers × experts: share of active neurons, and mean magnitude."""
    routed = measured_part(subject.text).routed
    tokens = int(routed.lengths.sum())
    share = 100 * routed.activation_share
    size = routed.magnitude_sums.sum(axis=1) / tokens
    figure = side_by_side(
        "Intermediate states of the experts",
        subject.name,
        routed.layers,
        (
            ("active neurons, %", share, heatmaps.rising([share], "neurons with |σ(W_act x)| > 0.001, %")),
            ("mean magnitude", size, heatmaps.Colours("cividis", 0.0, float(size.max()) or 1.0, "mean |σ(W_act x)|")),
        ),
    )
    printed = published()["text_values"]["activation_ratio_abs_gt_1e-3"]
    shares = ", ".join(f"{100 * value:.1f} % in {model}" for model, value in printed.items())
    return Drawing(
        figure,
        (f"All {len(routed.layers)} MoE layers; means over {tokens:,} tokens.", f"The paper's shares: {shares}."),
    )
