"""How fast this machine does what a run does: short trials at the run's own sizes, in its dtype and threads."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.threads import parallel_map
from moe_claims.measure.accumulator import LayerAccumulator
from moe_claims.measure.assignment import Neurons
from moe_claims.measure.matching import match
from moe_claims.measure.matching_cost import pair_seconds
from moe_claims.measure.weights import similarities
from moe_claims.models.forward.batches import MicroBatch
from moe_claims.models.forward.experts_kernel import ExpertBatch, tokens_together
from moe_claims.models.storage.tensors import is_finite

if TYPE_CHECKING:
    import torch

_NUMBERS = 1 << 23
"""Of a trial, at most."""
_SAMPLE = 1 << 28
"""Bytes of a checkpoint's files that are read, and not looked at, to see how fast they come."""
_PIECE = 1 << 24
_READERS = 4
_ROWS = 128
"""Hidden states from which on more of them make a product no faster."""
_LONG, _TIMES = 0.1, 20
"""Seconds after which nothing is tried a third time; and how often a short piece of work is."""
_SMALL = 1 << 24
"""Numbers of the matrix that products are tried with: more than a processor's caches hold."""


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that some work takes: the shortest of several times, since a first one may have much to prepare."""
    found: list[float] = []
    while len(found) < 2 or (len(found) < _TIMES and sum(found) < _LONG):
        began = time.perf_counter()
        work()
        found.append(max(time.perf_counter() - began, 1e-9))
    return min(found)


@final
@dataclass(frozen=True)
class Reading:
    """Bytes per second at which files come."""

    first: float
    """Now: from disk, or from the system's cache where they are in it."""
    again: float
    """Once they are in the system's cache."""


