"""How long models of true size take, in how much memory: weights, and a forward pass that watches every expert.

    python benchmarks/true_shape.py --models mixtral-8x7b --output docs/true-shape.md

A few layers of each model are written with the shapes, names and dtype (bfloat16) that its checkpoint has on the hub,
never more than one file of tensors in memory, and measured in a fresh process each time, with the files in no cache
(cold) and in the system's cache (warm). Beside every time stands what the machine can do at best, measured in the same
way: reading the same files from end to end, and multiplying large matrices. What was planted in the weights must be
found again. From the layers that were run follows how long all layers would take here, and on an H200 whose assumed
speeds are named. ``--small`` does all of it with small shapes, in seconds.
"""

import argparse
import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from true_shape_models import (
    MODELS,
    SHARED,
    STEERS,
    Shape,
    bytes_of,
    measured_bytes,
    operations,
    planted,
    small,
    write,
)
from true_shape_runs import Run, forward, pieces, sequential, weights

from moe_claims._util.memory import GIB, free_bytes
from moe_claims.models.families.table import FAMILIES

H200 = {"storage": 7e9, "bfloat16": 989e12, "float32": 67e12, "share": 0.4}
"""Assumed: bytes per second of one fast drive, the maker's operations per second, and the share that is achieved."""


INTRODUCTION = """
How long do models of the paper take, in how much memory? Layers with the shapes, names and dtype (bfloat16) of the
published checkpoints were written and measured, each time in a fresh process. Their weights are random but for what is
planted, so that no download is needed and every number has a known answer.
"""
ON_WEIGHTS = """
All measurements of weights: router rows, flattened matrices and mean neurons of every layer. GB needed are routers and
experts. Shares are of what one thread reaches that reads the same files from end to end into one buffer: of reading
alone, the same pieces in the same threads with nothing done with them, and of all. Files in no cache are read as fast
as they are measured; of files in the cache, arithmetic takes longer than reading. What is foretold for all layers grows
with the number of those that have experts. An H200 is taken to be fed by a drive of {storage} GB/s, which is then
all that counts.
"""
ON_FORWARD = """
{tokens} tokens in two sequences, from files that are in no cache, with everything that is measured of routing and
outputs. Every expert answers every token, whether it was chosen or not. Operations are those of products with weights;
the best is a product of two matrices of 2,048 × 2,048 in the same process and dtype. For an H200, whichever takes
longer counts: reading all weights as above, or the operations at {share} % of its maker's {known}.
"""
ON_PLANTED = """
Every matrix is a part that all experts share, {shared:g} of its variance, and a part of its own; each neuron of W_act
has {steers:g} of its expert's router row added to it. So flattened matrices have a known cosine, mean neurons of W_act
follow router rows (Pearson's r over pairs of experts), and experts answer loudly where their score is high.
"""


_REST = 3 * GIB
"""Libraries, hidden states, and what is measured; with something to spare."""


