"""Opens a model from its resolved name: checkpoint, tokenizer and provenance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, final

from moe_claims.errors import ModelError, UsageError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES, family_of
from moe_claims.models.names import ModelRef
from moe_claims.models.storage.location import Location, location_of
from moe_claims.models.storage.tensor_source import MemorySource, TensorSource
from moe_claims.models.synthetic import build, random_init
from moe_claims.models.synthetic.random_init_by_layer import RandomInitSource

Encoder = Callable[[str], Sequence[int]]
TokenSpeller = Callable[[Sequence[int]], list[str]]

CONTROL_SEED = 20240618
"""Seed of every random-initialisation control."""
_IN_MEMORY = 100_000_000
"""Number of expert parameters up to which the control is kept in memory as a whole."""
_LARGEST_CONTROL = 100_000_000_000
"""Number of expert parameters up to which the control is made at all; one core draws some 10⁸ per second."""


@final
@dataclass(frozen=True, eq=False)
class OpenModel:
    """An opened model: its checkpoint, tokenizer and provenance."""

    ref: ModelRef
    checkpoint: Checkpoint
    revision_sha: str | None
    """SHA of the commit, if the model comes from the hub."""
    encode: Encoder | None
    """Function from text to token ids; None if the model has no tokenizer."""
    context: int
    """Longest sequence that the model takes, in tokens."""
    made: str | None = None
    """Identifies generated weights, together with the config, without hashing them; None for all other weights."""
    note: str | None = None
    """Remark about the weights for readers of the report."""
    spell: TokenSpeller | None = None
    """Function from token ids to the text of each token; None if the model has no tokenizer that can decode."""

    @property
    def hub_id(self) -> str | None:
        """Name of the repository, if the model comes from the hub."""
        return self.ref.target if self.ref.kind == "hub" else None

    @property
    def identity(self) -> str:
        """Identifies the weights: how they were generated, or hub id and commit, or a hash of all weights."""
        if self.made is not None:
            return self.made
        return self.checkpoint.sha256 if self.revision_sha is None else f"{self.hub_id}@{self.revision_sha}"

    def encoder(self) -> Encoder:
        """The tokenizer's ``encode``.

        Raises:
            ModelError: the model has no tokenizer.
        """
        if self.encode is None:
            raise ModelError(
                f"'{self.ref.name}' has no tokenizer (tokenizer.json): add it to the folder, or measure the weights "
                "alone; 'python -m moe_claims measure' also takes --token-ids"
            )
        return self.encode

    def card(self) -> dict[str, Any]:
        """Description of the model for the results file."""
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
            # The commit on the hub identifies the weights; hashing them would read every byte again.
            "weights_sha256": self.checkpoint.sha256 if self.revision_sha is None else None,
            "note": self.note,
        }


def open_model(ref: ModelRef, *, download: bool = False) -> OpenModel:
    """Opens an MoE model. Weights of a stored model are read later, when they are needed.

    Args:
        ref: the resolved name of the model.
        download: whether to download a hub model that is not in the local cache; if false, its weights are read over
            the network whenever they are needed.

    Raises:
        UsageError: the options of a synthetic model are invalid.
        ModelError: the model cannot be found or read; the message says why.
    """
    if ref.kind == "synthetic":
        return _synthetic(ref)
    location = location_of(ref, download=download)
    config = location.config()
    family_of(config, ref.name)  # refuses a dense model before its weights are opened
    checkpoint = Checkpoint(ref.name, config, location.tensors())
    context = int(checkpoint.text_config.get("max_position_embeddings", 2048))
    encode, spell = _tokenizer(location)
    return OpenModel(ref, checkpoint, location.sha, encode, context, note=location.note, spell=spell)


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


def _tokenizer(location: Location) -> tuple[Encoder | None, TokenSpeller | None]:
    """The tokenizer of a saved model, from ``tokenizer.json`` only, which contains no code."""
    found = location.tokenizer()
    if found is None:
        return None, None
    from tokenizers import Tokenizer

    path, content = found
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises bare Exception for a malformed file
        raise ModelError(f"'{path}' cannot be read as a tokenizer: {error}") from None

    # The file may set truncation and padding. Passages are cut elsewhere (``texts.tokenize``), where cut tokens count.
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
    """The random-initialisation control: the same architecture with random weights, and the same tokenizer.

    The weights of a small control are kept in memory; those of a larger one are generated layer by layer on demand.

    Raises:
        ModelError: the control is so large that generating it would take hours.
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
        source, made = RandomInitSource(config, seed=CONTROL_SEED, of=checkpoint), f"fresh, seed {CONTROL_SEED}"
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
