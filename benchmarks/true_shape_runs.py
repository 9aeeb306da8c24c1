"""What one process measures of a checkpoint: seconds, peak memory, bytes that it asked for, and numbers found."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from moe_claims._util.threads import parallel_map
from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.weights import measure_weights
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.config import as_object
from moe_claims.models.families.table import ROLES
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import off_diagonal

_BUFFER = 1 << 24
WIDTH = 2048
"""Of the product whose speed stands for what a processor can do."""


@dataclass(frozen=True)
class Run:
    """What one process did."""

    seconds: float
    peak: int
    """Bytes that were resident at most, libraries and all."""
    read: int | None
    """Bytes that it asked the system for meanwhile; None where the system does not say."""
    numbers: dict[str, float]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _cache(folder: Path, *, keep: bool) -> None:
    """Puts the files into the system's cache, or out of it; neither takes rights."""
    for path in _files(folder):
        with path.open("rb", buffering=0) as file:
            if keep:
                buffer = bytearray(_BUFFER)
                while file.readinto(buffer):
                    pass
            else:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _asked_for() -> int | None:
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return int(dict(line.split(": ") for line in lines)["rchar"])


def _peak() -> int:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _timed(work: Callable[[], dict[str, float]]) -> Run:
    before, began = _asked_for(), time.perf_counter()
    numbers = work()
    seconds, after = time.perf_counter() - began, _asked_for()
    return Run(seconds, _peak(), None if before is None or after is None else after - before, numbers)


def sequential(folder: Path, cold: bool) -> Run:
    """Reads all files from end to end into one buffer."""
    _cache(folder, keep=not cold)

    def read() -> dict[str, float]:
        buffer, total = bytearray(_BUFFER), 0
        for path in _files(folder):
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    total += count
        return {"bytes": float(total)}

    return _timed(read)


def pieces(folder: Path, cold: bool) -> Run:
    """Reads all that the measurements of weights read, as they read it, and does nothing with it."""
    checkpoint = Checkpoint.open(folder, "benchmark")
    readings = [read for layer in checkpoint.moe_layers for read in checkpoint.pieces(layer)]
    _cache(folder, keep=not cold)

    def read_all() -> dict[str, float]:
        with parallel_map(torch.get_num_threads()) as each:
            sizes = each(lambda read: sum(rows.nbytes for _, rows in read()), readings)
            return {"bytes": float(sum(sizes))}

    return _timed(read_all)


def weights(folder: Path, cold: bool) -> Run:
    """All measurements of weights."""
    _cache(folder, keep=not cold)
    return _timed(lambda: found_in_weights(measure_weights(Checkpoint.open(folder, "benchmark"))))


def forward(folder: Path, tokens: int, dtype: str) -> Run:
    """A forward pass over two sequences in which every expert answers every token."""
    peak = products_per_second(dtype)  # before, so that its memory is back
    checkpoint = Checkpoint.open(folder, "benchmark")
    with torch.device("meta"):  # what transformers imports for the family is no part of the pass
        AutoModelForCausalLM.from_config(as_object(checkpoint.config), trust_remote_code=False)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, int(checkpoint.config["vocab_size"]), tokens).tolist()
    halves = [ids[: tokens // 2], ids[tokens // 2 :]]
    _cache(folder, keep=False)

    def run() -> dict[str, float]:
        measured = measure_routed(LayerwiseModel(checkpoint, dtype=dtype), halves)
        return {"score_norm": score_norm(measured), "peak": peak}

    return _timed(run)


def products_per_second(dtype: str) -> float:
    """Floating-point operations per second of a plain product of large matrices: the best of five."""
    a, b = (torch.randn(WIDTH, WIDTH).to(getattr(torch, dtype)) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * WIDTH**3 / best


def found_in_weights(measured: WeightMeasurement) -> dict[str, float]:
    """Mean cosines of matrices over pairs and layers, and how far mean neurons follow router rows."""
    numbers = {}
    for role in ROLES:
        numbers[f"cosine_{role}"] = float(np.mean([off_diagonal(layer).mean() for layer in measured.matrix[role]]))
        numbers[f"association_{role}"] = float(
            np.mean(
                [
                    pearson(off_diagonal(router), off_diagonal(mean))
                    for router, mean in zip(measured.router, measured.mean[role], strict=True)
                ]
            )
        )
    return numbers


def score_norm(measured: RoutedMeasurement) -> float:
    """Correlation of score rank and norm rank over all tokens and layers: experts were made to fire on their score."""
    counts = measured.rank_counts().sum(axis=0).astype(float)
    ranks = np.arange(len(counts)) - (len(counts) - 1) / 2
    return float((counts * np.outer(ranks, ranks)).sum() / (counts.sum(axis=1) * ranks**2).sum())