def alone(work: Callable[..., Run], *arguments: Any) -> Run | str:
    """Runs in a fresh process; why not, where it was killed."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(work, *arguments).result()
    except BrokenProcessPool:
        return "killed, most likely for memory"


def benchmark(shape: Shape, folder: Path, *, tokens: int, dtypes: list[str], forced: bool) -> dict[str, Any]:
    """Writes one model, measures it every way, and removes it."""
    began = time.perf_counter()
    write(shape, folder)
    say(f"{shape.name}: {bytes_of(shape) / 1e9:.2f} GB written in {time.perf_counter() - began:.0f} s\n")
    runs: dict[str, Run | str] = {}
    try:
        for name, cold in (("cold", True), ("warm", False)):
            runs[f"read {name}"] = alone(sequential, folder, cold)
            runs[f"pieces {name}"] = alone(pieces, folder, cold)
            runs[f"weights {name}"] = alone(weights, folder, cold)
        for dtype in dtypes:
            needed = needed_for(shape, dtype)
            free = free_bytes()
            if not forced and free is not None and needed > free:
                runs[f"forward {dtype}"] = f"not run: takes about {needed / GIB:.0f} GiB, {free / GIB:.0f} are free"
            else:
                runs[f"forward {dtype}"] = alone(forward, folder, tokens, dtype)
            say(f"{shape.name}: forward {dtype}: {runs[f'forward {dtype}']}\n")
    finally:
        shutil.rmtree(folder)
    return {"shape": shape, "tokens": tokens, "runs": runs}


def needed_for(shape: Shape, dtype: str) -> int:
    """Bytes that a forward pass takes: two layers, if there are as many, embedding and head, and all else."""
    per_layer = 3 * shape.hidden * shape.inner * (shape.experts + shape.shared)
    outside = shape.hidden * shape.vocabulary * (1 if shape.tied else 2)
    width = 2 if dtype == "bfloat16" else 4
    return (min(2, shape.layers) * per_layer + outside) * width + _REST


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


def weight_rows(result: dict[str, Any]) -> list[list[str]]:
    """Cold and warm: seconds, peak, bytes, speed, share of a sequential read, and the whole model here."""
    shape: Shape = result["shape"]
    rows = []
    for name in ("cold", "warm"):
        run, reading, read = (result["runs"][f"{what} {name}"] for what in ("weights", "pieces", "read"))
        if isinstance(run, str) or isinstance(reading, str) or isinstance(read, str):
            rows.append([shape.name, name, str(run), *[""] * 7])
            continue
        needed = measured_bytes(shape)
        best = read.numbers["bytes"] / read.seconds
        asked = "" if run.read is None else f"{run.read / 1e9:.2f}"
        rows.append(
            [
                shape.name, name, f"{run.seconds:.2f}", f"{run.peak / GIB:.2f}", asked, f"{needed / 1e9:.2f}",
                f"{needed / run.seconds / 1e9:.2f}", f"{best / 1e9:.2f}",
                _share(reading.numbers["bytes"] / reading.seconds, best), _share(needed / run.seconds, best),
                duration(run.seconds * shape.times), duration(measured_bytes(shape.whole) / H200["storage"]),
            ]
        )  # fmt: skip
    return rows


def forward_rows(result: dict[str, Any]) -> list[list[str]]:
    """For every dtype: seconds, peak, achieved and best operations, and the whole model here and there."""
    shape: Shape = result["shape"]
    rows = []
    for name, run in result["runs"].items():
        if not name.startswith("forward"):
            continue
        dtype = name.split()[1]
        if isinstance(run, str):
            rows.append([shape.name, dtype, run, *[""] * 6])
            continue
        work, all_work = (operations(each, result["tokens"]) for each in (shape, shape.whole))
        there = max(bytes_of(shape.whole) / H200["storage"], all_work / (H200["share"] * H200[dtype]))
        rows.append(
            [
                shape.name, dtype, f"{run.seconds:.1f}", f"{run.peak / GIB:.2f}", f"{work / run.seconds / 1e9:.0f}",
                f"{run.numbers['peak'] / 1e9:.0f}", _share(work / run.seconds, run.numbers["peak"]),
                duration(run.seconds * shape.times), duration(there),
            ]
        )  # fmt: skip
    return rows


def planted_rows(result: dict[str, Any]) -> list[list[str]]:
    """What was planted beside what was found."""
    shape: Shape = result["shape"]
    rows = []
    run = result["runs"]["weights cold"]
    if not isinstance(run, str):
        for name, value in planted(shape).items():
            rows.append([shape.name, name.replace("_", " "), f"{value:.3f}", f"{run.numbers[name]:.3f}"])
    for name, found in result["runs"].items():
        if name.startswith("forward") and not isinstance(found, str):
            said = f"score and norm rank, {name.split()[1]}"
            rows.append([shape.name, said, "near 1", f"{found.numbers['score_norm']:.3f}"])
    return rows


def duration(seconds: float) -> str:
    """Rounded, for people."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row + [''] * (len(head) - len(row)))} |" for row in lines)


