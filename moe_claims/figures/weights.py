"""Heat maps of weight similarity by layer: matrices, mean neurons, router rows (paper, sections 4.1.1 and 4.2)."""

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import look, maps
from moe_claims.figures.subject import Drawing, Subject
from moe_claims.models.families import Role

_ORDER: tuple[Role, ...] = ("up", "act", "down")


def matrix_similarity(subject: Subject) -> Drawing:
    """Cosines of flattened matrices, one row per matrix, one column per layer, one scale for all."""
    found = {role: subject.similarity("matrix", role) for role in _ORDER}
    places = subject.places(subject.weights.layers)
    shown = {role: maps.without_self(values[places]) for role, (values, _) in found.items()}
    colours = maps.signed(list(shown.values()), "cosine similarity")
    rows = [maps.Row(look.ROLE_NAMES[role], shown[role], colours, found[role][1]) for role in _ORDER]
    figure = maps.grid("Similarity of the experts' matrices", subject.name, rows, _columns(subject))
    return Drawing(figure, (_layers(subject), *_reference(subject, "matrix")))


def mean_similarity(subject: Subject) -> Drawing:
    """Cosines of mean neurons and of router rows, each row of maps with its own scale."""
    found = {role: subject.similarity("mean", role) for role in _ORDER}
    places = subject.places(subject.weights.layers)
    rows = []
    for role, (values, last) in found.items():
        shown = maps.without_self(values[places])
        label = f"cosine, mean of {look.ROLE_NAMES[role]}"
        rows.append(maps.Row(f"mean {look.ROLE_NAMES[role]}", shown, maps.signed([shown], label), last))
    router = maps.without_self(subject.weights.router[places])
    rows.append(maps.Row("router W_g", router, maps.signed([router], "cosine, router rows")))
    figure = maps.grid("Similarity of mean neurons and of router rows", subject.name, rows, _columns(subject))
    return Drawing(figure, (_layers(subject), *_reference(subject, "mean")))


def _columns(subject: Subject) -> list[str]:
    return [f"layer {layer}" for layer in subject.layers]


def _layers(subject: Subject) -> str:
    return look.named(subject.layers, len(subject.weights.layers))


def _reference(subject: Subject, level: str) -> tuple[str, ...]:
    """Whose row is last, or why there is none."""
    reference = subject.reference
    if isinstance(reference, MoeClaimsError):
        return (f"No row beside the experts: {reference}.",)
    if not getattr(reference.weights, level):
        return (f"{reference.label} is left out: its matrices have another shape than an expert's.",)
    return (f"{reference.label}, last, is {look.inert(reference.name)}.",)
