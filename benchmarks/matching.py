"""How long matching neurons takes, in how much memory, against other exact solvers.

    python benchmarks/matching.py solvers --neurons 1408 5632 --width 2048
    python benchmarks/matching.py layer --experts 8 --neurons 1408 --width 2048 --workers 2

``solvers`` matches one pair of experts with every solver, each in a process of its own with one thread, on neurons
that are unrelated and on neurons that share a base, as those of experts made from one dense model do; the ratio to
SciPy is from the same run. lapx takes part where it is installed (``pip install lapx``); it is no dependency.
``layer`` writes a checkpoint of one layer in Mixtral's layout to a temporary folder and matches all its experts.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csgraph  # noqa: F401 - so that no solver is charged for the import

from moe_claims.measure.assignment import Neurons, assign_sparse
from moe_claims.measure.matching import measure_matching
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import ROLES

KINDS = {"unrelated": None, "noise 1 on a base": 1.0, "noise 3 on a base": 3.0}
Solver = Callable[[np.ndarray], np.ndarray]


def _scipy(costs: np.ndarray) -> np.ndarray:
    return linear_sum_assignment(costs)[1]


def _lapx(name: str) -> Solver:
    def solve(costs: np.ndarray) -> np.ndarray:
        import lap

        found = getattr(lap, name)(costs)
        return found[1] if name == "lapjv" else found[-1]

    return solve


DENSE: dict[str, tuple[Solver, torch.dtype]] = {
    "scipy": (_scipy, torch.float64),
    "scipy, float32 cosines": (_scipy, torch.float32),
}
if find_spec("lap"):
    DENSE |= {
        "lapx lapjv": (_lapx("lapjv"), torch.float64),
        "lapx lapjvx": (_lapx("lapjvx"), torch.float64),
        "lapx lapjvc": (_lapx("lapjvc"), torch.float64),
        "lapx lapjvc, float32 cosines": (_lapx("lapjvc"), torch.float32),
        "lapx lapjvs, float32 cosines": (_lapx("lapjvs"), torch.float32),
    }
METHODS = (*DENSE, "moe_claims")


def neurons(kind: str, count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two experts' neurons, (m, d) each, bfloat16 as checkpoints store them."""
    generator = torch.Generator().manual_seed(0)
    noise, base = KINDS[kind], torch.randn(count, width, generator=generator)
    first, second = (torch.randn(count, width, generator=generator) for _ in range(2))
    if noise is not None:
        first, second = base + noise * first, base + noise * second
    return first.bfloat16(), second.bfloat16()


def solve(method: str, kind: str, count: int, width: int) -> tuple[float, float, float, float]:
    """Processor seconds for the cosines and for the assignment, peak GiB, and the total cosine, in this process."""
    torch.set_num_threads(1)
    first, second = map(Neurons.of, neurons(kind, count, width))
    began = made = time.process_time()
    if method == "moe_claims":
        partner = assign_sparse(first, second)
        assert partner is not None
    else:
        solver, dtype = DENSE[method]
        mine, theirs = (torch.from_numpy(x.lengths)[:, None] for x in (first, second))
        a, b = ((x.rows.to(dtype) / length.to(dtype)) for x, length in ((first, mine), (second, theirs)))
        costs = torch.mm(a, b.T).neg_().numpy()
        del a, b
        made = time.process_time()
        partner = np.asarray(solver(costs), dtype=np.int64)
    done = time.process_time()
    total = float(first.cosines(second, np.arange(count), partner).sum())
    return made - began, done - made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, total


def solvers(counts: list[int], width: int, methods: list[str], kinds: list[str]) -> None:
    say(f"{'neurons':>8} {'kind':<18} {'solver':<30} {'cosines':>8} {'assign':>8} {'total':>8} {'ratio':>6} ")
    say(f"{'peak GiB':>9} {'less total cosine':>18}\n")
    for count in counts:
        for kind in kinds:
            seconds = best = None
            for method in methods:
                try:
                    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                        cosines, assigned, peak, total = alone.submit(solve, method, kind, count, width).result()
                except BrokenProcessPool:
                    say(f"{count:>8,} {kind:<18} {method:<30} crashed\n")
                    continue
                if seconds is None or best is None:
                    seconds, best = cosines + assigned, total
                say(f"{count:>8,} {kind:<18} {method:<30} {cosines:>8.2f} {assigned:>8.2f} {cosines + assigned:>8.2f} ")
                say(f"{(cosines + assigned) / seconds:>6.2f} {peak:>9.2f} {best - total:>18.1e}\n")


def write_layer(folder: Path, experts: int, count: int, width: int) -> None:
    """A checkpoint of one layer with unrelated experts, bfloat16."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    block = "model.layers.0.block_sparse_moe"
    tensors = {f"{block}.gate.weight": torch.randn(experts, width, generator=generator).bfloat16()}
    for expert in range(experts):
        for name, shape in (("w1", (count, width)), ("w2", (width, count)), ("w3", (count, width))):
            matrix = torch.randn(shape, generator=generator).bfloat16()
            tensors[f"{block}.experts.{expert}.{name}.weight"] = matrix
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "mixtral", "num_experts_per_tok": 2}')


def layer(experts: int, count: int, width: int, workers: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_layer(Path(folder), experts, count, width)
        checkpoint, began = Checkpoint.open(Path(folder), "benchmark"), time.perf_counter()
        for role in ROLES:
            found = measure_matching(checkpoint, role, [0], workers=workers)
            gain = found.similarity[0][np.triu_indices(experts, 1)].mean()
            say(f"{role}: mean similarity {gain:.4f}, gain of a random pair {found.null_gain[0]:.4f}, ")
            say(f"{time.perf_counter() - began:.1f} s so far\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(f"{3 * experts * (experts - 1) // 2} pairs: {time.perf_counter() - began:.1f} s, peak {peak:.2f} GiB\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("solvers", help="one pair, every solver")
    one.add_argument("--neurons", type=int, nargs="+", default=[1408], help="of each expert (default 1408)")
    one.add_argument("--width", type=int, default=2048, help="numbers of each neuron (default 2048)")
    one.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="the first is the ratio's 1")
    one.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="of neurons (default all)")
    whole = commands.add_parser("layer", help="all pairs of one layer, three matrices")
    whole.add_argument("--experts", type=int, default=8, help="of the layer (default 8)")
    whole.add_argument("--neurons", type=int, default=1408, help="of each expert (default 1408)")
    whole.add_argument("--width", type=int, default=2048, help="numbers of each neuron (default 2048)")
    whole.add_argument("--workers", type=int, help="processes that match pairs (default: those of a run)")
    given = parser.parse_args()
    if given.command == "solvers":
        solvers(given.neurons, given.width, given.methods, given.kinds)
    else:
        layer(given.experts, given.neurons, given.width, given.workers)


if __name__ == "__main__":
    main()
