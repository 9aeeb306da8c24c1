"""Where forward passes and similarities run."""

from moe_claims._util.memory import free_bytes
from moe_claims.errors import UsageError


def device_of(wanted: str) -> str:
    """``auto`` → ``cuda`` where there is one.

    Raises:
        UsageError: cuda is asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--moe-device cuda: this machine has no usable GPU (torch.cuda.is_available() is False)")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def fits(size: int, device: str) -> bool:
    """Whether so many bytes leave half of the memory that a device has free."""
    import torch

    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_bytes()
    return free is not None and 2 * size <= free
