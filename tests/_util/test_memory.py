"""What memory is left, by every bound that a system knows."""

import subprocess
import sys
from pathlib import Path

import pytest

from moe_claims._util import memory


def test_memory_that_the_system_has_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:   7 kB\nHugePages_Total:  0\n")
    assert memory._meminfo(meminfo) == 7 * 1024
    assert memory._meminfo(tmp_path / "none") is None


def test_memory_that_a_control_group_has_left(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text("anon 300\nfile 5000\n")
    for limit, expected in (("1000\n", 700), ("200\n", 0), ("max\n", None)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory._control_group(tmp_path) == expected
    assert memory._control_group(tmp_path / "none") is None


def test_the_smallest_bound_counts() -> None:
    free = memory.free_bytes()
    assert free is None or free > 2**20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a process has in use")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(limit: str) -> None:
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.{limit}, (3 * 2**30, resource.RLIM_INFINITY))\n"
        "from moe_claims._util.memory import free_bytes\n"
        "before = free_bytes()\n"
        "held = bytearray(2**30)\n"
        "print(before, before - free_bytes())\n"
    )
    before, taken = map(int, subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert 2**30 < before <= 3 * 2**30
    assert abs(taken - 2**30) < 2**24
