"""One commit of a repository on the hub: small files whole, parts of large ones by range. Keeps nothing on disk."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any, NoReturn, TypeVar, final
from urllib.parse import urlsplit

from moe_claims.errors import ModelError, ModelNotFoundError
from moe_claims.models.config import parse_config
from moe_claims.models.storage.hub_cache import refusal
from moe_claims.models.storage.hub_tensors import RemoteSource
from moe_claims.models.storage.retry import (
    GaveUpError,
    RetryPolicy,
    StoppedError,
    TransientError,
    raise_if_transient,
    retry,
    transport,
)

T = TypeVar("T")

_SMALL = 100_000_000
"""Bytes of a file that is read whole: configurations, indices and tokenizers have far fewer."""
_STALE = (401, 403, 404, 410)
"""What a storage server answers to a signed address that is no longer good."""
_FIRST_TRIES = 5
"""Of the first request of all, which fails on a machine without a network: nobody waits a minute for that."""
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
REMEDY = "try again later, or fetch whole files once with --moe-download ('measure' takes --download)"


@final
class Repository:
    """A repository, its revision resolved to one commit: everything is read of that.

    Requests go through huggingface_hub's client, and so heed ``HF_ENDPOINT``, ``HF_TOKEN``, proxies
    and ``HF_HUB_DOWNLOAD_TIMEOUT``. The token goes to the hub alone: where the hub sends on to a
    storage server, the client leaves it out.

    Attributes:
        hub_id: ``org/name``.
        name: with the revision that was asked for, for messages.
        sha: of the commit.
        files: names of all files.

    Raises:
        ModelError: there is no such repository or revision, it is gated, or the hub cannot be reached.
    """

    note: str | None = None

    def __init__(self, hub_id: str, revision: str | None, *, patience: RetryPolicy | None = None) -> None:
        self.hub_id, self._revision = hub_id, revision
        self.name = f"{hub_id}@{revision}" if revision else hub_id
        self._patience = patience or RetryPolicy()
        self._elsewhere: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self.sha, self.files = self._resolve()

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads the same commit; signed addresses of storage servers stay in this one."""
        return self.__dict__ | {"_elsewhere": {}}

    def _resolve(self) -> tuple[str, frozenset[str]]:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import HfHubHTTPError

        def ask() -> tuple[str, frozenset[str]]:
            timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
            with transport():
                try:
                    info = HfApi().model_info(self.hub_id, revision=self._revision, timeout=timeout)
                    sha, files = str(info.sha), frozenset(file.rfilename for file in info.siblings or ())
                except HfHubHTTPError:
                    raise  # some are also a ValueError
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise TransientError(f"its answer is not understood ({type(error).__name__})", wrong=True) from None
            if not re.fullmatch("[0-9a-f]{40}", sha):
                raise TransientError("it does not say which commit that is", wrong=True)
            return sha, files

        try:
            return retry(ask, replace(self._patience, tries=min(_FIRST_TRIES, self._patience.tries)), Event())
        except GaveUpError as error:
            raise ModelNotFoundError(
                f"'{self.name}' is not in the local cache and the hub cannot be reached: {error}; connect, or give "
                "the folder of a copy"
            ) from None
        except Exception as error:
            self._refuse(error, None)

    def config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            ModelError: there is none, it is not a JSON object, or it cannot be read.
        """
        if "config.json" not in self.files:
            raise ModelError(f"'{self.name}' has no config.json: give the repository of a saved model")
        return parse_config(self.whole("config.json"), f"config.json of {self.name}")

    def tokenizer(self) -> tuple[str, bytes] | None:
        """``tokenizer.json`` as (its name for messages, content); None where there is none."""
        if "tokenizer.json" not in self.files:
            return None
        return f"tokenizer.json of {self.name}", self.whole("tokenizer.json")

    def tensors(self) -> RemoteSource:
        """The weights: their headers are read now, the tensors when they are asked for."""
        return RemoteSource(self)

    def whole(self, file: str) -> bytes:
        """A small file.

        Raises:
            ModelError: it cannot be read, or is not small.
        """

        def read() -> bytes:
            with self._answer(file, {}) as answer:
                if answer.status_code != 200:
                    raise TransientError(f"the server answers {answer.status_code}", wrong=True)
                content = bytearray()
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _SMALL:
                        raise ModelError(f"{file} of '{self.name}' has more than {_SMALL:,} bytes, which cannot be")
                if not _is_encoded(answer.headers):
                    _check_length(answer.headers, len(content))
            return bytes(content)

        return self._persist(read, file, Event())

    def size(self, file: str) -> int:
        """Bytes of a file, parts of which were read."""
        return self._sizes[file]

    def fill(self, file: str, start: int, targets: Sequence[memoryview], stop: Event) -> None:
        """Reads a part of a file into buffers, without another copy; goes on where a connection broke.

        Args:
            file: its name.
            start: first byte.
            targets: bytes, filled one after the other.
            stop: when set, ends the reading.

        Raises:
            ModelError: it cannot be read.
            StoppedError: ``stop`` was set.
        """
        sink = _Sink(targets)

        def read() -> None:
            if sink.filled == sink.size:
                return
            first, last = start + sink.filled, start + sink.size - 1
            with self._answer(file, {"Range": f"bytes={first}-{last}"}) as answer:
                self._check_range(file, first, last, answer)
                for part in answer.iter_raw():
                    if stop.is_set():
                        raise StoppedError
                    sink.write(part)
            if sink.filled < sink.size:
                raise TransientError(f"the server sends {sink.filled:,} of {sink.size:,} bytes", wrong=True)

        self._persist(read, file, stop)

    def _check_range(self, file: str, first: int, last: int, answer: Any) -> None:
        """Whether what comes is the part that was asked for, of a file as large as it was before."""
        if answer.status_code == 200:
            raise TransientError("the server, or a proxy before it, sends the whole file for a part", wrong=True)
        if answer.status_code != 206:
            raise TransientError(f"the server answers {answer.status_code}", wrong=True)
        if _is_encoded(answer.headers):
            raise TransientError("the server sends compressed data", wrong=True)
        said = answer.headers.get("content-range", "")
        found = _RANGE.fullmatch(said)
        if found is None or (int(found[1]), int(found[2])) != (first, last) or int(found[3]) <= last:
            raise TransientError(f"the server sends the range '{said[:80]}' in place of {first}-{last}", wrong=True)
        _check_length(answer.headers, last - first + 1)
        size = self._sizes.setdefault(file, int(found[3]))
        if int(found[3]) != size:
            raise TransientError(f"the file had {size:,} bytes and now has {int(found[3]):,}", wrong=True)

    @contextmanager
    def _answer(self, file: str, asked: Mapping[str, str]) -> Iterator[Any]:
        """The beginning of the hub's answer, or of that of the storage server that it named for this file."""
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        hub = hf_hub_url(self.hub_id, file, revision=self.sha)
        # Named once, it is asked directly: the hub counts requests, and a large model takes thousands.
        elsewhere = self._elsewhere.get(file)
        headers = build_hf_headers(token=False if elsewhere else None, library_name="moe_claims")
        headers |= {"Accept-Encoding": "identity", **asked}
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        stream = get_session().stream("GET", elsewhere or hub, headers=headers, timeout=timeout, follow_redirects=True)
        try:
            with transport(), stream as answer:
                if elsewhere and answer.status_code in _STALE:
                    raise TransientError(f"the server answers {answer.status_code}")
                raise_if_transient(answer.status_code, answer.headers)
                hf_raise_for_status(answer)
                if _origin(str(answer.url)) != _origin(hub):
                    self._elsewhere[file] = str(answer.url)
                yield answer
        except TransientError:
            self._elsewhere.pop(file, None)  # the hub may name another server at the next try
            raise

    def _persist(self, read: Callable[[], T], file: str, stop: Event) -> T:
        try:
            return retry(read, self._patience, stop)
        except GaveUpError as error:
            raise ModelError(f"{file} of '{self.name}' cannot be read from the hub: {error}; {REMEDY}") from None
        except (StoppedError, ModelError):
            raise
        except Exception as error:
            self._refuse(error, file)

    def _refuse(self, error: Exception, file: str | None) -> NoReturn:
        raise (refusal(error, self.hub_id, self._revision, file) or error) from None


