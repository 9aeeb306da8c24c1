"""The stage of a text that runs through a model, layer by layer, while every expert answers every token."""

from dataclasses import replace
from typing import final

from moe_claims import texts
from moe_claims._util.memory import free_bytes
from moe_claims.errors import MoeClaimsError
from moe_claims.models.device import fits
from moe_claims.models.forward.batches import micro_batches, tokens_at_once
from moe_claims.models.forward.experts_kernel import tokens_together
from moe_claims.plan import keeping
from moe_claims.plan.of_model import OfModel
from moe_claims.plan.opening import Reference
from moe_claims.plan.stage import Stage

WIDTHS = {"float32": 4, "float64": 8, "bfloat16": 2}
"""Bytes of a number, by dtype of the forward pass."""
_TEMPORARY = 28 * 16_000_000
"""Bytes that the experts' outputs and activations take at most, with all that is computed of them."""
_PER_BATCH = 0.006
"""Seconds of a layer and a micro-batch, however small."""


@final
class TextPass:
    """Plans texts that run through one model.

    Args:
        of: the model, or its control, and what is known of it.
    """

    def __init__(self, of: OfModel) -> None:
        self._of = of

    def stage(self, name: str, dense: Reference | None, *, first: bool, label: str = "text") -> Stage:
        """One text that runs through the model; ``first`` if no other has."""
        subject, sizes, machine = self._of.subject, self._of.subject.sizes, self._of.machine
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
        size = self._of.stored(round(times * sum(sizes.layers.values()) + outside) + sum(sizes.routers.values()))
        size += dense.size * dense.stored if dense is not None else 0
        free = free_bytes()
        ahead = free is None or 2 * layer <= free
        seconds = self._passing(read, dense, times, ahead=ahead, layer=layer)
        seconds += (outside and self._of.reading(round(outside))) + self._of.entries((*subject.layers, 0))
        entry = keeping.routed_entry(subject, read, dense=dense is not None, dtype=machine.settings.dtype)
        last = keeping.whole_entry(read)
        held = layer * (len(sizes.numbers) if resident else min(2 if ahead else 1, len(sizes.numbers)))
        found = Stage(
            said,
            size,
            self._of.source if size else "",
            self._operations(read),
            entry * len(subject.layers) + last,
            machine.base + held + self._beside(read, layer),
            seconds,
            f"{read.tokens:,} tokens",
        )
        self._of.read_before = self._of.read_before or self._of.stays
        there = None if self._of.control else machine.kept.routed(subject, read, dense)
        less = self._of.less(found, there, [entry] * len(subject.layers) + [last])
        # Where anything is missing, the text runs through the layers before it too.
        return less if not less.keeps else replace(found, keeps=less.keeps, note=less.note)

    def _beside(self, read: texts.Sequences, layer: int) -> int:
        """Bytes beside the layers: what is computed of outputs, hidden states, one expert as it is read, results."""
        subject, width = self._of.subject, WIDTHS[self._of.machine.settings.dtype]
        rows = min(tokens_together(subject.experts, subject.width, subject.neurons), read.tokens)
        work = min(_TEMPORARY, 28 * rows * subject.experts * (subject.width + subject.neurons))
        hidden = 2 * read.tokens * subject.width * width
        sums = 8 * len(read.ids) * subject.experts**2
        scores = 16 * read.tokens * subject.experts
        one = self._of.number * 3 * subject.neurons * subject.width
        made = 0 if not self._of.control or self._of.small_control else 2 * layer * 4 // (3 * width)
        return work + hidden + (sums + scores) * len(subject.layers) + min(one, layer) + made

    def _operations(self, read: texts.Sequences) -> float:
        """Of all products with weights, of every expert on every token, and of attention."""
        sizes = self._of.subject.sizes
        head = self._of.subject.vocabulary * self._of.subject.width
        products = 2.0 * read.tokens * (sum(sizes.numbers.values()) + head)
        return products + 4.0 * self._of.subject.width * len(sizes.numbers) * sum(len(one) ** 2 for one in read.ids)

    def _passing(
        self, read: texts.Sequences, dense: Reference | None, times: float, *, ahead: bool, layer: int
    ) -> float:
        """Seconds of the layers of a pass: while one is at work the next is read."""
        subject, sizes, machine = self._of.subject, self._of.subject.sizes, self._of.machine
        bounds = micro_batches(
            read.ids,
            tokens=tokens_at_once(subject.width, machine.device),
            alone=subject.model.checkpoint.alone,
        )
        padded = sum(max(len(one) for one in read.ids[a:b]) * (b - a) for a, b in bounds)
        per_batch = max(1, padded // len(bounds))
        rows = min(tokens_together(subject.experts, subject.width, subject.neurons), per_batch)
        speed = self._of.clock.products(rows)
        other = self._of.clock.products(min(per_batch, 512))
        looking = self._of.clock.observing(min(rows, read.tokens)) * read.tokens
        quadratic = 4.0 * subject.width * sum(len(one) ** 2 for one in read.ids) / other
        hidden = read.tokens * subject.width * WIDTHS[machine.settings.dtype]
        seconds = first = previous = 0.0
        for number, numbers in sizes.numbers.items():
            experts = sizes.expert_numbers.get(number, 0)
            work = 2.0 * padded * (experts / speed + (numbers - experts) / other) + quadratic + len(bounds) * _PER_BATCH
            work += 2 * hidden / self._of.clock.hashing  # written down, so that a run that is stopped can go on
            if experts:
                work += looking + (dense.size / len(sizes.numbers) / self._of.clock.hashing if dense else 0.0)
            copying = numbers / self._of.clock.loading + self._of.drawing(numbers)
            coming = times * max(self._of.reading(sizes.layers.get(number, 0)), copying)
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
        return seconds + times * 2 * (outside / self._of.clock.loading + self._of.drawing(outside))
