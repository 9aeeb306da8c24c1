"""What is asked of tensors of any checkpoint."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_finite(tensor: "torch.Tensor") -> bool:
    """Whether all numbers are: a sum, which NaN and infinity spoil, is a quick way to see it."""
    import torch

    # In the tensor's own dtype, since widening copies all numbers first. If it overflows, they are looked at.
    return bool(tensor.sum().isfinite()) or bool(torch.isfinite(tensor).all())


def stacked(tensors: "list[torch.Tensor]") -> "torch.Tensor":
    """Tensors of one shape → one tensor, without a copy where they lie one behind the other."""
    import torch

    first, size = tensors[0], tensors[0].numel()
    together = all(
        tensor.is_contiguous()
        and tensor.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and tensor.storage_offset() == first.storage_offset() + number * size
        for number, tensor in enumerate(tensors)
    )
    if not together:
        return torch.stack(tensors)
    return first.as_strided((len(tensors), *first.shape), (size, *first.stride()))
