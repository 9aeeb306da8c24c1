"""``python -m moe_claims figures``: models are measured as their settings ask for, and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import texts
from moe_claims.errors import ModelError, MoeClaimsError, UsageError
from moe_claims.figures import files, look, page
from moe_claims.figures.subject import Read, Reference, Subject
from moe_claims.measure.dense import Blocks
from moe_claims.measure.store import Keeper, Store
from moe_claims.measuring import Measurer, corpus_card
from moe_claims.models.dense import open_dense
from moe_claims.models.device import device_of
from moe_claims.models.embedded import DENSE
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import resolve
from moe_claims.models.shared import SharedExperts
from moe_claims.paper import published
from moe_claims.report import results
from moe_claims.settings import Settings

MOST_LAYERS = 12
"""Drawn one by one: a page holds no more."""
DEFAULT_LAYERS = 6
SHORT = "short input"
_WORDS = 64
"""Tokens of a sequence whose words are kept, for labels."""


@final
@dataclass(frozen=True)
class Wanted:
    """What is to be drawn, and where to."""

    out: Path
    page: Path
    layers: tuple[int, ...] | None
    """True indices; None for some, first and last among them."""
    formats: tuple[str, ...]
    command: str
    """As it was given, for whoever makes the page again."""
    must_fit: bool
    """Whether a dense reference that does not fit is an error, because it was asked for by name."""


def draw(settings: Settings, wanted: Wanted, keeper: Keeper | None = None) -> str:
    """Measures and draws every model of the settings, on their first text.

    Returns:
        One line for each model.

    Raises:
        MoeClaimsError: a model cannot be opened or its weights measured, or has not the layers asked for.
    """
    measurer = Measurer(settings, Store(settings.cache) if keeper is None else keeper)
    opened = [open_model(ref, download=settings.download) for ref in settings.models]
    drawn = [layers_of(model, wanted.layers) for model in opened]  # a wrong number is said before anything is measured
    blocks = [_reference(model, settings, must_fit=wanted.must_fit) for model in opened]
    for place in (wanted.out, wanted.page.parent):
        _make(place)
    several = len(opened) > 1
    folders = files.folder_names([model.ref.name for model in opened])
    models, lines = [], []
    for model, layers, reference, folder in zip(opened, drawn, blocks, folders, strict=True):
        subject, corpus = measured(measurer, model, layers, reference)
        written = files.write(subject, wanted.out / folder if several else wanted.out, wanted.formats)
        named = (
            None
            if isinstance(subject.reference, MoeClaimsError)
            else f"{subject.reference.label}: {subject.reference.name}"
        )
        models.append(page.Model(model.card(), corpus, _prompt(), named, layers, tuple(written)))
        count = sum(figure.reason is None for figure in written)
        lines.append(f"{model.ref.name}: {count} of {len(written)} kinds of figures drawn")
    said = environment(settings)
    results.write_text(wanted.out / "figures.json", page.as_json(page.document(models, said, wanted.out)))
    results.write_text(wanted.page, page.render(models, said, wanted.page.parent, wanted.command))
    return "\n".join([*lines, f"written to {wanted.out}, with captions in {wanted.page}"])


def _make(folder: Path) -> None:
    """Before anything is measured.

    Raises:
        UsageError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder '{folder}' cannot be made ({error.strerror}): give another one") from None


def layers_of(model: OpenModel, asked: Sequence[int] | None) -> tuple[int, ...]:
    """The layers of a model that are drawn one by one.

    Raises:
        UsageError: it has no such MoE layer, or they are too many for a page.
    """
    layers = model.checkpoint.moe_layers
    if asked is None:
        return look.spread(layers, DEFAULT_LAYERS)
    for layer in asked:
        if layer not in layers:
            there = ", ".join(map(str, layers)) if len(layers) <= MOST_LAYERS else f"{layers[0]} to {layers[-1]}"
            raise UsageError(f"--layers {layer}: '{model.ref.name}' has no such MoE layer; it has {there}")
    if len(asked) > MOST_LAYERS:
        raise UsageError(f"--layers names {len(asked)} layers: a page holds {MOST_LAYERS}; give fewer, in several runs")
    return tuple(asked)


