"""Runs independent pieces of torch work in parallel threads."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def parallel_map(workers: int) -> Iterator[Any]:
    """Yields a ``map`` that runs in this many threads.

    Torch uses one thread within each, so that sums do not depend on the number of workers.
    """
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
