"""Where a saved model is: a folder, or a repository on the hub that is read over the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from moe_claims.models.config import read_config
from moe_claims.models.embedded import point_named
from moe_claims.models.names import ModelRef
from moe_claims.models.storage import training_checkpoints
from moe_claims.models.storage.tensor_source import MemorySource, SafetensorsFolder, TensorSource


class Place(Protocol):
    """What a saved model consists of; each part is read when it is asked for, and errors are ``ModelError``."""

    @property
    def sha(self) -> str | None:
        """Of the commit, where it comes from the hub."""

    @property
    def note(self) -> str | None:
        """What a reader must know about the weights; None where they are simply those that were published."""

    def config(self) -> dict[str, Any]:
        """The parsed ``config.json``."""

    def tokenizer(self) -> tuple[str, bytes] | None:
        """``tokenizer.json`` as (its name for messages, content); None where there is none."""

    def tensors(self) -> TensorSource:
        """The weights."""


@final
@dataclass(frozen=True)
class Folder:
    """A model on disk."""

    path: Path
    sha: str | None = None
    note: str | None = None

    def config(self) -> dict[str, Any]:
        return read_config(self.path)

    def tokenizer(self) -> tuple[str, bytes] | None:
        path = self.path / "tokenizer.json"
        return (str(path), path.read_bytes()) if path.exists() else None

    def tensors(self) -> SafetensorsFolder:
        return SafetensorsFolder(self.path)


@final
@dataclass(frozen=True)
class Point:
    """A point along the training of the model in a folder."""

    folder: Folder
    step: int
    sha: str | None = None
    note: str | None = training_checkpoints.NOTE

    def config(self) -> dict[str, Any]:
        return self.folder.config()

    def tokenizer(self) -> tuple[str, bytes] | None:
        return self.folder.tokenizer()

    def tensors(self) -> MemorySource:
        import torch

        weights = training_checkpoints.read(self.folder.path, self.step)
        return MemorySource({name: torch.from_numpy(weight) for name, weight in weights.items()})


def place_of(ref: ModelRef, *, download: bool) -> Place:
    """Where a model that is not synthetic is.

    Args:
        ref: an embedded model, a directory, or a model of the hub.
        download: whether one of the hub that is not in its local cache is downloaded, or read over the network.

    Raises:
        ModelError: a model of the hub cannot be found; the message says why.
    """
    if ref.kind != "hub":
        folder = Folder(Path(ref.target))
        step = None if ref.revision is None else point_named(folder.path, ref.revision, ref.name)
        return folder if step is None else Point(folder, step)
    from moe_claims.models.storage import hub_cache

    if download:
        return Folder(*hub_cache.snapshot(ref.target, ref.revision))
    cached = hub_cache.cached(ref.target, ref.revision)
    if cached is not None:
        return Folder(*cached)
    from moe_claims.models.storage.hub_repository import Repository

    return Repository(ref.target, ref.revision)
