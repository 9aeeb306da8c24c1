"""Getting the next item while the present one is worked on."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from moe_claims._util.memory import free_bytes

T = TypeVar("T")


def ahead(items: Iterable[T], *, memory: int = 0) -> Iterator[T]:
    """The items, each got by a thread of its own while the one before is worked on; never more than one ahead.

    The thread must be worth it: what it does should let the interpreter go, as reading does.

    Args:
        items: what takes time to get.
        memory: bytes that two of them take; where fewer can be had, none is got ahead.
    """
    free = free_bytes()
    if free is not None and memory > free:
        yield from items
        return
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]
            del item  # or it would be in memory beside the next two