def reading(files: list[str]) -> Reading:
    """How fast the bytes of some files come, by a sample of pieces all over them, as many at a time as a run reads."""
    sizes = {path: Path(path).stat().st_size for path in files}
    starts = [(path, start) for path, size in sizes.items() for start in range(0, size, _PIECE)]
    every = max(1, -(-len(starts) * _PIECE // _SAMPLE))
    chosen = starts[::every]
    # Threads and buffers are there before the clock runs, as a run has them for all its layers.
    buffers = [bytearray(_PIECE) for _ in range(_READERS)]
    pieces = [(buffers[number % _READERS], *start) for number, start in enumerate(chosen)]

    def read(mine: list[tuple[bytearray, str, int]]) -> int:
        return sum(_read(*piece) for piece in mine)

    by_thread = [pieces[number::_READERS] for number in range(_READERS)]
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
        rates = []
        for _ in range(2):
            began = time.perf_counter()
            total = sum(pool.map(read, by_thread))
            rates.append(max(total, 1) / max(time.perf_counter() - began, 1e-9))
    return Reading(rates[0], max(rates))


def _read(buffer: bytearray, path: str, start: int) -> int:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the name may be longer than pathlib takes
        file.seek(start)
        return file.readinto(buffer) or 0


@final
class Clock:
    """Trials for one model; each is made when it is first asked for, and takes some tenths of a second.

    Args:
        experts: E.
        neurons: m of an expert.
        width: d.
        top_k: k.
        stored: dtype of the weights as they are read, such as ``bfloat16``.
        dtype: of the forward pass.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self, *, experts: int, neurons: int, width: int, top_k: int, stored: str, dtype: str, device: str
    ) -> None:
        import torch

        self._experts, self._neurons, self._width, self._top_k = experts, neurons, width, top_k
        self._stored, self._dtype = getattr(torch, stored), getattr(torch, dtype)
        self._device = device
        self._products: dict[int, float] = {}

    @cached_property
    def hashing(self) -> float:
        """Bytes per second that are checked and hashed."""
        import torch

        numbers = self._numbers(_NUMBERS, self._stored)

        def both() -> None:
            is_finite(numbers)
            sha256(numbers.view(torch.uint8).numpy().data)

        return float(numbers.nbytes / seconds_of(both))

    @cached_property
    def sums(self) -> float:
        """Numbers per second that go into similarities of weights, by all threads together."""
        import torch

        workers: int = torch.get_num_threads()
        rows = max(1, min(self._neurons, _NUMBERS // (self._experts * self._width)))
        pieces = [
            self._numbers(self._experts * rows * self._width, self._stored).view(self._experts, rows, self._width)
            for _ in range(workers)
        ]
        pieces = [piece.to(self._device) for piece in pieces]
        times = max(1, _NUMBERS // (4 * pieces[0].numel()))

        def every() -> None:
            with parallel_map(workers) as each:
                list(each(lambda piece: [similarities(piece, "up") for _ in range(times)], pieces))

        return float(times * workers * pieces[0].numel() / seconds_of(every))

    @cached_property
    def loading(self) -> float:
        """Numbers per second that are checked and copied into a layer."""
        stored = self._numbers(_NUMBERS, self._stored)
        into = self._numbers(_NUMBERS, self._dtype)
        return float(stored.numel() / seconds_of(lambda: (is_finite(stored), into.copy_(stored))))

    @cached_property
    def drawing(self) -> float:
        """Numbers per second of a random initialisation."""
        import torch

        into = torch.empty(_NUMBERS)
        generator = torch.Generator().manual_seed(0)

        def draw() -> None:
            into.fill_(float("nan"))
            into.normal_(generator=generator)
            is_finite(into)

        return _NUMBERS / seconds_of(draw)

    def products(self, rows: int) -> float:
        """Floating-point operations per second of products of this many hidden states with weights."""
        import torch

        rows = min(rows, _ROWS)
        if rows in self._products:
            return self._products[rows]
        columns = max(1, min(2 * self._neurons, _SMALL // self._width))
        weights = self._numbers(columns * self._width, self._dtype).view(columns, self._width).to(self._device)
        hidden = self._numbers(rows * self._width, self._dtype).view(rows, self._width).to(self._device)
        seconds = seconds_of(lambda: self._done(torch.nn.functional.linear(hidden, weights)))
        self._products[rows] = 2.0 * rows * columns * self._width / seconds
        return self._products[rows]

    def observing(self, tokens: int) -> float:
        """Seconds per token and MoE layer that looking at the experts' outputs takes, beside computing them."""
        import torch

        few = _NUMBERS // (2 * self._experts * (self._width + self._neurons))
        count = max(1, min(tokens, tokens_together(self._experts, self._width, self._neurons), max(4, few)))
        router = self._numbers(self._experts * self._width, torch.float32).view(self._experts, self._width)
        router = router.to(self._device)
        hidden = self._numbers(count * self._width, self._dtype).view(count, self._width).to(self._device)

        def of_every(size: int) -> "torch.Tensor":
            return self._numbers(count * self._experts * size, self._dtype).view(count, self._experts, size)

        outputs, activations = of_every(self._width).to(self._device), of_every(self._neurons).to(self._device)
        chosen = (hidden.float() @ router.T).topk(self._top_k).indices
        batch = ExpertBatch(hidden, outputs, activations, chosen, hidden, (), 0)
        mask = torch.ones(1, count, dtype=torch.bool, device=self._device)

        def look() -> None:
            seen = LayerAccumulator(router, [MicroBatch(mask.long(), mask, 0)], 1, "a trial")
            seen.observe(batch)
            self._done(seen.angular)

        with torch.inference_mode():
            return seconds_of(look) / count

    @cached_property
    def matching(self) -> float:
        """How many times as long as ``pair_seconds`` says matching takes here."""
        # What is imported late would count as slow.
        import scipy.optimize
        import scipy.sparse.csgraph  # noqa: F401

        neurons, width = min(self._neurons, 1024), min(self._width, 512)
        both = [self._numbers(neurons * width, self._stored).view(neurons, width) for _ in range(2)]
        # Unrelated, as the longest ones are; of equal ones it would take less.
        both[1] = both[1].flip(0, 1)
        with parallel_map(1):
            return seconds_of(lambda: match(Neurons.of(both[0]), Neurons.of(both[1]))) / pair_seconds(neurons, width)

    def _numbers(self, count: int, dtype: Any) -> "torch.Tensor":
        """Random numbers, a few drawn and repeated: drawing all would take longer than the trial."""
        import torch

        few = torch.randn(min(count, 65_521), generator=torch.Generator().manual_seed(0))
        return few.repeat(-(-count // len(few)))[:count].to(dtype)

    def _done(self, result: "torch.Tensor") -> None:
        import torch

        if self._device == "cuda":
            torch.cuda.synchronize()
        del result
