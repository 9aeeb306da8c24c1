"""Finite or not, and one behind the other or not."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.models.storage.tensors import is_finite, stacked


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_number_is_seen(dtype: torch.dtype, bad: float) -> None:
    tensor = torch.ones(1000, dtype=dtype)
    assert is_finite(tensor)
    tensor[777] = bad
    assert not is_finite(tensor)
    tensor[333] = -bad  # whose sum is none either
    assert not is_finite(tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sums_that_overflow_are_no_error(dtype: torch.dtype) -> None:
    tensor = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)
    assert not tensor.sum().isfinite()
    assert is_finite(tensor)


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 3))
def test_stacking_is_torchs(count: int, rows: int, gap: int) -> None:
    memory = torch.arange(200.0)
    size = 3 * rows
    starts = [number * (size + gap) for number in range(count)]
    tensors = [memory[start : start + size].view(rows, 3) for start in starts]
    found = stacked(tensors)
    assert torch.equal(found, torch.stack(tensors))
    if not gap and rows:
        assert found.data_ptr() == memory.data_ptr()  # no copy


def test_parts_of_different_memory_are_copied() -> None:
    assert torch.equal(stacked([torch.ones(2), torch.zeros(2)]), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    turned = torch.arange(6.0).view(2, 3).T
    assert torch.equal(stacked([turned]), turned[None])
