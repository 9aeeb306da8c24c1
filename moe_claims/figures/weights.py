"""Heat maps of weight similarity by layer: matrices, mean neurons, router rows (paper, sections 4.1.1 and 4.2)."""

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import heatmaps, style
from moe_claims.figures.data import Drawing, Subject
from moe_claims.models.families.table import Role

_ORDER: tuple[Role, ...] = ("up", "act", "down")


def matrix_similarity(subject: Subject) -> Drawing:
    """Cosines of flattened matrices, one row per matrix, one column per layer, one scale for all."""
    found = {role: subject.similarity("matrix", role) for role in _ORDER}
    indices = subject.indices(subject.weights.layers)
    shown = {role: heatmaps.without_self(values[indices]) for role, (values, _) in found.items()}
    colours = heatmaps.signed(list(shown.values()), "cosine similarity")
    rows = [heatmaps.Row(style.ROLE_NAMES[role], shown[role], colours, found[role][1]) for role in _ORDER]
    figure = heatmaps.grid("Similarity of the experts' matrices", subject.name, rows, _columns(subject))
    return Drawing(figure, (_layers(subject), *_reference(subject, "matrix")))


def mean_similarity(subject: Subject) -> Drawing:
    """Cosines of mean neurons and of router rows, each row of maps with its own scale."""
    found = {role: subject.similarity("mean", role) for role in _ORDER}
    indices = subject.indices(subject.weights.layers)
    rows = []
    for role, (values, last) in found.items():
        shown = heatmaps.without_self(values[indices])
        label = f"cosine, mean of {style.ROLE_NAMES[role]}"
        rows.append(heatmaps.Row(f"mean {style.ROLE_NAMES[role]}", shown, heatmaps.signed([shown], label), last))
    router = heatmaps.without_self(subject.weights.router[indices])
    rows.append(heatmaps.Row("router W_g", router, heatmaps.signed([router], "cosine, router rows")))
    figure = heatmaps.grid("Similarity of mean neurons and of router rows", subject.name, rows, _columns(subject))
    return Drawing(figure, (_layers(subject), *_reference(subject, "mean")))


def _columns(subject: Subject) -> list[str]:
    return [f"layer {layer}" for layer in subject.layers]


def _layers(subject: Subject) -> str:
    return style.named(subject.layers, len(subject.weights.layers))


def _reference(subject: Subject, level: str) -> tuple[str, ...]:
    """Note on the reference in the last row and column, or on why there is none."""
    reference = subject.reference
    if isinstance(reference, MoeClaimsError):
        return (f"No row beside the experts: {reference}.",)
    if not getattr(reference.weights, level):
        return (f"{reference.label} is left out: its matrices have another shape than an expert's.",)
    return (f"{reference.label}, last, is {style.inert(reference.name)}.",)
