"""Chooses the device for computations, and checks whether data fits into its memory."""

from moe_claims._util.memory import free_bytes
from moe_claims.errors import UsageError


def device_of(wanted: str) -> str:
    """The device to compute on: ``auto`` becomes ``cuda`` if a GPU is usable, else ``cpu``.

    Raises:
        UsageError: ``cuda`` is requested, but no GPU is usable.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--moe-device cuda: this machine has no usable GPU (torch.cuda.is_available() is False)")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def fits(size: int, device: str) -> bool:
    """Whether ``size`` bytes take at most half of the free memory of a device."""
    import torch

    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_bytes()
    return free is not None and 2 * size <= free
