"""Models of the hub: found in the local cache, or downloaded once. Only data, never code."""

from pathlib import Path

from moe_claims.errors import ModelError

PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "special_tokens_map.json")
"""What is fetched of a repository: nothing pickled, nothing that runs."""


def snapshot(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """The local folder of a hub repository, and the SHA of its revision.

    Raises:
        ModelError: it is neither cached nor to be had (offline, unknown, gated); the
            message says which and what to do.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    at = f"{hub_id}@{revision}" if revision else hub_id
    try:
        folder = snapshot_download(hub_id, revision=revision, local_files_only=True, allow_patterns=list(PATTERNS))
    except LocalEntryNotFoundError:
        if constants.HF_HUB_OFFLINE:
            raise ModelError(
                f"'{at}' is not in the local cache and HF_HUB_OFFLINE is set: download it on a connected machine "
                f"('hf download {hub_id}') or give the folder of a copy"
            ) from None
        try:
            folder = snapshot_download(hub_id, revision=revision, allow_patterns=list(PATTERNS))
        except GatedRepoError:
            raise ModelError(f"'{at}' is gated: accept its terms on the hub and log in with 'hf auth login'") from None
        except RepositoryNotFoundError:
            raise ModelError(
                f"there is no repository '{hub_id}' on the hub that you may read: check its name"
            ) from None
        except Exception as error:  # every transport of the client has errors of its own; all mean the same here
            raise ModelError(
                f"'{at}' is not in the local cache and the hub cannot be reached ({type(error).__name__}): connect, "
                f"or give the folder of a copy"
            ) from error
    path = Path(folder)
    return path, path.name
