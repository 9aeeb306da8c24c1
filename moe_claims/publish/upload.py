"""Uploads results to a dataset on the hub, in one commit."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, final

from moe_claims import __version__
from moe_claims.errors import HubError, UsageError
from moe_claims.publish import dataset_card
from moe_claims.publish.renaming import renamed
from moe_claims.publish.scan import check_paths, check_tokens, holds_path, holds_token
from moe_claims.report import markdown, results

CARD = "README.md"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"(?=.{{3,96}}$)(?!.*(?:--|\\.\\.|\\.git$)){_NAME}/{_NAME}")
"""Valid names ``org/name`` of repositories on the hub."""


@final
@dataclass(frozen=True)
class Parcel:
    """The files to upload and their destination."""

    to: str
    """``org/name`` of the dataset."""
    folder: str
    """Folder of this run in the dataset."""
    files: Mapping[str, bytes]
    """Path in the dataset → content. The card among them is sent only if the dataset has none."""
    message: str
    """Commit message."""
    public: bool
    """Whether the dataset is to be public."""

    @property
    def visibility(self) -> str:
        """``public`` or ``private``."""
        return "public" if self.public else "private"


def packed(
    document: dict[str, Any], who: str, to: str, *, message: str | None, public: bool, rename: Sequence[str] = ()
) -> Parcel:
    """Checks a results document and prepares its files, without network access.

    Args:
        document: parsed JSON.
        who: name of the document, for messages.
        to: ``org/name`` of the dataset.
        message: commit message; None for the name of the run.
        public: whether the dataset is to be public.
        rename: ``OLD=NEW`` each, names that are replaced before anything is looked for.

    Raises:
        UsageError: the document breaks the schema or contains a path or a token, or a name is not valid.
    """
    from huggingface_hub import get_token

    own = get_token()
    secrets = () if own is None else (own,)
    _check_repository(to)
    check_tokens(document, who, secrets=secrets)
    results.check(document, who)
    document = renamed(document, rename, who)
    check_tokens(document, who, secrets=secrets)
    check_paths(document, who)
    content = results.as_text(document).encode()
    run = f"{_date(document['created'], who)}-{hashlib.sha256(content).hexdigest()[:12]}"
    said = f"Results {run}" if message is None else " ".join(message.split())
    if not said or holds_token(said, secrets) or holds_path(said):
        raise UsageError("--message is empty, or holds what looks like a path or a token: give another")
    folder = f"runs/{run}"
    files = {
        CARD: dataset_card.card(to).encode(),
        f"{folder}/results.json": content,
        f"{folder}/report.md": markdown.render(document).encode(),
        f"{folder}/{dataset_card.ROWS}": dataset_card.rows(document, run).encode(),
    }
    return Parcel(to, folder, files, said, public)


def _date(created: str, who: str) -> str:
    try:
        return datetime.fromisoformat(created).astimezone(UTC).date().isoformat()
    except (ValueError, OverflowError):
        raise UsageError(f"'{who}' is not published: created is no time stamp such as 2026-01-02T03:04:05Z") from None


def _check_repository(to: str) -> None:
    if not _REPOSITORY.fullmatch(to):
        raise UsageError(f"--to '{to}' cannot be the name of a dataset on the hub: give org/name")


def described(parcel: Parcel) -> str:
    """Text that describes the upload, for users who decide whether to send it."""
    width = max(map(len, parcel.files))
    only = "  (only if the dataset has none)"
    lines = [
        f"  {path.ljust(width)}  {len(content):>9,} bytes{only if path == CARD else ''}"
        for path, content in parcel.files.items()
    ]
    return "\n".join(
        [
            f"to the dataset {parcel.to}, which must be {parcel.visibility} and is made so if there is none:",
            *lines,
            f"in one commit: {parcel.message}",
        ]
    )


def send(parcel: Parcel) -> str:
    """Uploads all files in one commit, so that all or none arrive; returns a message on the result.

    Raises:
        HubError: the hub cannot be reached or refuses, or the dataset has another visibility.
    """
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubError("nothing can be published while HF_HUB_OFFLINE is set: unset it")
    if get_token() is None:
        raise HubError(
            "publishing needs a token of the hub that may write: log in with 'hf auth login' or set HF_TOKEN"
        )
    api = HfApi(library_name="moe_claims", library_version=__version__)
    try:
        state = _state(api, parcel)
    except HubError:
        raise
    except Exception as error:  # the client's transports have different exceptions; all mean the same here
        raise _refusal(error, f"nothing was published in '{parcel.to}'") from None
    there = {sibling.rfilename for sibling in state.siblings or ()}
    if f"{parcel.folder}/results.json" in there:
        return f"nothing was sent: {parcel.to} has these results already, in {parcel.folder}"
    try:
        _commit(api, parcel, {path: content for path, content in parcel.files.items() if path not in there}, state)
    except Exception as error:
        raise _refusal(error, _in_doubt(error, parcel.to)) from None
    return f"published in {parcel.to} ({parcel.visibility}), in {parcel.folder}"


def _state(api: Any, parcel: Parcel) -> Any:
    """The hub's description of the dataset, which is created if missing."""
    state = _known(api, parcel.to)
    if state is None:
        api.create_repo(parcel.to, repo_type="dataset", private=not parcel.public, exist_ok=True)
        state = api.dataset_info(parcel.to)
    _check_visibility(bool(state.private), parcel)
    return state


def _commit(api: Any, parcel: Parcel, files: Mapping[str, bytes], state: Any) -> None:
    from huggingface_hub import CommitOperationAdd

    api.create_commit(
        parcel.to,
        [CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in files.items()],
        commit_message=parcel.message,
        repo_type="dataset",
        # On top of the checked state, so that a concurrent commit of someone else is never overwritten.
        parent_commit=state.sha,
    )


def _known(api: Any, to: str) -> Any:
    """The hub's description of a dataset; None if it does not exist."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.dataset_info(to)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            return None
        raise


def _check_visibility(private: bool, parcel: Parcel) -> None:
    if not private and not parcel.public:
        raise HubError(
            f"nothing was sent: '{parcel.to}' is public, and --public was not given; give it if everyone may read the "
            "results, or name another dataset"
        )
    if private and parcel.public:
        raise HubError(
            f"nothing was sent: '{parcel.to}' is private, and --public does not change that; leave it out, or make the "
            "dataset public on the hub"
        )


_STATUS = {
    401: "does not accept the token: log in again with 'hf auth login', or set HF_TOKEN to one that is valid",
    403: "does not let the token write there: give it write access to that dataset or organisation",
    404: "knows no such dataset or organisation: check the name",
    409: "says that somebody else has just changed the dataset: run the command again",
    412: "says that somebody else has just changed the dataset: run the command again",
}


def _refusal(error: Exception, what: str) -> HubError:
    """A HubError for an exception, without the server's text, which may repeat what it was sent."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return HubError(f"{what}: the hub {_STATUS.get(status, f'answers {status}: try again later')}")
    # The exceptions of huggingface_hub and of its HTTP client have a common base, whichever client it uses.
    if isinstance(error, (HfHubHTTPError.__bases__[0], OSError)):
        return HubError(f"{what}: the hub cannot be reached ({type(error).__name__}): check the network and try again")
    return HubError(f"{what}: the hub answers something else than was asked for ({type(error).__name__})")


def _in_doubt(error: Exception, to: str) -> str:
    """Says whether a failed commit was published: not if the hub refused it; otherwise it is unknown."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
        return f"nothing was published in '{to}'"
    return f"whether the results are in '{to}' is not known, all or none (given again, they are not sent twice)"
