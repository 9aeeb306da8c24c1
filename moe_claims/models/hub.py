"""Models of the hub: found in the local cache, or downloaded once. Only data, never code."""

import os.path
from pathlib import Path

from moe_claims.errors import ModelError
from moe_claims.models.strict_json import read_index

PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json")
"""What is fetched of a repository: nothing pickled, nothing that runs."""


def snapshot(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """The local folder of a hub repository, and the SHA of its revision.

    Raises:
        ModelError: it is neither cached nor to be had (offline, unknown, gated); the
            message says which and what to do.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{hub_id}@{revision}" if revision else hub_id
    folder: str | None
    try:
        folder = snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=list(PATTERNS))
    except HFValidationError:
        raise ModelError(f"'{hub_id}' cannot be the name of a repository on the hub: check its spelling") from None
    except LocalEntryNotFoundError:
        folder = None
        if constants.HF_HUB_OFFLINE:
            chosen = f" --revision {revision}" if revision else ""
            raise ModelError(
                f"'{at}' is not in the local cache and HF_HUB_OFFLINE is set: download it on a connected machine "
                f"('hf download {hub_id}{chosen}') or give the folder of a copy"
            ) from None
    if folder is None or not (constants.HF_HUB_OFFLINE or _complete(Path(folder))):
        try:
            folder = snapshot_download(hub_id, revision=revision, allow_patterns=list(PATTERNS))
        except GatedRepoError:
            raise ModelError(f"'{at}' is gated: accept its terms on the hub and log in with 'hf auth login'") from None
        except RepositoryNotFoundError:
            raise ModelError(
                f"there is no repository '{hub_id}' on the hub that you may read: check its name"
            ) from None
        except RevisionNotFoundError:
            raise ModelError(f"the repository '{hub_id}' has no revision '{revision}': check its name") from None
        except Exception as error:  # every transport of the client has errors of its own; all mean the same here
            raise ModelError(
                f"'{at}' is not in the local cache and the hub cannot be reached ({type(error).__name__}): connect, "
                f"or give the folder of a copy"
            ) from error
    path = Path(folder)
    return path, path.name


def _complete(folder: Path) -> bool:
    """Whether a cached snapshot holds the weights; one of a tokenizer alone, or half a download, does not."""
    try:
        weight_map = read_index(folder)
    except ModelError:
        return False
    if weight_map is None:
        return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))
    return all(os.path.exists(folder / file) for file in {"config.json", *weight_map.values()})  # noqa: PTH110 - too long
