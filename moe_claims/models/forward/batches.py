"""Micro-batches: consecutive sequences that run through a model together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import torch

_ACTIVATIONS = {"cpu": 2**28, "cuda": 2**31}
"""Bytes that attention may take for one micro-batch; what experts take is bounded by the kernel."""
_PER_WIDTH = 64
"""Bytes per token and number of a hidden state: queries, keys, values and sums, in float32."""
_MOST = {"cpu": 2_048, "cuda": 16_384}


@final
@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Consecutive sequences, padded on the right to the longest."""

    ids: "torch.Tensor"
    """(b, t) token ids."""
    mask: "torch.Tensor"
    """(b, t) bool, True on real tokens."""
    first: int
    """Index of the first sequence."""

    @property
    def sequence_of(self) -> "torch.Tensor":
        """(b · t,) index of the sequence of every token, padding included."""
        import torch

        rows = torch.arange(self.first, self.first + len(self.ids), device=self.ids.device)
        return rows[:, None].expand(self.ids.shape).reshape(-1)


def tokens_at_once(width: int, device: str) -> int:
    """Padded tokens of a micro-batch that memory allows for.

    It depends on nothing that changes from run to run, since sums over other micro-batches differ in their last bits.

    Args:
        width: of the hidden states.
        device: ``cpu`` or ``cuda``.
    """
    return max(1, min(_MOST[device], _ACTIVATIONS[device] // (_PER_WIDTH * width)))


def micro_batches(
    sequences: Sequence[Sequence[int]], *, tokens: int = _MOST["cpu"], alone: bool = False
) -> list[tuple[int, int]]:
    """Bounds (first, last + 1) of runs of consecutive sequences of at most ``tokens`` padded tokens.

    Args:
        sequences: token ids.
        tokens: in one micro-batch, padding included; a longer sequence is one by itself.
        alone: every sequence is a micro-batch of its own, without padding.
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
    """Sequences first to last − 1 as one micro-batch."""
    import torch

    longest = max(len(s) for s in sequences[first:last])
    ids = torch.zeros(last - first, longest, dtype=torch.long)
    mask = torch.zeros(last - first, longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences[first:last]):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = True
    return MicroBatch(ids.to(device), mask.to(device), first)
