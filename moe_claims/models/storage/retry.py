"""Retries requests that failed for temporary reasons, with waits in between, and gives up in the end."""

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TypeVar, cast, final

T = TypeVar("T")

TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that indicate a temporary failure."""


@final
@dataclass(frozen=True)
class RetryPolicy:
    """How often to try, and how long to wait between tries; times in seconds."""

    tries: int = 8
    wrong_answers: int = 3
    """Number of malformed answers after which to give up; small, since they are rarely temporary."""
    first_wait: float = 0.5
    longest_wait: float = 32.0
    """Limit up to which waits double."""
    longest_asked: float = 600.0
    """Longest wait requested by a server that is honoured; if it requests more, give up."""


@final
class TransientError(Exception):
    """A try failed, but another may succeed; the message says what happened.

    Args:
        reason: what happened, worded as the end of a sentence.
        wait: seconds that the server asks the client to wait.
        wrong: whether the server's answer was malformed or not what was requested.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, wrong: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.wrong = wait, wrong


@final
class GaveUpError(Exception):
    """All tries failed; the message says what happened last, and how many tries there were."""


@final
class StoppedError(Exception):
    """The request was cancelled: another one of its batch failed for good, or the user stopped the program."""


def retry(attempt: Callable[[], T], policy: RetryPolicy, stop: Event) -> T:
    """Calls ``attempt`` until it succeeds, and returns its result.

    Args:
        attempt: function to call; it raises ``TransientError`` if another try may help.
        policy: number of tries and waits.
        stop: event that, when set, ends the waiting.

    Raises:
        GaveUpError: no try succeeded.
        StoppedError: ``stop`` was set while waiting.
    """
    wait, wrong, tries = policy.first_wait, 0, 0
    while True:
        try:
            return attempt()
        except TransientError as trouble:
            tries, wrong = tries + 1, wrong + trouble.wrong
            if trouble.wait > policy.longest_asked:
                raise GaveUpError(f"{trouble}, and asks to wait {trouble.wait:,.0f} s") from None
            if tries >= policy.tries or wrong >= policy.wrong_answers:
                times = f", {tries} times" if tries > 1 else ""
                raise GaveUpError(f"{trouble}{times}") from None
            pause = max(wait, trouble.wait)
        if stop.wait(pause):
            raise StoppedError
        wait = min(2 * wait, policy.longest_wait)


@contextmanager
def transport() -> Iterator[None]:
    """Within the block, turns connection errors and temporary HTTP errors into ``TransientError``.

    Raises:
        TransientError: the connection failed or timed out, or the status is one of ``TRANSIENT_STATUSES``.
        HfHubHTTPError: the hub answered with another error status.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The base class of the errors of whichever HTTP client huggingface_hub uses; HfHubHTTPError derives from it.
    client_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except HfHubHTTPError as error:
        raise_if_transient(error.response.status_code, error.response.headers)
        raise
    except client_error as error:  # only its class is shown, since its text may hold a signed URL
        raise TransientError(f"the connection failed ({type(error).__name__})") from error


def raise_if_transient(status: int, headers: Mapping[str, str]) -> None:
    """Raises ``TransientError`` if an HTTP status is one of ``TRANSIENT_STATUSES``."""
    if status in TRANSIENT_STATUSES:
        raise TransientError(f"the server answers {status}", wait=requested_wait(headers))


def requested_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks the client to wait (headers ``Retry-After`` or ``RateLimit``); else 0."""
    asked = _seconds(headers.get("retry-after", "").strip())
    if asked is not None:
        return asked
    spent = re.search(r"\br=0;t=(\d{1,9})\b", headers.get("ratelimit", "").replace(" ", ""))
    return float(spent[1]) if spent else 0.0


def _seconds(asked: str) -> float | None:
    """Parses ``Retry-After``: a number of seconds, or a date; None if it is neither."""
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
