"""Locates a saved model: in a folder, or in a repository on the hub that is read over the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from moe_claims.models.config import read_config
from moe_claims.models.embedded import step_of
from moe_claims.models.names import ModelRef
from moe_claims.models.storage import training_checkpoints
from moe_claims.models.storage.tensor_source import MemorySource, SafetensorsFolder, TensorSource


class Location(Protocol):
    """Access to the files of a saved model. Each part is read on demand; every error is a ``ModelError``."""

    @property
    def sha(self) -> str | None:
        """SHA of the commit; None if the model does not come from the hub."""

    @property
    def note(self) -> str | None:
        """Remark about the weights for the report; None if they are exactly the published ones."""

    def config(self) -> dict[str, Any]:
        """The parsed ``config.json``."""

    def tokenizer(self) -> tuple[str, bytes] | None:
        """``tokenizer.json`` as (name for messages, content); None if the model has none."""

    def tensors(self) -> TensorSource:
        """Source of the weights."""


@final
@dataclass(frozen=True)
class Folder:
    """A model in a folder on disk."""

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
class TrainingPoint:
    """The model in a folder as it was after a certain training step."""

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


def location_of(ref: ModelRef, *, download: bool) -> Location:
    """Locates a model that is not synthetic.

    Args:
        ref: an embedded model, a directory, or a hub model.
        download: whether a hub model that is not in the local cache is downloaded instead of read over the network.

    Raises:
        ModelError: a hub model cannot be found; the message says why.
    """
    if ref.kind != "hub":
        folder = Folder(Path(ref.target))
        step = None if ref.revision is None else step_of(folder.path, ref.revision, ref.name)
        return folder if step is None else TrainingPoint(folder, step)
    from moe_claims.models.storage import hub_cache

    if download:
        return Folder(*hub_cache.snapshot(ref.target, ref.revision))
    cached = hub_cache.cached(ref.target, ref.revision)
    if cached is not None:
        return Folder(*cached)
    from moe_claims.models.storage.hub_repository import Repository

    return Repository(ref.target, ref.revision)
