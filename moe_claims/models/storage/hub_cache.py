"""Models of the hub: found in the local cache, or downloaded once. Only data, never code."""

import os.path
from pathlib import Path

from moe_claims.errors import ModelError
from moe_claims.models.storage import shards

PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json")
"""What is fetched of a repository: nothing pickled, nothing that runs."""


def cached(hub_id: str, revision: str | None) -> tuple[Path, str] | None:
    """The folder of a complete repository in the local cache, and the SHA of its revision; None where there is none.

    On a machine that is told to stay offline, an incomplete one counts: what it lacks is said by name.

    Raises:
        ModelError: the name is impossible, or there is none and ``HF_HUB_OFFLINE`` is set.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=list(PATTERNS))
        )
    except HFValidationError:
        raise ModelError(f"'{hub_id}' cannot be the name of a repository on the hub: check its spelling") from None
    except LocalEntryNotFoundError:
        if constants.HF_HUB_OFFLINE:
            at = f"{hub_id}@{revision}" if revision else hub_id
            chosen = f" --revision {revision}" if revision else ""
            raise ModelError(
                f"'{at}' is not in the local cache and HF_HUB_OFFLINE is set: download it on a connected machine "
                f"('hf download {hub_id}{chosen}') or give the folder of a copy"
            ) from None
        return None
    return (folder, folder.name) if constants.HF_HUB_OFFLINE or _complete(folder) else None


def snapshot(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """The folder of a repository, downloaded into the local cache if it is not there, and the SHA of its revision.

    Raises:
        ModelError: it is neither cached nor to be had (offline, unknown, gated); the
            message says which and what to do.
    """
    from huggingface_hub import snapshot_download

    found = cached(hub_id, revision)
    if found is not None:
        return found
    try:
        path = Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(PATTERNS)))
    except Exception as error:  # every transport of the client has errors of its own; all mean the same here
        refused = refusal(error, hub_id, revision)
        if refused is not None:
            raise refused from None
        at = f"{hub_id}@{revision}" if revision else hub_id
        raise ModelError(
            f"'{at}' is not in the local cache and the hub cannot be reached ({type(error).__name__}): connect, "
            f"or give the folder of a copy"
        ) from error
    return path, path.name


def branches(hub_id: str) -> list[str]:
    """The names of a repository's branches; trainings publish a checkpoint in each.

    Raises:
        ModelError: there is no such repository, it is gated, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"the revisions of '{hub_id}' cannot be listed while HF_HUB_OFFLINE is set: name them")
    try:
        return [branch.name for branch in HfApi().list_repo_refs(hub_id).branches]
    except Exception as error:  # every transport of the client has errors of its own; all mean the same here
        refused = refusal(error, hub_id, None)
        if refused is not None:
            raise refused from None
        raise ModelError(
            f"the revisions of '{hub_id}' cannot be listed, the hub cannot be reached ({type(error).__name__}): "
            "connect, or name them"
        ) from error


def refusal(error: Exception, hub_id: str, revision: str | None, file: str | None = None) -> ModelError | None:
    """What a refusal of the hub means to the user; None where it is none."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{hub_id}@{revision}" if revision else hub_id
    if isinstance(error, GatedRepoError):
        return ModelError(f"'{at}' is gated: accept its terms on the hub and log in with 'hf auth login'")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"there is no repository '{hub_id}' on the hub that you may read: check its name")
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"the repository '{hub_id}' has no revision '{revision}': check its name")
    if isinstance(error, HfHubHTTPError):
        what = f"{file} of '{at}'" if file else f"'{at}'"
        if isinstance(error, EntryNotFoundError):
            return ModelError(f"{what} is listed on the hub, but is not there: try another revision")
        status = error.response.status_code
        return ModelError(f"{what} cannot be read from the hub: the server answers {status}; check your access to it")
    return None


def _complete(folder: Path) -> bool:
    """Whether a cached snapshot holds the weights; one of a tokenizer alone, or half a download, does not."""
    index = folder / shards.INDEX
    if not index.exists():
        return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))
    try:
        wanted = set(shards.weight_map(index.read_bytes(), str(index)).values())
    except ModelError:
        return False
    return all(os.path.exists(folder / file) for file in {"config.json", *wanted})  # noqa: PTH110 - too long a name
