"""What matching neurons costs, in seconds and bytes, and what this machine has to spend."""

from pathlib import Path

from moe_claims.measure.assignment import SPARSE_FROM

PATIENCE = 600.0
"""Seconds that matching may take without having been asked for layer by layer."""
GIB = 2**30


def pair_seconds(neurons: int, width: int) -> float:
    """Seconds that one core takes to match two experts of m neurons of d weights that are unrelated (the longest).

    Fitted to the times in docs/matching.md; other machines are faster or slower by a factor.
    """
    return 3e-4 + 3e-8 * neurons * width + 2.35e-11 * neurons**2 * width + 3.6e-8 * neurons**2


def pair_bytes(neurons: int, width: int) -> int:
    """Bytes that one worker holds at most: cosines, both experts' neurons, and blocks."""
    blocks = 400 * 2**20 if neurons >= SPARSE_FROM else 2**20
    return (4 if neurons >= SPARSE_FROM else 8) * neurons**2 + 24 * neurons * width + blocks


def free_bytes() -> int | None:
    """Bytes of memory that can still be had, by the system and by its control group; None where nobody says."""
    bounds = [_meminfo(Path("/proc/meminfo")), _control_group(Path("/sys/fs/cgroup"))]
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


def _meminfo(path: Path) -> int | None:
    fields = _fields(path)
    return fields["MemAvailable:"] * 1024 if "MemAvailable:" in fields else None


def _control_group(folder: Path) -> int | None:
    """The limit less what must stay: a checkpoint that is mapped fills the group with pages that need not."""
    held = _fields(folder / "memory.stat")
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, limit - held["anon"]) if "anon" in held else None


def _fields(path: Path) -> dict[str, int]:
    """Lines of a name and a number; nothing where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) > 1 and parts[1].isdecimal()}


def span(seconds: float) -> str:
    """A length of time for people, with the precision of a forecast."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