def _reference(model: OpenModel, settings: Settings, *, must_fit: bool) -> tuple[str, Blocks] | MoeClaimsError:
    """The dense reference if it fits, else the model's own shared experts, with its label."""
    ref = settings.dense_reference
    if ref is None and model.ref.kind == "embedded":  # whatever other models are drawn beside it
        ref = resolve(DENSE)
    if ref is not None:
        dense = open_dense(ref, download=settings.download)
        if must_fit:
            dense.check_fits(model.checkpoint)
        if dense.fits(model.checkpoint):
            return "F", dense
    try:
        return "SE", SharedExperts(model.checkpoint)
    except ModelError:
        return ModelError(
            "no dense model of its shape was named (--dense-reference), and it has no shared experts to compare"
        )


def measured(
    measurer: Measurer, model: OpenModel, layers: Sequence[int], reference: tuple[str, Blocks] | MoeClaimsError
) -> tuple[Subject, Mapping[str, Any] | None]:
    """What is drawn of a model, and what the page says about the long text.

    Raises:
        MoeClaimsError: the weights cannot be measured. What stops anything else is kept in its place.
    """
    blocks = None if isinstance(reference, MoeClaimsError) else reference[1]
    weights = measurer.weights(model)
    compared: Reference | MoeClaimsError
    if isinstance(reference, MoeClaimsError):
        compared = reference
    else:
        compared = Reference(reference[0], reference[1].name, measurer.against(model, reference[1]))
    text: Read | MoeClaimsError
    short: Read | MoeClaimsError
    card = None
    try:
        sequences = measurer.sequences(model, measurer.settings.texts[0])
        routed = measurer.routed(model, sequences, blocks)
        card = corpus_card(model, sequences, routed)
        text = Read(sequences.name, _words(model, sequences.ids[0]), routed)
    except MoeClaimsError as error:  # the figures of weights stand without it
        text = error
    try:
        prompt = short_sequence(model)
        routed = measurer.routed(model, prompt, blocks, token_cosines=True)
        short = Read(SHORT, _words(model, prompt.ids[0]), routed)
    except MoeClaimsError as error:
        short = error
    projections = measurer.projections(model, layers, blocks, seed=measurer.settings.seed)
    name, hub_id = model.ref.name, model.hub_id
    return Subject(name, hub_id, tuple(layers), weights, compared, short, text, projections), card


def _prompt() -> str:
    return str(published()["protocol"]["short_input"])


def short_sequence(model: OpenModel) -> texts.Sequences:
    """The paper's short input as one sequence, as the model's own tokenizer reads it.

    Raises:
        ModelError: the model has no tokenizer.
        UsageError: the tokenizer is not the model's.
    """
    passage = texts.Text(SHORT, (_prompt(),))
    ids = tuple(model.encoder()(passage.passages[0]))[: model.context]
    texts.check_ids([ids], model.checkpoint.vocabulary, f"the {SHORT} as '{model.ref.name}' reads it")
    return texts.Sequences(SHORT, (ids,), passage.sha256, 1, 0)


def _words(model: OpenModel, ids: Sequence[int]) -> tuple[str, ...]:
    """The first tokens as a reader should see them; those that are no whole signs, or of no tokenizer, by number."""
    some = list(ids[:_WORDS])
    written = [""] * len(some) if model.spell is None else model.spell(some)
    return tuple(_word(word, token) for word, token in zip(written, some, strict=True))


def _word(written: str, token: int) -> str:
    if not written or "\ufffd" in written:
        return f"#{token}"
    return written.strip() or written.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")


def environment(settings: Settings) -> dict[str, Any]:
    """Versions and options that the figures depend on."""
    from importlib.metadata import version

    from moe_claims import __version__

    packages = ("torch", "transformers", "numpy", "matplotlib")
    return {
        "moe_claims": __version__,
        **{name: version(name) for name in packages},
        "device": device_of(settings.device),
        "dtype": settings.dtype,
        "tokens": settings.tokens,
        "seed": settings.seed,
    }
