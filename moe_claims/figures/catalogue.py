"""The table ``KINDS`` of all kinds of figures, with their counterparts in the paper and their captions.

The numbers of the paper's figures are the same as in the records of the claims; where these name only a section, so
does the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from moe_claims.figures import activations, dense_position, depth, norms, outputs, projections, routing, weights
from moe_claims.figures.data import Drawing, Subject

_SELF = "Cells of an expert with itself are grey; experts stand in checkpoint order, which means nothing. "


@final
@dataclass(frozen=True)
class Kind:
    """One kind of figure."""

    id: str
    """Identifier and name of its files, without suffix."""
    title: str
    counterpart: str
    """Figure, table or section of arXiv 2406.18219."""
    caption: str
    """Description of what is drawn and what to look for."""
    draw: Callable[[Subject], Drawing]
    """Draws the figure; raises MoeClaimsError if the subject lacks a part that it needs."""
    claims: tuple[str, ...] = ()
    """Ids of the claims that the figure is about."""


KINDS = (
    Kind(
        "matrix-similarity",
        "Similarity of the experts' matrices",
        "Figure 1 (section 4.1.1)",
        "Cosine similarity between the flattened matrices of any two experts, by layer and matrix, all maps on one "
        f"scale. {_SELF}Look for three rows that share one pattern, for a cross (an expert unlike all others), "
        "and for maps that pale with depth.",
        weights.matrix_similarity,
        (
            "matrices-agree",
            "expert-similarity-level",
            "special-expert",
            "weight-diversity-depth",
            "weight-last-layer-outlier",
            "dense-reference",
        ),
    ),
    Kind(
        "mean-similarity",
        "Similarity of mean neurons and of router rows",
        "heat maps of section 4.2 and Appendices D and E",
        "Cosine similarity between the experts' mean neurons (rows 1 to 3) and between their router rows (row 4). "
        f"Each row has a scale of its own: compare patterns, not shades, between rows. {_SELF}Look for a router row "
        "whose pattern is that of mean W_act.",
        weights.mean_similarity,
        ("neuron-experts", "neuron-experts-sign", "mean-mirrors-matrix", "gate-act-opposite-trends", "gate-last-layer"),
    ),
    Kind(
        "association",
        "Router rows and mean neurons: association by layer",
        "Tables 3 and 5 (section 4.2)",
        "Pearson r, over pairs of experts, between the similarity of router rows and that of mean neurons, for each "
        "matrix. Look for W_act above the two others.",
        depth.association,
        ("neuron-experts", "neuron-experts-sign"),
    ),
    Kind(
        "expert-projection",
        "Experts in two principal components",
        "projections of matrices (Appendix C)",
        "Each expert's flattened matrix is a dot with its number in the plane of the first two principal "
        "components; every weight is standardised over the points first. Axes have no unit and differ from panel to "
        "panel; their shares of the variance are printed. Look for experts apart from a cluster, and whether these are "
        "the crosses of the similarity maps.",
        projections.experts,
        ("pca-clusters", "special-expert"),
    ),
    Kind(
        "neuron-projection",
        "Neurons in two principal components",
        "projections of neurons (Appendix C)",
        "Each point is a neuron, coloured by its expert; every weight is standardised over the points first. Axes "
        "have no unit and differ from panel to panel; their shares of the variance are printed. Look for colours that"
        " do not mix: experts whose neurons lie in places of their own.",
        projections.neurons,
    ),
    Kind(
        "outputs-by-token",
        "Similarity of expert outputs, token by token",
        "Figure 2 (section 5.1)",
        "Cosine similarity between the outputs of any two experts on one token of the paper's short input, for all "
        f"experts, chosen or not; all maps on one scale. {_SELF}Look for pale maps in deep layers, a last layer unlike "
        "them, and a few experts that are alike on a token.",
        outputs.by_token,
        ("chosen-alike", "diversity-depth", "last-layer-outlier"),
    ),
    Kind(
        "outputs-averaged",
        "Similarity of expert outputs, averaged over tokens",
        "Figure 3 (section 5.1)",
        "Angular similarity, 1 − arccos(cosine)/π, between the outputs of any two experts on the same token, averaged"
        f" over all tokens; 0.5 is a right angle. {_SELF}Look for the pattern of the weight maps, and for falling "
        "similarity up to the last layer but one.",
        outputs.averaged,
        ("weights-mirror-outputs", "diversity-depth", "last-layer-outlier", "dense-reference"),
    ),
    Kind(
        "norms-and-scores",
        "Output norms and router scores, token by token",
        "Figure 4 (section 5.2)",
        "Left, the Euclidean norm of every expert's output on each token of the short input, before the gate weight; "
        "middle, its score, the softmax of the router logits over all experts; white dots mark the chosen experts. "
        "Scales differ from layer to layer. Right, one against the other (scores that spread far on a logarithmic "
        "axis). Look for dots on the brightest cells of both maps, and for points that rise to the right.",
        norms.by_token,
        ("router-norm", "top1-confidence", "norm-grows-with-depth"),
    ),
    Kind(
        "rank-counts",
        "Rank of output norm against rank of router score",
        "Figure 10 (section 5.2, Appendix G)",
        "Within each token and layer, experts are ranked by output norm and by score (1: smallest); cells show how "
        "often a norm rank meets a score rank, all layers summed, relative to chance. Left, this model; right, the "
        "counts published for Mixtral 8x7B. Look for a red diagonal: the larger the norm, the higher the score.",
        norms.rank_counts,
        ("router-norm", "router-norm-diagonal", "router-norm-extremes"),
    ),
    Kind(
        "dense-layer",
        "One dense layer in place of an MoE layer",
        "Figure 5 and Table 6",
        "What it costs to make one layer dense, by its place. Left, loss on held-out text over that of the all-MoE "
        "model of the same seed; middle and right, the paper's scores. A ring marks the last place, a dashed line the"
        " all-MoE model. Look for a cost that grows with depth, save in the last place.",
        dense_position.dense_position,
        ("depth-needs-experts",),
    ),
    Kind(
        "intermediate-states",
        "Intermediate states of the experts",
        "section on intermediate states (Appendix H)",
        "Left, the share of neurons with |σ(W_act x)| > 0.001; right, the mean of |σ(W_act x)|, by layer and expert, "
        "over all tokens, whether or not they chose the expert. Look for shares near those of the paper, and for "
        "magnitudes that grow downwards.",
        activations.intermediate_states,
        ("activation-ratio", "activation-grows-with-depth"),
    ),
    Kind(
        "routing-patterns",
        "Experts chosen by each token of one sequence",
        "routing patterns (Appendix I)",
        "Which experts each token chose, by layer; the darkest is the one with the highest score. Look for horizontal "
        "runs (several tokens in a row to one expert) and for rows that stay empty.",
        routing.patterns,
        ("routing-runs", "balanced-routing"),
    ),
    Kind(
        "loads",
        "Loads of the experts",
        "section on routing (Appendix I)",
        "Left, how often each expert was chosen over the even share, as a power of two: red more, blue less, white "
        "even. Right, its mean softmax score. Look for experts that are blue in many layers, which is uneven use, and"
        " whether they score low too.",
        routing.loads,
        ("balanced-routing", "special-expert-chosen-less"),
    ),
    Kind(
        "depth-outputs",
        "Similarity of expert outputs over depth",
        "Figures 2, 3 and 9 (section 5.1), as a curve",
        "Mean angular similarity of two experts' outputs, by layer. Look for a fall up to the last layer but one, and"
        " a last layer (ring) far above it.",
        depth.outputs,
        ("diversity-depth", "last-layer-outlier"),
    ),
    Kind(
        "depth-weights",
        "Similarity of weights over depth",
        "Figure 1 (section 4.1.1) and Appendix E, as curves",
        "Mean cosine similarity of two experts' flattened matrices (left), and of their mean neurons and router rows "
        "(right), by layer. Look for falling curves, a last layer (ring) off their line, and for W_act and the router"
        " rows that go opposite ways on the right.",
        depth.weights,
        ("weight-diversity-depth", "weight-last-layer-outlier", "gate-act-opposite-trends", "gate-last-layer"),
    ),
    Kind(
        "depth-norms",
        "Output norms over depth",
        "section 5.2, as curves",
        "Left, mean Euclidean norm of the experts' outputs; right, how much a token's norms vary between experts. Look "
        "for norms that grow with depth, and for a spread that is largest in the last layer (ring).",
        depth.norms,
        ("norm-grows-with-depth", "last-layer-norm-spread"),
    ),
    Kind(
        "depth-scores",
        "Router scores over depth",
        "Figure 10 and section 5.2, by layer",
        "Left, how well the ranks of norms and scores agree within a token; right, the two highest softmax scores. "
        "Look for agreement above the dotted line in all layers, and for a first score far above the second.",
        depth.router_norm,
        ("router-norm", "top1-confidence"),
    ),
    Kind(
        "depth-activations",
        "Intermediate states over depth",
        "section on intermediate states (Appendix H), as curves",
        "Mean of |σ(W_act x)| (left) and share of active neurons (right), by layer. Look for a magnitude that grows "
        "with depth.",
        depth.activations,
        ("activation-grows-with-depth", "activation-ratio"),
    ),
)
