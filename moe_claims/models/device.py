"""Chooses the device for computations, and checks whether data fits into its memory."""

import re

from moe_claims._util.memory import free_bytes
from moe_claims.errors import UsageError

CHOICES = "auto, cpu, cuda, cuda:N or mps"
"""Description of everything that ``--moe-device`` takes, for messages and help."""
METAVAR = "auto|cpu|cuda|cuda:N|mps"
"""The same as the name of a value in help texts."""
_NAME = re.compile(r"auto|cpu|mps|cuda(?::(?P<number>\d{1,4}))?")


def named(wanted: str) -> str:
    """The name of a device as it was given, if it is one; whether the device exists is not checked.

    Raises:
        UsageError: it is none.
    """
    if not _NAME.fullmatch(wanted):
        raise UsageError(f"--moe-device {wanted}: give {CHOICES}")
    return wanted


def kind_of(device: str) -> str:
    """``cpu``, ``cuda`` or ``mps``: all that numbers depend on, since devices of one kind take turns."""
    return device.partition(":")[0]


def device_of(wanted: str) -> str:
    """The device to compute on: ``auto`` becomes ``cuda`` if a GPU is usable, else ``cpu``.

    Args:
        wanted: one of ``CHOICES``.

    Raises:
        UsageError: it is none of them, or the device is not usable.
    """
    if named(wanted) == "cpu":
        return wanted
    import torch

    usable = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if usable else "cpu"
    if wanted == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError(
                "--moe-device mps: this machine has no usable Apple GPU (torch.backends.mps.is_available() is False)"
            )
        return wanted
    if not usable:
        raise UsageError(f"--moe-device {wanted}: this machine has no usable GPU (torch.cuda.is_available() is False)")
    found, there = _NAME.fullmatch(wanted), torch.cuda.device_count()
    if found is not None and int(found["number"] or 0) >= there:
        raise UsageError(f"--moe-device {wanted}: the last of this machine's GPUs is cuda:{there - 1}")
    return wanted


def sums_on(device: str) -> str:
    """The device on which sums in float64 are taken: that device, or the CPU where it has no float64, as ``mps``."""
    return "cpu" if kind_of(device) == "mps" else device


def check_dtype(device: str, dtype: str) -> None:
    """Checks that a device computes in a dtype.

    Raises:
        UsageError: it does not.
    """
    if dtype == "float64" and kind_of(device) == "mps":
        raise UsageError("--moe-dtype float64: mps has no float64; give another dtype, or --moe-device cpu")


def fits(size: int, device: str) -> bool:
    """Whether ``size`` bytes take at most half of the free memory of a device; ``mps`` has that of the machine."""
    import torch

    free = torch.cuda.mem_get_info(device)[0] if kind_of(device) == "cuda" else free_bytes()
    return free is not None and 2 * size <= free
