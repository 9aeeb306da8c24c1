"""Trying again: how often, how long in between, and what ends it."""

import email.utils
from collections.abc import Callable
from threading import Event
from types import SimpleNamespace

import pytest

from moe_claims.models.storage.retry import (
    TRANSIENT_STATUSES,
    GaveUpError,
    RetryPolicy,
    StoppedError,
    TransientError,
    raise_if_transient,
    requested_wait,
    retry,
)


class Clock(Event):
    """Notes how long it is waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return self.is_set()


def _failing(*troubles: TransientError) -> Callable[[], str]:
    left = list(troubles)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "through"

    return attempt


def test_the_first_success_is_returned_and_waits_double() -> None:
    clock = Clock()
    troubles = [TransientError("no") for _ in range(6)]
    assert retry(_failing(*troubles), RetryPolicy(longest_wait=5.0), clock) == "through"
    assert clock.waits == [0.5, 1, 2, 4, 5, 5]


def test_a_longer_wait_is_granted_and_a_shorter_one_is_not_a_licence() -> None:
    clock = Clock()
    troubles = [TransientError("busy", wait=7.0), TransientError("busy", wait=0.1)]
    assert retry(_failing(*troubles), RetryPolicy(), clock) == "through"
    assert clock.waits == [7.0, 1.0]


@pytest.mark.parametrize(
    ("troubles", "policy", "message", "waits"),
    [
        ([TransientError("it broke")] * 9, RetryPolicy(tries=3), "it broke, 3 times", 2),
        ([TransientError("it broke")], RetryPolicy(tries=1), "it broke", 0),
        ([TransientError("it lies", wrong=True)] * 9, RetryPolicy(), "it lies, 3 times", 2),
        ([TransientError("busy", wait=3600.0)], RetryPolicy(), "busy, and asks to wait 3,600 s", 0),
    ],
)
def test_giving_up(troubles: list[TransientError], policy: RetryPolicy, message: str, waits: int) -> None:
    clock = Clock()
    with pytest.raises(GaveUpError) as caught:
        retry(_failing(*troubles), policy, clock)
    assert str(caught.value) == message
    assert len(clock.waits) == waits


def test_whoever_waits_can_be_stopped() -> None:
    clock = Clock()
    clock.set()
    with pytest.raises(StoppedError):
        retry(_failing(TransientError("no")), RetryPolicy(), clock)


def test_another_error_is_nobodys_second_try() -> None:
    def attempt() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        retry(attempt, RetryPolicy(), Clock())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api"; r=0; t=55'}, 55.0),
        ({"ratelimit": '"api";r=12;t=55'}, 0.0),  # said with every answer: there are requests left
        ({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, 3.0),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert requested_wait(headers) == seconds


def test_date_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_claims.models.storage.retry.time", SimpleNamespace(time=lambda: 1_000_000_000.5))
    assert requested_wait({"retry-after": email.utils.formatdate(1_000_000_060, usegmt=True)}) == 59.5


def test_statuses_that_pass() -> None:
    for status in TRANSIENT_STATUSES:
        with pytest.raises(TransientError, match=f"^the server answers {status}$") as caught:
            raise_if_transient(status, {"retry-after": "2"})
        assert caught.value.wait == 2.0
    for status in (200, 206, 302, 400, 401, 403, 404, 416):
        raise_if_transient(status, {})
