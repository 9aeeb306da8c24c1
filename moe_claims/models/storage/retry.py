"""Trying again what failed on the way: how often, how long to wait in between, and when to give up."""

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TypeVar, cast, final

T = TypeVar("T")

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be gone at the next try."""


@final
@dataclass(frozen=True)
class Patience:
    """How often something is tried, and how long is waited in between; times in seconds."""

    tries: int = 8
    wrong_answers: int = 3
    """Answers that are not what was asked for, after which no more are asked for: few, since they rarely pass."""
    first_wait: float = 0.5
    longest_wait: float = 32.0
    """Waits double up to here."""
    longest_asked: float = 600.0
    """A server that asks for a longer wait is not waited for."""


@final
class TransientError(Exception):
    """One try failed, and the next may not; the message says what happened.

    Args:
        reason: as it ends a sentence.
        wait: seconds that the server asks to wait.
        wrong: whether the server answered something else than it was asked.
    """

    def __init__(self, reason: str, *, wait: float = 0.0, wrong: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.wrong = wait, wrong


@final
class GaveUpError(Exception):
    """The last try failed as well; the message says what happened, and how often it was tried."""


@final
class StoppedError(Exception):
    """Another request of the same batch failed for good, or the user stopped the program."""


def persist(attempt: Callable[[], T], patience: Patience, stop: Event) -> T:
    """What an attempt returns, as soon as one gets through.

    Args:
        attempt: raises ``TransientError`` where another try may help.
        patience: when to give up.
        stop: when set, ends the waiting.

    Raises:
        GaveUpError: no attempt got through.
        StoppedError: ``stop`` was set while waiting.
    """
    wait, wrong, tries = patience.first_wait, 0, 0
    while True:
        try:
            return attempt()
        except TransientError as trouble:
            tries, wrong = tries + 1, wrong + trouble.wrong
            if trouble.wait > patience.longest_asked:
                raise GaveUpError(f"{trouble}, and asks to wait {trouble.wait:,.0f} s") from None
            if tries >= patience.tries or wrong >= patience.wrong_answers:
                times = f", {tries} times" if tries > 1 else ""
                raise GaveUpError(f"{trouble}{times}") from None
            pause = max(wait, trouble.wait)
        if stop.wait(pause):
            raise StoppedError
        wait = min(2 * wait, patience.longest_wait)


@contextmanager
def transport() -> Iterator[None]:
    """Turns what goes wrong on the way into ``TransientError``; refusals of the hub pass through.

    Raises:
        TransientError: the connection failed or timed out, or the server said a status of ``PASSING``.
        HfHubHTTPError: any other refusal.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # Whichever client huggingface_hub is built on, its errors have one base, which the hub's own have too.
    client_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except HfHubHTTPError as error:
        check_passing(error.response.status_code, error.response.headers)
        raise
    except client_error as error:  # its text may hold a signed address, so that its kind has to do
        raise TransientError(f"the connection failed ({type(error).__name__})") from error


def check_passing(status: int, headers: Mapping[str, str]) -> None:
    """Raises ``TransientError`` for a status that may be gone at the next try."""
    if status in PASSING:
        raise TransientError(f"the server answers {status}", wait=asked_wait(headers))


def asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: ``Retry-After`` in seconds or as a date, or the hub's ``RateLimit``."""
    asked = _seconds(headers.get("retry-after", "").strip())
    if asked is not None:
        return asked
    spent = re.search(r"\br=0;t=(\d{1,9})\b", headers.get("ratelimit", "").replace(" ", ""))
    return float(spent[1]) if spent else 0.0


def _seconds(asked: str) -> float | None:
    """Of a number of seconds, or until a date; None where it is neither, so that the usual wait has to do."""
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
