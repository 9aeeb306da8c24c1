"""How much memory this process can still allocate."""

from pathlib import Path

GIB = 2**30


def free_bytes() -> int | None:
    """Bytes this process can still allocate, by the tightest of three limits: system, control group, ``ulimit``.

    None if no limit is known.
    """
    bounds = [_meminfo(Path("/proc/meminfo")), _control_group(Path("/sys/fs/cgroup")), *_limits(Path("/proc/self"))]
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


def resident_bytes() -> int | None:
    """Bytes of memory that this process has now; None where the system does not say."""
    kib = _fields(Path("/proc/self/status")).get("VmRSS:")
    return None if kib is None else 1024 * kib


def _meminfo(path: Path) -> int | None:
    fields = _fields(path)
    return fields["MemAvailable:"] * 1024 if "MemAvailable:" in fields else None


def _control_group(folder: Path) -> int | None:
    """The control group's limit minus its anonymous memory; pages of mapped files can be evicted."""
    held = _fields(folder / "memory.stat")
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, limit - held["anon"]) if "anon" in held else None


def _limits(process: Path) -> list[int]:
    """Bytes left under the process's limits of address space and data segment (``ulimit -v`` and ``-d``)."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return []
    used = _fields(process / "status")
    pairs = ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:"))
    soft = [(resource.getrlimit(limit)[0], used.get(field)) for limit, field in pairs]
    return [max(0, limit - 1024 * kib) for limit, kib in soft if limit != resource.RLIM_INFINITY and kib is not None]


def _fields(path: Path) -> dict[str, int]:
    """Parses lines of the form ``name number …``; empty if the file does not exist."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) > 1 and parts[1].isdecimal()}
