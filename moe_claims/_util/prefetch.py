"""Fetches the next item of an iterable in a thread while the caller works on the current one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from moe_claims._util.memory import free_bytes

T = TypeVar("T")


def prefetch(items: Iterable[T], *, memory: int = 0) -> Iterator[T]:
    """Yields the items, fetching at most one in advance, in a background thread.

    It pays only where fetching an item releases Python's global interpreter lock, as reading a file does.

    Args:
        items: an iterable whose items take time to fetch.
        memory: bytes that two items take; if fewer are free, nothing is fetched in advance.
    """
    free = free_bytes()
    if free is not None and memory > free:
        yield from items
        return
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]
            del item  # otherwise it would stay in memory beside the next two
