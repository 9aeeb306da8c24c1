"""Heat maps of expert-output similarity: by token on a short input, averaged on a long one (paper, section 5.1)."""

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import heatmaps, style
from moe_claims.figures.data import Drawing, Subject, measured_part
from moe_claims.measure.dense import append_dense

MOST_TOKENS = 8
"""Largest number of tokens that are shown; the caption says how many are left out."""


def by_token(subject: Subject) -> Drawing:
    """Cosines of the experts' outputs on each token of the short input, one row per layer."""
    read = measured_part(subject.short)
    cosines = read.routed.token_cosines
    assert cosines is not None  # the short input is measured token by token
    words = read.words[: min(MOST_TOKENS, heatmaps.columns_of_page(cosines.shape[-1]))]
    indices = subject.indices(read.routed.layers)
    shown = heatmaps.without_self(cosines[indices, : len(words)])
    colours = heatmaps.signed([shown], "cosine similarity")
    last = _last(subject, read.routed.dense_sums is not None)
    rows = [heatmaps.Row(f"layer {layer}", shown[row], colours, last) for row, layer in enumerate(subject.layers)]
    figure = heatmaps.grid("Similarity of expert outputs, token by token", subject.name, rows, words)
    tokens = cosines.shape[1]
    left_out = () if tokens == len(words) else (f"The first {len(words)} of {tokens} tokens are shown.",)
    return Drawing(figure, (style.named(subject.layers, len(read.routed.layers)), *left_out, _whose(subject)))


def averaged(subject: Subject) -> Drawing:
    """Angular similarity of the experts' outputs, averaged over all tokens of the text, one map per layer."""
    routed = measured_part(subject.text).routed
    mean = routed.angular_mean
    if routed.dense_sums is not None:
        mean = append_dense(mean, routed.dense_sums.sum(axis=1) / routed.lengths.sum())
    shown = heatmaps.without_self(mean[subject.indices(routed.layers)])
    row = heatmaps.Row(
        "outputs", shown, heatmaps.rising([shown], "angular similarity"), _last(subject, routed.dense_sums is not None)
    )
    columns = [f"layer {layer}" for layer in subject.layers]
    figure = heatmaps.grid("Similarity of expert outputs, averaged over tokens", subject.name, [row], columns)
    tokens = f"Mean over {routed.lengths.sum():,} tokens of {len(routed.lengths)} sequences."
    return Drawing(figure, (style.named(subject.layers, len(routed.layers)), tokens, _whose(subject)))


def _last(subject: Subject, is_there: bool) -> str | None:
    return None if isinstance(subject.reference, MoeClaimsError) or not is_there else subject.reference.label


def _whose(subject: Subject) -> str:
    reference = subject.reference
    if isinstance(reference, MoeClaimsError):
        return f"No row beside the experts: {reference}."
    return f"{reference.label}, last, is {style.inert(reference.name)} on the same hidden states."
