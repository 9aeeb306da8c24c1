"""The next item is fetched in advance, and never more than one."""

import threading
from collections.abc import Iterator

import pytest

from moe_claims._util.prefetch import prefetch


def test_items_come_in_order() -> None:
    assert list(prefetch(range(5))) == [0, 1, 2, 3, 4]
    assert list(prefetch([])) == []
    assert list(prefetch([None, None])) == [None, None]


def test_the_next_is_got_meanwhile_and_no_more() -> None:
    begun = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in prefetch(items()):
        if number < 3:
            assert begun[number + 1].wait(10)
        assert not any(event.is_set() for event in begun[number + 2 :])


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    found = prefetch(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(found)


def test_whoever_stops_early_leaves_no_thread() -> None:
    found = prefetch(iter(range(100)))
    assert next(found) == 0
    found.close()
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())
