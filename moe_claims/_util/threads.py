"""Independent pieces of work, side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def side_by_side(workers: int) -> Iterator[Any]:
    """A ``map`` over this many threads, in each of which torch uses one: the same sums however many there are."""
    import torch

    before = torch.get_num_threads()
    if workers == 1:
        torch.set_num_threads(1)
        try:
            yield map
        finally:
            torch.set_num_threads(before)
        return
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