def page(results: list[dict[str, Any]], tokens: int, command: str) -> str:
    """The page of the documentation."""
    import transformers

    shapes = [result["shape"] for result in results]
    sizes_said = _table(
        ["model", "layers written", "of", "GB", "d", "m", "experts", "shared"],
        [
            [s.name, str(s.layers), str(s.all_layers), f"{bytes_of(s) / 1e9:.2f}", f"{s.hidden:,}", f"{s.inner:,}",
             str(s.experts), str(s.shared)]
            for s in shapes
        ],
    )  # fmt: skip
    weights_said = _table(
        ["model", "files", "seconds", "peak GiB", "GB read", "GB needed", "GB/s", "sequential GB/s",
         "reading alone", "share", "all layers", "H200"],
        [row for result in results for row in weight_rows(result)],
    )  # fmt: skip
    forward_said = _table(
        ["model", "dtype", "seconds", "peak GiB", "GFLOP/s", "best GFLOP/s", "share", "all layers", "H200"],
        [row for result in results for row in forward_rows(result)],
    )
    planted_said = _table(
        ["model", "what", "planted", "found"], [r for result in results for r in planted_rows(result)]
    )
    known = f"{H200['bfloat16'] / 1e12:g} (bfloat16) or {H200['float32'] / 1e12:g} (float32) TFLOP/s"
    parts = [
        "# Models of true size",
        INTRODUCTION,
        sizes_said,
        f"{len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}. Cold means that no byte of the files was in the system's cache.",
        "## Weights",
        ON_WEIGHTS.format(storage=f"{H200['storage'] / 1e9:g}"),
        weights_said,
        "## Forward pass",
        ON_FORWARD.format(tokens=tokens, share=f"{100 * H200['share']:g}", known=known),
        forward_said,
        "## What was planted",
        ON_PLANTED.format(shared=SHARED, steers=STEERS),
        planted_said,
        "To repeat this on another machine:",
        f"```text\n{command}\n```",
    ]
    return "\n\n".join(part if part[0] in "|`#" else textwrap.fill(part.strip(), 120) for part in parts) + "\n"


def command_of(given: argparse.Namespace) -> str:
    """What repeats the run; where it wrote is a matter of the machine."""
    parts = ["python benchmarks/true_shape.py --models", *given.models, "--tokens", str(given.tokens)]
    parts += [] if given.layers is None else ["--layers", str(given.layers)]
    parts += [] if given.dtypes is None else ["--dtypes", *given.dtypes]
    return " ".join([*parts, "--small"] if given.small else parts)


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=list(MODELS), choices=list(MODELS), help="whose shapes are written (default all)"
    )
    parser.add_argument("--layers", type=int, help="layers that are written of each model (default 2, 3 and 1)")
    parser.add_argument("--tokens", type=int, default=256, help="of the forward pass (default 256)")
    parser.add_argument(
        "--dtypes", nargs="+", choices=("bfloat16", "float32"), help="of the forward pass (default: those that fit)"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the checkpoints (default: a temporary one)")
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.add_argument("--small", action="store_true", help="small shapes, for a trial in seconds")
    given = parser.parse_args(arguments)
    if given.tokens < 8:
        parser.error(f"--tokens {given.tokens}: give 8 or more")
    shapes = [small(MODELS[name]) if given.small else MODELS[name] for name in given.models]
    if given.layers is not None:
        shapes = [replace(shape, layers=given.layers) for shape in shapes]
        if any(not shape.moe_layers for shape in shapes) or any(s.layers > s.all_layers for s in shapes):
            parser.error(f"--layers {given.layers}: give as many that one has experts, and no more than the model has")
    results = []
    with tempfile.TemporaryDirectory(dir=given.scratch, prefix="true-shape-") as scratch:
        for shape in shapes:
            if shape.model_type not in FAMILIES:
                say(f"{shape.name}: left out, since this version does not read model_type '{shape.model_type}'\n")
                continue
            dtypes = given.dtypes or ["bfloat16", "float32"]
            forced = given.dtypes is not None
            folder = Path(scratch) / shape.name
            results.append(benchmark(shape, folder, tokens=given.tokens, dtypes=dtypes, forced=forced))
    text = page(results, given.tokens, command_of(given))
    if given.output is None:
        say(text)
    else:
        given.output.write_text(text, encoding="utf-8")
        say(f"written to {given.output}\n")


if __name__ == "__main__":
    main()
