"""``python -m moe_claims figures``: measures models and draws their figures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import texts
from moe_claims.errors import ModelError, MoeClaimsError, UsageError
from moe_claims.figures import files, gallery_page, style
from moe_claims.figures.data import Read, Reference, Subject
from moe_claims.measure.dense import Blocks
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.sequences import corpus_card, read_passage
from moe_claims.measure.store import Keeper, Store
from moe_claims.models.dense import open_dense
from moe_claims.models.device import device_of, kind_of
from moe_claims.models.embedded import DENSE
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import resolve
from moe_claims.models.shared_experts import SharedExperts
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.report import results
from moe_claims.settings import Settings

MOST_LAYERS = 12
"""Largest number of layers that are drawn individually."""
DEFAULT_LAYERS = 6
"""Number of layers that are drawn individually if none are named."""
SHORT = "short input"
"""Name of the paper's short input."""
_WORDS = 64
"""Number of tokens whose text is kept, for labels."""


@final
@dataclass(frozen=True)
class Wanted:
    """The options of the command: what to draw, and the files to write."""

    out: Path
    """Folder of the figures."""
    page: Path
    """Markdown file with the figures and captions."""
    layers: tuple[int, ...] | None
    """Indices in the model of the layers to draw individually; None for a selection with the first and the last."""
    formats: tuple[str, ...]
    """File suffixes."""
    command: str
    """The command line, which the page shows."""
    must_fit: bool
    """Whether a dense reference of another shape is an error, because it was named explicitly."""


def draw(settings: Settings, wanted: Wanted, keeper: Keeper | None = None) -> str:
    """Measures and draws every model of the settings, on the first text.

    Returns:
        A summary, one line per model.

    Raises:
        MoeClaimsError: a model cannot be opened or its weights measured, or it lacks a requested layer.
    """
    measurer = Measurer(settings, Store(settings.cache) if keeper is None else keeper)
    opened = [open_model(ref, download=settings.download) for ref in settings.models]
    drawn = [layers_of(model, wanted.layers) for model in opened]  # checked before anything is measured
    blocks = [reference_of(model, settings, must_fit=wanted.must_fit) for model in opened]
    with _made(wanted.out, wanted.page.parent):
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
            models.append(gallery_page.Model(model.card(), corpus, _prompt(), named, layers, tuple(written)))
            count = sum(figure.reason is None for figure in written)
            lines.append(f"{model.ref.name}: {count} of {len(written)} kinds of figures drawn")
    said = environment(settings)
    results.write_text(
        wanted.out / "figures.json", gallery_page.as_json(gallery_page.document(models, said, wanted.out))
    )
    results.write_text(wanted.page, gallery_page.render(models, said, wanted.page.parent, wanted.command))
    return "\n".join([*lines, f"written to {wanted.out}, with captions in {wanted.page}"])


@contextmanager
def _made(*folders: Path) -> Iterator[None]:
    """Creates folders; those that are still empty after an error are removed again."""
    new = [folder for folder in folders if not folder.exists()]
    try:
        for folder in folders:
            _make(folder)
        yield
    except BaseException:
        for folder in reversed(new):
            with suppress(OSError):  # it holds something, or was not made
                folder.rmdir()
        raise


def _make(folder: Path) -> None:
    """Creates a folder before anything is measured.

    Raises:
        UsageError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder '{folder}' cannot be made ({error.strerror}): give another one") from None


def layers_of(model: OpenModel, asked: Sequence[int] | None) -> tuple[int, ...]:
    """The layers of a model that are drawn individually.

    Raises:
        UsageError: the model has no such MoE layer, or there are more than ``MOST_LAYERS``.
    """
    layers = model.checkpoint.moe_layers
    if asked is None:
        return style.spread(layers, DEFAULT_LAYERS)
    for layer in asked:
        if layer not in layers:
            there = ", ".join(map(str, layers)) if len(layers) <= MOST_LAYERS else f"{layers[0]} to {layers[-1]}"
            raise UsageError(f"--layers {layer}: '{model.ref.name}' has no such MoE layer; it has {there}")
    if len(asked) > MOST_LAYERS:
        raise UsageError(f"--layers names {len(asked)} layers: a page holds {MOST_LAYERS}; give fewer, in several runs")
    return tuple(asked)


def reference_of(model: OpenModel, settings: Settings, *, must_fit: bool) -> tuple[str, Blocks] | MoeClaimsError:
    """(Label, blocks) of the dense reference if it has the model's shape, else of the model's shared experts."""
    ref = settings.dense_reference
    if ref is None and model.ref.kind == "embedded":  # also if the run has other models
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
    """Measures a model for its figures; returns the measurements and the card of the long text.

    Parts that could not be measured are errors in the result.

    Raises:
        MoeClaimsError: the weights cannot be measured.
    """
    blocks = None if isinstance(reference, MoeClaimsError) else reference[1]
    weights = measurer.parts.weights(model)
    compared: Reference | MoeClaimsError
    if isinstance(reference, MoeClaimsError):
        compared = reference
    else:
        compared = Reference(reference[0], reference[1].name, measurer.parts.against(model, reference[1]))
    text: Read | MoeClaimsError
    short: Read | MoeClaimsError
    card = None
    try:
        sequences = measurer.sequences(model, measurer.settings.texts[0])
        routed = measurer.parts.routed(model, sequences, blocks)
        card = corpus_card(model, sequences, routed)
        text = Read(sequences.name, _words(model, sequences.ids[0]), routed)
    except MoeClaimsError as error:  # figures of weights need no text
        text = error
    try:
        prompt = short_sequence(model)
        routed = measurer.parts.routed(model, prompt, blocks, token_cosines=True)
        short = Read(SHORT, _words(model, prompt.ids[0]), routed)
    except MoeClaimsError as error:
        short = error
    projections = measurer.parts.projections(model, layers, blocks, seed=measurer.settings.seed)
    name, hub_id = model.ref.name, model.hub_id
    return Subject(name, hub_id, tuple(layers), weights, compared, short, text, projections), card


def _prompt() -> str:
    return str(published()["protocol"]["short_input"])


def short_sequence(model: OpenModel) -> texts.Sequences:
    """The paper's short input as one sequence of the model's tokenizer.

    Raises:
        ModelError: the model has no tokenizer.
        UsageError: the tokenizer does not belong to the model.
    """
    return read_passage(model, SHORT, _prompt())


def _words(model: OpenModel, ids: Sequence[int]) -> tuple[str, ...]:
    """The first tokens as readable text; tokens that are no whole characters, or without a tokenizer, as ``#id``."""
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
        "device": kind_of(device_of(settings.device)),
        "dtype": settings.dtype,
        "tokens": settings.tokens,
        "seed": settings.seed,
    }
