"""Groups sequences into padded micro-batches, which run through a model together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from moe_claims.models.device import kind_of

if TYPE_CHECKING:
    import torch

_ACTIVATIONS = {"cpu": 2**28, "cuda": 2**31, "mps": 2**28}
"""Bytes that attention may take for one micro-batch, by kind of device; the kernel limits the memory of the experts."""
_PER_WIDTH = 64
"""Estimated bytes that attention takes per token and hidden dimension: queries, keys, values and sums in float32."""
_MOST = {"cpu": 2_048, "cuda": 16_384, "mps": 2_048}
"""Largest micro-batch in padded tokens, by kind of device."""


@final
@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Consecutive sequences, padded on the right to the length of the longest."""

    ids: "torch.Tensor"
    """(b, t) token ids."""
    mask: "torch.Tensor"
    """(b, t) bool, True on real tokens."""
    first: int
    """Index of the first sequence."""

    @property
    def sequence_of(self) -> "torch.Tensor":
        """(b · t,) index of the sequence that each token belongs to, padding included."""
        import torch

        rows = torch.arange(self.first, self.first + len(self.ids), device=self.ids.device)
        return rows[:, None].expand(self.ids.shape).reshape(-1)


def tokens_at_once(width: int, device: str) -> int:
    """Largest number of padded tokens in a micro-batch.

    It depends on nothing that changes between runs (such as free memory), since sums over different micro-batches
    differ in their last bits.

    Args:
        width: hidden size d.
        device: where the model runs.
    """
    kind = kind_of(device)
    return max(1, min(_MOST[kind], _ACTIVATIONS[kind] // (_PER_WIDTH * width)))


def micro_batches(
    sequences: Sequence[Sequence[int]], *, tokens: int = _MOST["cpu"], alone: bool = False
) -> list[tuple[int, int]]:
    """Splits sequences into micro-batches of consecutive ones; returns the bounds (first, last + 1) of each.

    Args:
        sequences: token ids, one list per sequence.
        tokens: largest number of tokens in a micro-batch, padding included; a longer sequence gets its own.
        alone: whether every sequence gets its own micro-batch, without padding.
    """
    if alone:
        return [(index, index + 1) for index in range(len(sequences))]
    bounds, first, longest = [], 0, 0
    for index, sequence in enumerate(sequences):
        longest = max(longest, len(sequence))
        if index > first and longest * (index + 1 - first) > tokens:
            bounds.append((first, index))
            first, longest = index, len(sequence)
    if sequences:
        bounds.append((first, len(sequences)))
    return bounds


def pad(sequences: Sequence[Sequence[int]], first: int, last: int, device: str) -> MicroBatch:
    """Pads sequences first to last − 1 into one micro-batch on a device."""
    import torch

    longest = max(len(s) for s in sequences[first:last])
    ids = torch.zeros(last - first, longest, dtype=torch.long)
    mask = torch.zeros(last - first, longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences[first:last]):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = True
    return MicroBatch(ids.to(device), mask.to(device), first)
