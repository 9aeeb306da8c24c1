"""Memory is used again, and only once nobody can see it any more."""

import gc
from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_claims.models.storage import buffer_pool
from moe_claims.models.storage.buffer_pool import BufferPool

LARGE = buffer_pool._WORTH


def test_large_memory_is_used_again() -> None:
    pool = BufferPool()
    first = pool.take(LARGE)
    where = first.data_ptr()
    del first
    assert pool.take(LARGE).data_ptr() == where
    assert pool.take(LARGE // 2 + LARGE).shape == (LARGE // 2 + LARGE,)


def test_a_view_keeps_its_memory() -> None:
    pool = BufferPool()
    whole = pool.take(LARGE)
    view = whole.view(torch.float32)[5:7]
    view.fill_(3.0)
    where = whole.data_ptr()
    del whole
    gc.collect()
    other = pool.take(LARGE)
    assert other.data_ptr() != where
    other.zero_()
    assert view.tolist() == [3.0, 3.0]


def test_much_too_large_memory_is_not_taken() -> None:
    pool = BufferPool()
    first = pool.take(4 * LARGE)
    where = first.data_ptr()
    del first
    assert pool.take(LARGE).data_ptr() != where


def test_few_are_kept() -> None:
    pool = BufferPool()
    held = [pool.take(LARGE) for _ in range(5)]
    held.clear()
    assert len(pool._free) == BufferPool._KEPT


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30))
@settings(max_examples=20, deadline=None)
def test_no_two_tensors_share_memory(steps: list[tuple[int, int]]) -> None:
    pool, held = BufferPool(), dict.fromkeys(range(4), torch.empty(0))
    for slot, size in steps:
        held[slot] = torch.empty(0)
        held[slot] = pool.take(size * LARGE)
        spans = sorted((t.data_ptr(), t.data_ptr() + len(t)) for t in held.values() if len(t))
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