@final
class _Sink:
    """Buffers that are filled one after the other."""

    def __init__(self, targets: Sequence[memoryview]) -> None:
        self._targets = targets
        self.size = sum(len(target) for target in targets)
        self.filled = 0
        self._at = (0, 0)

    def write(self, part: bytes) -> None:
        """Puts bytes behind those that came before.

        Raises:
            TransientError: there are more than fit.
        """
        if self.filled + len(part) > self.size:
            self.filled, self._at = 0, (0, 0)  # none of it can be trusted
            raise TransientError(f"the server sends more than the {self.size:,} bytes that were asked for", wrong=True)
        rest = memoryview(part)
        number, offset = self._at
        while rest:
            target = self._targets[number]
            taken = min(len(rest), len(target) - offset)
            target[offset : offset + taken] = rest[:taken]
            rest, offset = rest[taken:], offset + taken
            if offset == len(target):
                number, offset = number + 1, 0
        self._at = (number, offset)
        self.filled += len(part)


def _is_encoded(headers: Mapping[str, str]) -> bool:
    """Whether the body is compressed, although it was asked for as it is."""
    return headers.get("content-encoding", "identity") != "identity"


def _check_length(headers: Mapping[str, str], wanted: int) -> None:
    said = headers.get("content-length", str(wanted))
    if said != str(wanted):
        raise TransientError(f"the server sends {said[:20]} bytes in place of {wanted:,}", wrong=True)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
