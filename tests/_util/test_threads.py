"""Work side by side: results in order, and torch's threads as before."""

import threading

import pytest
import torch

from moe_claims._util.threads import parallel_map


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_threads_are_set_back(workers: int) -> None:
    before = torch.get_num_threads()
    with parallel_map(workers) as each:
        assert list(each(lambda n: (n, torch.get_num_threads()), range(7))) == [(n, 1) for n in range(7)]
    assert torch.get_num_threads() == before


def test_work_is_done_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    with parallel_map(3) as each:
        assert len(list(each(lambda _: together.wait(), range(3)))) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_raised_and_threads_are_set_back(workers: int) -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), parallel_map(workers) as each:
        list(each(lambda n: 1 // n, range(3)))
    assert torch.get_num_threads() == before
