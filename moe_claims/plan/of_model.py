"""The stages of measuring the weights of one model, or of its random-initialisation control."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import final

from moe_claims._util.memory import free_bytes
from moe_claims.errors import MoeClaimsError
from moe_claims.measure.matching import layers_to_match
from moe_claims.measure.matching_cost import pair_bytes, pair_seconds
from moe_claims.models.families.table import ROLES
from moe_claims.plan import keeping
from moe_claims.plan.clock import Clock, Reading
from moe_claims.plan.opening import Reference, Subject
from moe_claims.plan.stage import Stage
from moe_claims.settings import Settings

_PER_ENTRY = 0.004
"""Seconds to write, lock and check an entry of the store."""


@final
@dataclass(frozen=True, eq=False)
class Machine:
    """What a plan knows of the machine and the run."""

    settings: Settings
    device: str
    kept: keeping.Kept
    base: int
    """Bytes of the process with all libraries, before anything is measured."""
    threads: int
    cores: int


@final
class OfModel:
    """Plans the measuring of one model.

    Args:
        subject: the model.
        clock: trials at its sizes.
        files: how fast its files come; None where they are not read from disk.
        machine: the machine.
        control: whether it is the random-initialisation control of the subject that is measured.
    """

    def __init__(
        self, subject: Subject, clock: Clock, files: Reading | None, machine: Machine, *, control: bool = False
    ) -> None:
        self.subject, self.clock, self.machine, self.control = subject, clock, machine, control
        self.files = files
        self.source = subject.where
        free = free_bytes()
        # What has been read once comes from the system's cache, if that has room for it.
        self.stays = free is not None and 1.5 * subject.sizes.whole <= free
        self.read_before = False

    def stored(self, size: int) -> int:
        """Bytes that are read of so many: none of weights that are generated, or in memory."""
        return 0 if self.control or self.subject.sizes.kind == "memory" else size

    def reading(self, size: int) -> float:
        """Seconds until so many bytes are there."""
        if self.control or self.files is None or not size:
            return 0.0
        return size / (self.files.again if self.read_before and self.stays else self.files.first)

    def drawing(self, numbers: int) -> float:
        """Seconds to generate so many weights of the control."""
        return numbers / self.clock.drawing if self.control else 0.0

    @property
    def number(self) -> int:
        """Bytes of a number as it is read."""
        sizes = self.subject.sizes
        if self.control:
            return 4
        return max(2, round(sum(sizes.experts.values()) / max(1, sum(sizes.expert_numbers.values()))))

    def hashed(self) -> Stage:
        """Identifying the weights, which reads them all where neither a commit nor a recipe does."""
        subject, sizes = self.subject, self.subject.sizes
        name = "hash of all weights"
        if subject.model.revision_sha is not None or subject.model.made is not None:
            return Stage(name, needs=self.machine.base, note="the commit identifies them")
        size = sizes.whole + sum(sizes.fused.values())
        largest = max((*sizes.experts.values(), 0)) // (3 if not any(sizes.fused.values()) else 1)
        if sizes.kind == "memory":
            return Stage(name, needs=self.machine.base, seconds=size / self.clock.hashing)
        seconds = self.reading(size) + size / self.clock.hashing
        self.read_before = True
        needs = self.machine.base + max(sizes.largest, largest)
        return Stage(name, reads=size, source=self.source, needs=needs, seconds=seconds)

    def weights(self) -> Stage:
        """Similarities of the experts' weights."""
        subject, sizes = self.subject, self.subject.sizes
        entry = keeping.weights_entry(subject.experts)
        numbers = sum(sizes.expert_numbers.values())
        size = self.stored(sum(sizes.experts.values()) + sum(sizes.routers.values()))
        computing = numbers / self.clock.sums
        reading = self.reading(size) + self.drawing(sum(sizes.numbers[layer] for layer in subject.layers))
        seconds = (reading + computing if self.control else max(reading, computing)) + self.entries(subject.layers)
        piece = self.piece()
        needs = self.machine.base + piece
        found = Stage(
            "weights",
            size,
            self.source if size else "",
            2.0 * numbers * subject.experts,
            entry * len(subject.layers),
            needs,
            seconds,
        )
        self.read_before = self.read_before or self.stays
        return self.less(found, None if self.control else self.machine.kept.weights(subject), [entry])

    def piece(self) -> int:
        """Bytes of weights in memory at a time where each is read once."""
        sizes = self.subject.sizes
        layer = max(sizes.numbers[layer] for layer in self.subject.layers)
        if self.control:
            return 0 if self.small_control else 4 * layer
        if sizes.kind == "memory":
            return 0
        # A quantised or a turned matrix is not read in pieces: one of a layer is there whole.
        small = self.subject.model.checkpoint.piece_bytes(self.subject.layers[0])
        return min(2 * self.machine.threads * small, 2 * self.number * layer)

    @property
    def small_control(self) -> bool:
        """Whether the control is in memory as a whole."""
        return sum(self.subject.sizes.expert_numbers.values()) <= 100_000_000

    def matching(self) -> Stage:
        """Neurons of all pairs of experts, matched by each matrix kind."""
        subject, sizes = self.subject, self.subject.sizes
        name = "neurons matched"
        try:
            layers = layers_to_match(subject.model.checkpoint, self.machine.settings.layers)
        except MoeClaimsError as error:
            return Stage(name, needs=self.machine.base, note=f"not measured: {error}")
        pairs = len(list(combinations(range(subject.experts), 2))) + 1
        workers = self._matchers()
        one = pair_seconds(subject.neurons, subject.width) * self.clock.matching
        size = self.stored(sum(sizes.experts[layer] + sizes.fused[layer] for layer in layers))
        drawn = self.drawing(3 * sum(sizes.numbers[layer] for layer in layers))
        seconds = self.reading(size) + drawn + len(ROLES) * len(layers) * pairs * one / workers
        seconds += len(ROLES) * self.entries(layers)
        entry = keeping.matching_entry(subject.experts, subject.neurons)
        matrix = self.number * max(sizes.expert_numbers.values()) // 3
        permutations = 4 * subject.experts**2 * subject.neurons * len(layers) * len(ROLES)
        needs = self.machine.base + matrix + workers * pair_bytes(subject.neurons, subject.width) + permutations
        if self.control:
            needs += self.piece()
        found = Stage(
            name,
            size,
            self.source if size else "",
            len(ROLES) * len(layers) * pairs * 2.0 * subject.neurons**2 * subject.width,
            entry * len(layers) * len(ROLES),
            needs,
            seconds,
            "" if len(layers) == len(subject.layers) else f"layers {', '.join(map(str, layers))}",
        )
        return self.less(found, None if self.control else self.machine.kept.matching(subject, layers), [entry])

    def _matchers(self) -> int:
        """Threads that match, as ``matching`` chooses them."""
        if self.subject.neurons < 512:
            return 1
        free, need = free_bytes(), pair_bytes(self.subject.neurons, self.subject.width)
        return self.machine.threads if free is None else max(1, min(self.machine.threads, free // need))

    def against(self, dense: Reference | MoeClaimsError | None, *, hashed: bool) -> Stage:
        """The experts against a dense model; ``hashed`` if that is identified already."""
        subject, sizes, name = self.subject, self.subject.sizes, "dense reference"
        base = self.machine.base
        if dense is None:
            return Stage(name, needs=base, note="not measured: no --moe-dense-reference")
        if isinstance(dense, MoeClaimsError):
            return Stage(name, needs=base, note=f"not measured: {dense}")
        try:
            dense.model.check_fits(subject.model.checkpoint)
        except MoeClaimsError as error:
            return Stage(name, needs=base, note=f"not measured: {error}")
        own = self.stored(sum(sizes.experts.values()))
        first = 0 if hashed or dense.known else dense.size
        size = own + dense.stored * (dense.size + first)
        numbers = sum(sizes.expert_numbers.values())
        seconds = self.reading(size) + self.drawing(sum(sizes.numbers[layer] for layer in subject.layers))
        seconds += (own + dense.size) / self.clock.hashing / 2 + first / self.clock.hashing
        # Widened to float64 and summed, block by block, without threads of its own.
        seconds += 2 * numbers / self.clock.sums + self.entries(subject.layers)
        entry = keeping.against_entry(subject.experts)
        matrix = self.number * max(sizes.expert_numbers.values()) // (2 if any(sizes.fused.values()) else 3)
        found = Stage(
            name, size, self.source if size else "", 4.0 * numbers, entry * len(subject.layers),
            base + matrix + self.piece() * self.control + 2**27, seconds,
        )  # fmt: skip
        return self.less(found, None if self.control else self.machine.kept.against(subject, dense), [entry])

    def entries(self, layers: tuple[int, ...]) -> float:
        """Seconds to write what is kept of so many layers."""
        return _PER_ENTRY * len(layers)

    def less(self, stage: Stage, there: list[bool] | None, entries: list[int]) -> Stage:
        """The stage without what is in the store already."""
        if there is None or not any(there):
            return stage
        every = entries * (len(there) // len(entries)) if len(entries) < len(there) else entries
        missing = [size for size, found in zip(every, there, strict=True) if not found]
        note = "; ".join(part for part in (stage.note, f"{sum(there)} of {len(there)} parts are there already") if part)
        return replace(stage.scaled(len(missing) / len(there)), keeps=sum(missing), note=note)
