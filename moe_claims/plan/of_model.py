"""The stages of measuring one model, or its random-initialisation control."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import final

from moe_claims import texts
from moe_claims._util.memory import free_bytes
from moe_claims.errors import MoeClaimsError
from moe_claims.measure.matching import layers_to_match
from moe_claims.measure.matching_cost import pair_bytes, pair_seconds
from moe_claims.models.device import fits
from moe_claims.models.families.table import ROLES
from moe_claims.models.forward.batches import micro_batches, tokens_at_once
from moe_claims.models.forward.experts_kernel import tokens_together
from moe_claims.plan import keeping
from moe_claims.plan.clock import Clock, Reading
from moe_claims.plan.opening import Reference, Subject
from moe_claims.plan.stage import Stage
from moe_claims.settings import Settings

WIDTHS = {"float32": 4, "float64": 8, "bfloat16": 2}
"""Bytes of a number, by dtype of the forward pass."""
_TEMPORARY = 28 * 16_000_000
"""Bytes that the experts' outputs and activations take at most, with all that is computed of them."""
_PER_ENTRY = 0.004
"""Seconds to write, lock and check an entry of the store."""
_PER_BATCH = 0.006
"""Seconds of a layer and a micro-batch, however small."""


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
        self._subject, self._clock, self._machine, self._control = subject, clock, machine, control
        self._files = files
        self._source = subject.where
        free = free_bytes()
        # What has been read once comes from the system's cache, if that has room for it.
        self._stays = free is not None and 1.5 * subject.sizes.whole <= free
        self._read_before = False

    # -- reading -----------------------------------------------------------------------------------------------------

    def _stored(self, size: int) -> int:
        """Bytes that are read of so many: none of weights that are generated, or in memory."""
        return 0 if self._control or self._subject.sizes.kind == "memory" else size

    def _reading(self, size: int) -> float:
        """Seconds until so many bytes are there."""
        if self._control or self._files is None or not size:
            return 0.0
        return size / (self._files.again if self._read_before and self._stays else self._files.first)

    def _drawing(self, numbers: int) -> float:
        """Seconds to generate so many weights of the control."""
        return numbers / self._clock.drawing if self._control else 0.0

    @property
    def _width(self) -> int:
        """Bytes of a number as it is read."""
        sizes = self._subject.sizes
        if self._control:
            return 4
        return max(2, round(sum(sizes.experts.values()) / max(1, sum(sizes.expert_numbers.values()))))

    # -- stages ------------------------------------------------------------------------------------------------------

    def hashed(self) -> Stage:
        """Identifying the weights, which reads them all where neither a commit nor a recipe does."""
        subject, sizes = self._subject, self._subject.sizes
        name = "hash of all weights"
        if subject.model.revision_sha is not None or subject.model.made is not None:
            return Stage(name, needs=self._machine.base, note="the commit identifies them")
        size = sizes.whole + sum(sizes.fused.values())
        largest = max((*sizes.experts.values(), 0)) // (3 if not any(sizes.fused.values()) else 1)
        if sizes.kind == "memory":
            return Stage(name, needs=self._machine.base, seconds=size / self._clock.hashing)
        seconds = self._reading(size) + size / self._clock.hashing
        self._read_before = True
        needs = self._machine.base + max(sizes.largest, largest)
        return Stage(name, reads=size, source=self._source, needs=needs, seconds=seconds)

    def weights(self) -> Stage:
        """Similarities of the experts' weights."""
        subject, sizes = self._subject, self._subject.sizes
        entry = keeping.weights_entry(subject.experts)
        numbers = sum(sizes.expert_numbers.values())
        size = self._stored(sum(sizes.experts.values()) + sum(sizes.routers.values()))
        computing = numbers / self._clock.sums
        reading = self._reading(size) + self._drawing(sum(sizes.numbers[layer] for layer in subject.layers))
        seconds = (reading + computing if self._control else max(reading, computing)) + self._entries(subject.layers)
        piece = self._piece()
        needs = self._machine.base + piece
        found = Stage(
            "weights",
            size,
            self._source if size else "",
            2.0 * numbers * subject.experts,
            entry * len(subject.layers),
            needs,
            seconds,
        )
        self._read_before = self._read_before or self._stays
        return self._less(found, None if self._control else self._machine.kept.weights(subject), [entry])

    def _piece(self) -> int:
        """Bytes of weights in memory at a time where each is read once."""
        sizes = self._subject.sizes
        layer = max(sizes.numbers[layer] for layer in self._subject.layers)
        if self._control:
            return 0 if self._small_control else 4 * layer
        if sizes.kind == "memory":
            return 0
        # A quantised or a turned matrix is not read in pieces: one of a layer is there whole.
        small = self._subject.model.checkpoint.piece_bytes(self._subject.layers[0])
        return min(2 * self._machine.threads * small, 2 * self._width * layer)

    @property
    def _small_control(self) -> bool:
        """Whether the control is in memory as a whole."""
        return sum(self._subject.sizes.expert_numbers.values()) <= 100_000_000

    def matching(self) -> Stage:
        """Neurons of all pairs of experts, matched by each matrix kind."""
        subject, sizes = self._subject, self._subject.sizes
        name = "neurons matched"
        try:
            layers = layers_to_match(subject.model.checkpoint, self._machine.settings.layers)
        except MoeClaimsError as error:
            return Stage(name, needs=self._machine.base, note=f"not measured: {error}")
        pairs = len(list(combinations(range(subject.experts), 2))) + 1
        workers = self._matchers()
        one = pair_seconds(subject.neurons, subject.width) * self._clock.matching
        size = self._stored(sum(sizes.experts[layer] + sizes.fused[layer] for layer in layers))
        drawn = self._drawing(3 * sum(sizes.numbers[layer] for layer in layers))
        seconds = self._reading(size) + drawn + len(ROLES) * len(layers) * pairs * one / workers
        seconds += len(ROLES) * self._entries(layers)
        entry = keeping.matching_entry(subject.experts, subject.neurons)
        matrix = self._width * max(sizes.expert_numbers.values()) // 3
        permutations = 4 * subject.experts**2 * subject.neurons * len(layers) * len(ROLES)
        needs = self._machine.base + matrix + workers * pair_bytes(subject.neurons, subject.width) + permutations
        if self._control:
            needs += self._piece()
        found = Stage(
            name,
            size,
            self._source if size else "",
            len(ROLES) * len(layers) * pairs * 2.0 * subject.neurons**2 * subject.width,
            entry * len(layers) * len(ROLES),
            needs,
            seconds,
            "" if len(layers) == len(subject.layers) else f"layers {', '.join(map(str, layers))}",
        )
        return self._less(found, None if self._control else self._machine.kept.matching(subject, layers), [entry])

    def _matchers(self) -> int:
        """Threads that match, as ``matching`` chooses them."""
        if self._subject.neurons < 512:
            return 1
        free, need = free_bytes(), pair_bytes(self._subject.neurons, self._subject.width)
        return self._machine.threads if free is None else max(1, min(self._machine.threads, free // need))

    def against(self, dense: Reference | MoeClaimsError | None, *, hashed: bool) -> Stage:
        """The experts against a dense model; ``hashed`` if that is identified already."""
        subject, sizes, name = self._subject, self._subject.sizes, "dense reference"
        base = self._machine.base
        if dense is None:
            return Stage(name, needs=base, note="not measured: no --moe-dense-reference")
        if isinstance(dense, MoeClaimsError):
            return Stage(name, needs=base, note=f"not measured: {dense}")
        try:
            dense.model.check_fits(subject.model.checkpoint)
        except MoeClaimsError as error:
            return Stage(name, needs=base, note=f"not measured: {error}")
        own = self._stored(sum(sizes.experts.values()))
        first = 0 if hashed or dense.known else dense.size
        size = own + dense.stored * (dense.size + first)
        numbers = sum(sizes.expert_numbers.values())
        seconds = self._reading(size) + self._drawing(sum(sizes.numbers[layer] for layer in subject.layers))
        seconds += (own + dense.size) / self._clock.hashing / 2 + first / self._clock.hashing
        # Widened to float64 and summed, block by block, without threads of its own.
        seconds += 2 * numbers / self._clock.sums + self._entries(subject.layers)
        entry = keeping.against_entry(subject.experts)
        matrix = self._width * max(sizes.expert_numbers.values()) // (2 if any(sizes.fused.values()) else 3)
        found = Stage(
            name, size, self._source if size else "", 4.0 * numbers, entry * len(subject.layers),
            base + matrix + self._piece() * self._control + 2**27, seconds,
        )  # fmt: skip
        return self._less(found, None if self._control else self._machine.kept.against(subject, dense), [entry])

    def text(self, name: str, dense: Reference | None, *, first: bool, label: str = "text") -> Stage:
        """One text that runs through the model; ``first`` if no other has."""
        subject, sizes, machine = self._subject, self._subject.sizes, self._machine
        said = f"{label} {name}"
        read = subject.texts[name]
        if isinstance(read, MoeClaimsError):
            return Stage(said, needs=machine.base, note=f"not measured: {read}")
        if reason := subject.model.checkpoint.family.weights_only:
            return Stage(said, needs=machine.base, note=f"not measured: {reason}")
        width = WIDTHS[machine.settings.dtype]
        layer = max(sizes.numbers.values()) * width
        resident = len(machine.settings.texts) > 1 and fits(layer * len(sizes.numbers), machine.device)
        times = 0.0 if resident and not first else 1.0
        outside = (2 if first and not resident else 1) * times * sizes.outside
        size = self._stored(round(times * sum(sizes.layers.values()) + outside) + sum(sizes.routers.values()))
        size += dense.size * dense.stored if dense is not None else 0
        free = free_bytes()
        ahead = free is None or 2 * layer <= free
        seconds = self._passing(read, dense, times, ahead=ahead, layer=layer)
        seconds += (outside and self._reading(round(outside))) + self._entries((*subject.layers, 0))
        entry = keeping.routed_entry(subject, read, dense=dense is not None, dtype=machine.settings.dtype)
        last = keeping.whole_entry(read)
        held = layer * (len(sizes.numbers) if resident else min(2 if ahead else 1, len(sizes.numbers)))
        found = Stage(
            said,
            size,
            self._source if size else "",
            self._operations(read),
            entry * len(subject.layers) + last,
            machine.base + held + self._beside(read, layer),
            seconds,
            f"{read.tokens:,} tokens",
        )
        self._read_before = self._read_before or self._stays
        there = None if self._control else machine.kept.routed(subject, read, dense)
        return self._less(found, there, [entry] * len(subject.layers) + [last])

    def _beside(self, read: texts.Sequences, layer: int) -> int:
        """Bytes beside the layers: what is computed of outputs, hidden states, one expert as it is read, results."""
        subject, width = self._subject, WIDTHS[self._machine.settings.dtype]
        rows = min(tokens_together(subject.experts, subject.width, subject.neurons), read.tokens)
        work = min(_TEMPORARY, 28 * rows * subject.experts * (subject.width + subject.neurons))
        hidden = 2 * read.tokens * subject.width * width
        sums = 8 * len(read.ids) * subject.experts**2
        scores = 16 * read.tokens * subject.experts
        one = self._width * 3 * subject.neurons * subject.width
        made = 0 if not self._control or self._small_control else 2 * layer * 4 // (3 * width)
        return work + hidden + (sums + scores) * len(subject.layers) + min(one, layer) + made

    def _operations(self, read: texts.Sequences) -> float:
        """Of all products with weights, of every expert on every token, and of attention."""
        sizes = self._subject.sizes
        head = self._subject.vocabulary * self._subject.width
        products = 2.0 * read.tokens * (sum(sizes.numbers.values()) + head)
        return products + 4.0 * self._subject.width * len(sizes.numbers) * sum(len(one) ** 2 for one in read.ids)

    def _passing(
        self, read: texts.Sequences, dense: Reference | None, times: float, *, ahead: bool, layer: int
    ) -> float:
        """Seconds of the layers of a pass: while one is at work the next is read."""
        subject, sizes, machine = self._subject, self._subject.sizes, self._machine
        bounds = micro_batches(
            read.ids,
            tokens=tokens_at_once(subject.width, machine.device),
            alone=subject.model.checkpoint.alone,
        )
        padded = sum(max(len(one) for one in read.ids[a:b]) * (b - a) for a, b in bounds)
        per_batch = max(1, padded // len(bounds))
        rows = min(tokens_together(subject.experts, subject.width, subject.neurons), per_batch)
        speed = self._clock.products(rows)
        other = self._clock.products(min(per_batch, 512))
        looking = self._clock.observing(min(rows, read.tokens)) * read.tokens
        quadratic = 4.0 * subject.width * sum(len(one) ** 2 for one in read.ids) / other
        hidden = read.tokens * subject.width * WIDTHS[machine.settings.dtype]
        seconds = first = previous = 0.0
        for number, numbers in sizes.numbers.items():
            experts = sizes.expert_numbers.get(number, 0)
            work = 2.0 * padded * (experts / speed + (numbers - experts) / other) + quadratic + len(bounds) * _PER_BATCH
            work += 2 * hidden / self._clock.hashing  # written down, so that a run that is stopped can go on
            if experts:
                work += looking + (dense.size / len(sizes.numbers) / self._clock.hashing if dense else 0.0)
            copying = numbers / self._clock.loading + self._drawing(numbers)
            coming = times * max(self._reading(sizes.layers.get(number, 0)), copying)
            first = first or coming
            seconds += work if not ahead else max(previous, coming if number != min(sizes.numbers) else 0.0)
            if not ahead:
                seconds += coming
            elif machine.threads >= machine.cores:
                seconds += times * copying * (number != min(sizes.numbers))  # they share the cores
            previous = work
        head = subject.vocabulary * subject.width
        seconds += (first + previous if ahead else 0.0) + 2.0 * read.tokens * head / other
        outside = sizes.outside_numbers
        return seconds + times * 2 * (outside / self._clock.loading + self._drawing(outside))

    # -- what is there already ---------------------------------------------------------------------------------------

    def _entries(self, layers: "tuple[int, ...]") -> float:
        return _PER_ENTRY * len(layers)

    def _less(self, stage: Stage, there: list[bool] | None, entries: list[int]) -> Stage:
        """The stage without what is in the store already."""
        if there is None or not any(there):
            return stage
        every = entries * (len(there) // len(entries)) if len(entries) < len(there) else entries
        missing = [size for size, found in zip(every, there, strict=True) if not found]
        note = "; ".join(part for part in (stage.note, f"{sum(there)} of {len(there)} parts are there already") if part)
        return replace(stage.scaled(len(missing) / len(there)), keeps=sum(missing), note=note)
