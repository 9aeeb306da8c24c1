"""How close a plan comes to the run: time, memory, bytes read and kept, on checkpoints with the shapes of real models.

    python benchmarks/plan_accuracy.py --models deepseek-moe-16b --tokens 512 --output plan-accuracy.md

A few layers of each model are written as ``true_shape.py`` writes them, with the tokenizer of an embedded model beside
them. Then the plan is made, and the claims are run, each in a fresh process with the same options and an empty store;
the files are in no cache of the system before either. Bytes read are those that the process asks the system for while
the claims run, with all libraries loaded before; memory is the most that was resident. ``--small`` does all of it with
small shapes, in less than a minute.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from true_shape_models import MODELS, Shape, bytes_of, small, write

from moe_claims.models.embedded import embedded_directory

ROOT = Path(__file__).parents[1]
TOKENIZER = "tiny-scratch"
"""Its token ids are below the vocabulary of every model here."""

FEWEST = 512
"""Tokens of the first two passages of the text: a model of fewer is not run."""

_RUN = """
import json, sys, time
from pathlib import Path
import pytest, scipy.stats, torch, transformers  # libraries are no part of what is read
import matplotlib.pyplot
from transformers import MixtralForCausalLM

stages = {}

def timed(owner, name, label):
    inner = getattr(owner, name)
    def outer(*given, **named):
        began = time.perf_counter()
        try:
            return inner(*given, **named)
        finally:
            stages[label] = stages.get(label, 0.0) + time.perf_counter() - began
    setattr(owner, name, outer)

def of(path, name):
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])

from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.run import session
for name in ("weights", "matching", "routed"):
    timed(PartMeasurer, name, name)
timed(session, "random_control", "control made")
timed(session, "evaluate", "statistics")
timed(session.Session, "_pictures", "figures")
read, began, used = of("/proc/self/io", "rchar:"), time.perf_counter(), time.process_time()
status = pytest.main(sys.argv[2:])
found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - used,
         "reads": of("/proc/self/io", "rchar:") - read, "memory": 1024 * of("/proc/self/status", "VmHWM:"),
         "status": int(status), "stages": stages}
Path(sys.argv[1]).write_text(json.dumps(found))
"""


def options(folder: Path, given: argparse.Namespace, cache: Path) -> list[str]:
    """Of the plan and of the run."""
    found = [
        str(ROOT / "claims"), "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--model={folder}",
        f"--moe-tokens={given.tokens}", f"--moe-dtype={given.dtype}", f"--moe-profile={given.profile}",
        f"--moe-cache={cache}",
    ]  # fmt: skip
    return found + ([] if given.layers_matched is None else [f"--moe-layers={given.layers_matched}"])


def uncached(folder: Path) -> None:
    """Puts the files out of the system's cache, which takes no rights."""
    for path in folder.glob("*.safetensors"):
        with path.open("rb", buffering=0) as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def quietly(command: list[str], folder: Path) -> None:
    """Runs a command in a folder; its output only where it gives no result.

    Raises:
        SystemExit: it ended otherwise than by passed or failed claims.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def compare(shape: Shape, given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The plan and the run of one model."""
    folder, cache, plan = scratch / "model", scratch / "cache", scratch / "plan.json"
    write(shape, folder)
    shutil.copy(embedded_directory(TOKENIZER) / "tokenizer.json", folder)
    both = options(folder, given, cache)
    uncached(folder)
    quietly([sys.executable, "-m", "pytest", *both, "--moe-plan", f"--moe-plan-file={plan}"], scratch)
    foreseen = json.loads(plan.read_text(encoding="utf-8"))["foreseen"]
    uncached(folder)
    report = scratch / "run.json"
    quietly([sys.executable, "-c", _RUN, str(report), *both, f"--moe-report={scratch / 'report'}"], scratch)
    run = json.loads(report.read_text(encoding="utf-8"))
    run["keeps"] = sum(path.stat().st_size for path in cache.iterdir())
    return {"shape": shape, "plan": foreseen["whole"], "stages": foreseen["models"][str(folder)]["stages"], "run": run}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """One row for time, processor time (more than time with several threads, less where others use them), and so on."""
    plan, run = result["plan"], result["run"]
    pairs = [
        ("seconds", plan["seconds"], run["seconds"], 1.0),
        ("seconds, of processors", plan["seconds"], run["processor"], 1.0),
        ("memory, GB", plan["needs"], run["memory"], 1e9),
        ("read, GB", plan["reads"], run["reads"], 1e9),
        ("kept, MB", plan["keeps"], run["keeps"], 1e6),
    ]
    return [
        [result["shape"].name, what, f"{a / unit:.2f}", f"{b / unit:.2f}", f"{a / b:.2f}"] for what, a, b, unit in pairs
    ]


def table(head: list[str], body: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["deepseek-moe-16b"], choices=list(MODELS), help="of these shapes"
    )
    parser.add_argument("--layers", type=int, help="layers that are written of each model (default 2, 3 and 1)")
    parser.add_argument("--layers-matched", help="layers whose neurons are matched (default: all that take minutes)")
    parser.add_argument("--tokens", type=int, default=512, help="of the text (default 512)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the forward pass")
    parser.add_argument("--profile", default="full", choices=("quick", "full"), help="quick: no random-init control")
    parser.add_argument("--scratch", type=Path, help="folder for the checkpoints (default: a temporary one)")
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.add_argument("--small", action="store_true", help="small shapes, for a trial")
    given = parser.parse_args(arguments)
    if given.tokens < FEWEST:
        parser.error(f"--tokens {given.tokens}: give {FEWEST} or more, which are two passages of the text")
    shapes = [small(MODELS[name]) if given.small else MODELS[name] for name in given.models]
    if given.layers is not None:
        shapes = [replace(shape, layers=given.layers) for shape in shapes]
    body = []
    for shape in shapes:
        with tempfile.TemporaryDirectory(dir=given.scratch, prefix="plan-accuracy-") as scratch:
            sys.stderr.write(f"{shape.name}: {bytes_of(shape) / 1e9:.2f} GB\n")
            result = compare(shape, given, Path(scratch))
        body += rows(result)
        for stage in result["stages"]:
            sys.stderr.write(f"  planned {stage['name']}: {stage['seconds']:.1f} s\n")
        for name, seconds in result["run"]["stages"].items():
            sys.stderr.write(f"  run {name}: {seconds:.1f} s\n")
    text = table(["model", "what", "plan", "run", "plan / run"], body) + "\n"
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
