"""Small helpers for tensors."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_finite(tensor: "torch.Tensor") -> bool:
    """Whether a tensor has neither NaN nor infinity. The sum, a quick test, is tried first."""
    import torch

    # Summed in the tensor's own dtype, since widening would copy it. As the sum may overflow, the elements then decide.
    return bool(tensor.sum().isfinite()) or bool(torch.isfinite(tensor).all())


def stacked(tensors: "list[torch.Tensor]") -> "torch.Tensor":
    """Stacks tensors of one shape along a new first axis; makes no copy if they are contiguous with each other."""
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
