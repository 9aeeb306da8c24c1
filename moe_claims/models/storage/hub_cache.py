"""Finds hub models in the local cache, downloads them, and explains refusals. Fetches only data, never code."""

import os.path
from pathlib import Path

from moe_claims.errors import ModelError, ModelNotFoundError
from moe_claims.models.storage import shards

PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json")
"""Files of a repository that are fetched: no pickles and no code."""


def cached(hub_id: str, revision: str | None) -> tuple[Path, str] | None:
    """Folder of a cached repository and the SHA of its commit; None if it is not completely in the local cache.

    If ``HF_HUB_OFFLINE`` is set, an incomplete folder is returned too, so that later errors can name what it lacks.

    Raises:
        ModelError: the repository name is invalid, or nothing is cached and ``HF_HUB_OFFLINE`` is set.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=list(PATTERNS))
        )
    except HFValidationError:
        raise ModelNotFoundError(
            f"'{hub_id}' cannot be the name of a repository on the hub: check its spelling"
        ) from None
    except LocalEntryNotFoundError:
        if constants.HF_HUB_OFFLINE:
            at = f"{hub_id}@{revision}" if revision else hub_id
            chosen = f" --revision {revision}" if revision else ""
            raise ModelNotFoundError(
                f"'{at}' is not in the local cache and HF_HUB_OFFLINE is set: download it on a connected machine "
                f"('hf download {hub_id}{chosen}') or give the folder of a copy"
            ) from None
        return None
    return (folder, folder.name) if constants.HF_HUB_OFFLINE or _complete(folder) else None


def snapshot(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """Folder of a repository in the local cache, and the SHA of its commit; downloads it if needed.

    Raises:
        ModelError: the repository is not cached and cannot be downloaded (offline, unknown, gated); the message says
            why and what to do.
    """
    from huggingface_hub import snapshot_download

    found = cached(hub_id, revision)
    if found is not None:
        return found
    try:
        path = Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(PATTERNS)))
    except Exception as error:  # the client raises different errors for each transport; all mean the same here
        refused = refusal(error, hub_id, revision)
        if refused is not None:
            raise refused from None
        at = f"{hub_id}@{revision}" if revision else hub_id
        raise ModelNotFoundError(
            f"'{at}' is not in the local cache and the hub cannot be reached ({type(error).__name__}): connect, "
            f"or give the folder of a copy"
        ) from error
    return path, path.name


def branches(hub_id: str) -> list[str]:
    """Names of a repository's branches; some models publish one training checkpoint per branch.

    Raises:
        ModelError: the repository does not exist or is gated, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"the revisions of '{hub_id}' cannot be listed while HF_HUB_OFFLINE is set: name them")
    try:
        return [branch.name for branch in HfApi().list_repo_refs(hub_id).branches]
    except Exception as error:  # the client raises different errors for each transport; all mean the same here
        refused = refusal(error, hub_id, None)
        if refused is not None:
            raise refused from None
        raise ModelError(
            f"the revisions of '{hub_id}' cannot be listed, the hub cannot be reached ({type(error).__name__}): "
            "connect, or name them"
        ) from error


def refusal(error: Exception, hub_id: str, revision: str | None, file: str | None = None) -> ModelError | None:
    """Turns an error answer of the hub into a message for the user.

    Args:
        error: the exception that huggingface_hub raised.
        hub_id: name of the repository.
        revision: requested revision.
        file: requested file, if the request was for one.

    Returns:
        The error to raise; None if ``error`` is not an answer of the hub.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{hub_id}@{revision}" if revision else hub_id
    if isinstance(error, GatedRepoError):
        return ModelNotFoundError(f"'{at}' is gated: accept its terms on the hub and log in with 'hf auth login'")
    if isinstance(error, RepositoryNotFoundError):
        return ModelNotFoundError(f"there is no repository '{hub_id}' on the hub that you may read: check its name")
    if isinstance(error, RevisionNotFoundError):
        return ModelNotFoundError(f"the repository '{hub_id}' has no revision '{revision}': check its name")
    if isinstance(error, HfHubHTTPError):
        what = f"{file} of '{at}'" if file else f"'{at}'"
        if isinstance(error, EntryNotFoundError):
            return ModelError(f"{what} is listed on the hub, but is not there: try another revision")
        status = error.response.status_code
        return ModelError(f"{what} cannot be read from the hub: the server answers {status}; check your access to it")
    return None


def _complete(folder: Path) -> bool:
    """Whether a cached snapshot has its config and all weights; partial downloads do not."""
    index = folder / shards.INDEX
    if not index.exists():
        return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))
    try:
        wanted = set(shards.weight_map(index.read_bytes(), str(index)).values())
    except ModelError:
        return False
    return all(os.path.exists(folder / file) for file in {"config.json", *wanted})  # noqa: PTH110 - pathlib raises for a name too long
