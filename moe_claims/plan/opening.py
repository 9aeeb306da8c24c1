"""Opens what a run would measure, and no weight of it: headers, configs, tokenizers and texts."""

from dataclasses import dataclass
from typing import TypeVar, final

from moe_claims import texts
from moe_claims.errors import MoeClaimsError
from moe_claims.measure.sequences import read_text
from moe_claims.models.dense import DenseModel, open_dense
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import ModelRef
from moe_claims.models.stored_sizes import Sizes, dense_sizes
from moe_claims.settings import Settings

T = TypeVar("T")


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """One MoE model that a run would measure."""

    model: OpenModel
    sizes: Sizes
    experts: int
    """E."""
    top_k: int
    neurons: int
    """m, of one expert."""
    width: int
    """d, of hidden states."""
    texts: dict[str, texts.Sequences | MoeClaimsError]
    """The run's texts as the model reads them, or why it cannot."""

    @property
    def name(self) -> str:
        """The name that the user gave."""
        return self.model.ref.name

    @property
    def layers(self) -> tuple[int, ...]:
        """True indices of the MoE layers."""
        return self.model.checkpoint.moe_layers

    @property
    def vocabulary(self) -> int:
        """Rows of the model's head."""
        return int(self.model.checkpoint.text_config["vocab_size"])

    @property
    def known(self) -> bool:
        """Whether the store's keys can be had without a look at weights on disk."""
        return self.model.made is not None or self.model.revision_sha is not None or self.sizes.kind == "memory"

    @property
    def where(self) -> str:
        """Where its weights are read from."""
        if self.sizes.kind == "memory":
            return "memory"
        if self.model.ref.kind == "hub":
            return "the hub's cache" if self.sizes.kind == "folder" else "the network"
        return "the package" if self.model.ref.kind == "embedded" else "its folder"


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """The dense model that experts would be compared with."""

    model: DenseModel
    ref: ModelRef
    size: int
    """Bytes of its feed-forward matrices, as stored."""

    @property
    def stored(self) -> bool:
        """Whether its weights are read from files, and not in memory."""
        return self.ref.kind != "synthetic"

    @property
    def known(self) -> bool:
        """Whether it is identified without a look at weights on disk."""
        return self.ref.kind in ("hub", "synthetic")


@final
@dataclass(frozen=True, eq=False)
class Opened:
    """Everything that a run would measure, opened; an error stands where something cannot be."""

    models: dict[str, Subject | MoeClaimsError]
    dense: Reference | MoeClaimsError | None
    second: Subject | MoeClaimsError | None


def open_all(settings: Settings) -> Opened:
    """Opens the models and texts of a run; over a network come headers, configs and texts, and no weights."""

    def subject(ref: ModelRef) -> Subject | MoeClaimsError:
        try:
            return _subject(ref, settings)
        except MoeClaimsError as error:
            return error

    return Opened(
        {ref.name: subject(ref) for ref in settings.models},
        None if settings.dense_reference is None else _reference(settings.dense_reference),
        None if settings.second_model is None else subject(settings.second_model),
    )


def _subject(ref: ModelRef, settings: Settings) -> Subject:
    model = open_model(ref)
    checkpoint = model.checkpoint
    experts, width, neurons = checkpoint.shape(checkpoint.moe_layers[0], "down")
    read: dict[str, texts.Sequences | MoeClaimsError] = {}
    for name in settings.texts:
        try:
            read[name] = read_text(model, name, tokens=settings.tokens)
        except MoeClaimsError as error:
            read[name] = error
    return Subject(model, Sizes.of(checkpoint), experts, checkpoint.top_k, neurons, width, read)


def _reference(ref: ModelRef) -> Reference | MoeClaimsError:
    try:
        dense = open_dense(ref)
        return Reference(dense, ref, dense_sizes(dense))
    except MoeClaimsError as error:
        return error
