"""How much memory can still be had."""

from pathlib import Path

GIB = 2**30


def free_bytes() -> int | None:
    """Bytes that can still be had: by the system, by its control group, by this process; None where nobody says."""
    bounds = [_meminfo(Path("/proc/meminfo")), _control_group(Path("/sys/fs/cgroup")), *_limits(Path("/proc/self"))]
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


def _limits(process: Path) -> list[int]:
    """What the process's own limits of address space and of data (ulimit -v and -d) leave."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return []
    used = _fields(process / "status")
    pairs = ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:"))
    soft = [(resource.getrlimit(limit)[0], used.get(field)) for limit, field in pairs]
    return [max(0, limit - 1024 * kib) for limit, kib in soft if limit != resource.RLIM_INFINITY and kib is not None]


def _fields(path: Path) -> dict[str, int]:
    """Lines of a name and a number; nothing where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) > 1 and parts[1].isdecimal()}
