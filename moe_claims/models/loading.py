"""From what the user asked for to an open model: checkpoint, tokenizer and provenance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, final

from moe_claims.errors import ModelError, UsageError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, family_of
from moe_claims.models.names import ModelRef
from moe_claims.models.storage.location import Place, place_of
from moe_claims.models.storage.tensor_source import MemorySource, TensorSource
from moe_claims.models.synthetic import build, random_init
from moe_claims.models.synthetic.random_init_by_layer import FreshSource

Encoder = Callable[[str], Sequence[int]]
Speller = Callable[[Sequence[int]], list[str]]

CONTROL_SEED = 20240618
"""Seed of every random-initialisation control."""
_IN_MEMORY = 100_000_000
"""Parameters of experts up to which the control is made at once."""
_LARGEST_CONTROL = 100_000_000_000
"""Parameters of experts up to which it is made at all: a core draws some hundred million in a second."""


@final
@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model that can be measured."""

    ref: ModelRef
    checkpoint: Checkpoint
    revision_sha: str | None
    """Of a model from the hub."""
    encode: Encoder | None
    """Text → token ids; None where the model came without a tokenizer."""
    context: int
    """Longest sequence that the model takes."""
    made: str | None = None
    """Where weights follow from config and versions: from what else. Hashing them would be to make them all."""
    note: str | None = None
    """What a reader of the report must know about the weights."""
    spell: Speller | None = None
    """Token ids → each one as the tokenizer writes it; None where there is none, or its tokens are no words."""

    @property
    def hub_id(self) -> str | None:
        """The repository, for models from the hub."""
        return self.ref.target if self.ref.kind == "hub" else None

    @property
    def identity(self) -> str:
        """What the weights are: what they were made from, revision of the hub, or hash of all weights."""
        if self.made is not None:
            return self.made
        return self.checkpoint.sha256 if self.revision_sha is None else f"{self.hub_id}@{self.revision_sha}"

    def encoder(self) -> Encoder:
        """The tokenizer.

        Raises:
            ModelError: there is none.
        """
        if self.encode is None:
            raise ModelError(
                f"'{self.ref.name}' has no tokenizer (tokenizer.json): add it to the folder, or measure the weights "
                "alone; 'python -m moe_claims measure' also takes --token-ids"
            )
        return self.encode

    def card(self) -> dict[str, Any]:
        """What the report says about the model."""
        config = self.checkpoint.text_config
        return {
            "name": self.ref.name,
            "kind": self.ref.kind,
            "hub_id": self.hub_id,
            "revision_sha": self.revision_sha,
            "family": self.checkpoint.family.model_type,
            "moe_layers": len(self.checkpoint.moe_layers),
            "total_layers": config.get("num_hidden_layers"),
            "experts": self.checkpoint.experts,
            "top_k": self.checkpoint.top_k,
            "hidden": config.get("hidden_size"),
            "intermediate": config.get("moe_intermediate_size") or config.get("intermediate_size"),
            # A revision of the hub says what the weights are; hashing them would read every byte once more.
            "weights_sha256": self.checkpoint.sha256 if self.revision_sha is None else None,
            "note": self.note,
        }


def open_model(ref: ModelRef, *, download: bool = False) -> OpenModel:
    """Opens a model: reads its config and index, or makes it; weights are read when asked for.

    Args:
        ref: the model.
        download: whether a model of the hub that is not in its local cache is downloaded; else its weights are
            read over the network whenever they are asked for.

    Raises:
        UsageError: a synthetic model with impossible options.
        ModelError: the model cannot be found or read; the message says why.
    """
    if ref.kind == "synthetic":
        return _synthetic(ref)
    place = place_of(ref, download=download)
    config = place.config()
    family_of(config, ref.name)  # a dense model is refused before its weights are looked at
    checkpoint = Checkpoint(ref.name, config, place.tensors())
    context = int(checkpoint.text_config.get("max_position_embeddings", 2048))
    encode, spell = _tokenizer(place)
    return OpenModel(ref, checkpoint, place.sha, encode, context, note=place.note, spell=spell)


def _synthetic(ref: ModelRef) -> OpenModel:
    if ref.revision:
        raise UsageError(f"'{ref.name}': synthetic models have no revisions")
    shape = build.shape_of(ref.target, ref.options)
    config = build.config_of(shape)
    if ref.target == "random-init":
        weights = random_init.initialise(config, seed=shape.seed)
    else:
        weights = build.make(ref.target, shape)
    checkpoint = Checkpoint(ref.name, config, MemorySource(weights))
    encode = build.encode_by_topic if ref.target == "planted" else build.encode
    return OpenModel(ref, checkpoint, None, lambda text: encode(text, shape.vocabulary), shape.context)


def _tokenizer(place: Place) -> tuple[Encoder | None, Speller | None]:
    """The tokenizer saved beside a model; only ``tokenizer.json``, which is data."""
    found = place.tokenizer()
    if found is None:
        return None, None
    from tokenizers import Tokenizer

    path, content = found
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises bare Exception for a malformed file
        raise ModelError(f"'{path}' cannot be read as a tokenizer: {error}") from None

    # Saved settings of training batches: passages are cut where it is counted, and never filled up.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> Sequence[int]:
        ids: list[int] = tokenizer.encode(text).ids
        return ids

    def spell(ids: Sequence[int]) -> list[str]:
        written: list[str] = [tokenizer.decode([token], skip_special_tokens=False) for token in ids]
        return written

    return encode, spell


def random_control(model: OpenModel) -> OpenModel:
    """The same architecture freshly initialised, read with the same tokenizer.

    Small ones are made in memory, larger ones layer by layer whenever a layer is needed.

    Raises:
        ModelError: making it would take hours.
    """
    checkpoint = model.checkpoint
    config = {key: value for key, value in checkpoint.config.items() if key not in ("dtype", "torch_dtype")}
    first = checkpoint.moe_layers[0]
    size = sum(prod(checkpoint.shape(first, role)) for role in ROLES) * len(checkpoint.moe_layers)
    if size > _LARGEST_CONTROL:
        raise ModelError(
            f"the random-initialisation control of '{model.ref.name}' has over {size / 1e9:.0f} billion parameters, "
            "which would take hours to make"
        )
    name = f"{model.ref.name} (random init)"
    source: TensorSource
    made = None
    if size > _IN_MEMORY:
        source, made = FreshSource(config, seed=CONTROL_SEED, of=checkpoint), f"fresh, seed {CONTROL_SEED}"
    else:
        source = MemorySource(random_init.initialise(config, seed=CONTROL_SEED, of=checkpoint))
    return OpenModel(
        ModelRef(name, "synthetic", "random-init"),
        Checkpoint(name, config, source),
        None,
        model.encode,
        model.context,
        made,
    )
